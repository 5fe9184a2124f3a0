import asyncio
from typing import Any

import httpx
import pytest

from app.domain.ids import parse_opaque_id
from tests.api.conftest import Service

URL = "/v1/customers/external_id:42/notes"


@pytest.fixture
async def ada(admin: httpx.AsyncClient) -> dict[str, Any]:
    answer = await admin.post("/v1/customers", json={"identifiers": {"external_id": "42", "crm": "42"}})
    created: dict[str, Any] = answer.json()
    return created


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def test_a_note_names_its_author_and_comes_back(service: Service, ada: dict[str, Any]) -> None:
    agent = await service.client(await service.key("support", source="helpdesk"))
    answer = await agent.post(URL, json={"text": "Call after 5 pm.\n😀"})
    assert answer.status_code == 201
    note = answer.json()
    assert (note["text"], note["author"]) == ("Call after 5 pm.\n😀", "helpdesk")
    parsed = parse_opaque_id("note", note["id"])
    assert parsed is not None
    assert str(parsed[0]) == ada["id"]
    assert (await agent.get(URL)).json() == {"data": [note], "next_cursor": None}


@pytest.mark.usefixtures("ada")
async def test_notes_are_listed_newest_first_in_whole_pages(admin: httpx.AsyncClient) -> None:
    for number in range(5):
        await admin.post(URL, json={"text": str(number)})
    first = (await admin.get(f"{URL}?limit=3")).json()
    rest = (await admin.get(f"{URL}?limit=3&cursor={first['next_cursor']}")).json()
    assert [note["text"] for note in first["data"] + rest["data"]] == ["4", "3", "2", "1", "0"]
    assert rest["next_cursor"] is None


@pytest.mark.usefixtures("ada")
async def test_a_note_sent_twice_under_one_key_is_written_once(admin: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "n-1"}
    first = await admin.post(URL, json={"text": "once"}, headers=key)
    again = await admin.post(URL, json={"text": "once"}, headers=key)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    other = await admin.post(URL, json={"text": "other"}, headers=key)
    assert problem(other) == (422, "idempotency_key_reused")
    elsewhere = await admin.post("/v1/customers/crm:7/notes", json={"text": "once"}, headers=key)
    assert problem(elsewhere) == (422, "idempotency_key_reused")
    await admin.post(URL, json={"text": "without a key"})
    await admin.post(URL, json={"text": "without a key"})
    assert len((await admin.get(URL)).json()["data"]) == 3


@pytest.mark.usefixtures("ada")
async def test_keys_of_different_callers_do_not_meet(admin: httpx.AsyncClient, service: Service) -> None:
    key = {"Idempotency-Key": "n-1"}
    agent = await service.client(await service.key("support", source="helpdesk"))
    mine = await admin.post(URL, json={"text": "x"}, headers=key)
    theirs = await agent.post(URL, json={"text": "x"}, headers=key)
    assert mine.json()["id"] != theirs.json()["id"]


@pytest.mark.usefixtures("ada")
async def test_a_note_sent_many_times_at_once_is_written_once(admin: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *[admin.post(URL, json={"text": "once"}, headers={"Idempotency-Key": "n-1"}) for _ in range(8)]
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {problem(answer)[1] for answer in answers if answer.status_code == 409} <= {
        "idempotency_in_flight"
    }
    assert len((await admin.get(URL)).json()["data"]) == 1


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    "body, code",
    [
        ({}, "validation_failed"),
        ({"text": ""}, "validation_failed"),
        ({"text": "x" * 10_001}, "validation_failed"),
        ({"text": "a\x00"}, "invalid_text"),
        ({"text": "a", "author": "me"}, "validation_failed"),
    ],
)
async def test_what_is_no_note_is_refused(admin: httpx.AsyncClient, body: dict[str, Any], code: str) -> None:
    assert problem(await admin.post(URL, json=body)) == (422, code)
    assert (await admin.get(URL)).json()["data"] == []


async def test_nobody_has_notes_who_does_not_exist(admin: httpx.AsyncClient) -> None:
    assert problem(await admin.post(URL, json={"text": "x"})) == (404, "customer_not_found")
    assert problem(await admin.get(URL)) == (404, "customer_not_found")
