import asyncio
from typing import Any

import httpx
import pytest


@pytest.fixture
async def ada(admin: httpx.AsyncClient) -> dict[str, Any]:
    answer = await admin.post("/v1/customers", json={"identifiers": {"external_id": "42"}})
    created: dict[str, Any] = answer.json()
    return created


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def test_an_identifier_is_added_once_and_then_leads_to_the_customer(
    admin: httpx.AsyncClient, ada: dict[str, Any]
) -> None:
    email = {"type": "email", "value": "Ada@example.com"}
    url = "/v1/customers/external_id:42/identifiers"
    added = await admin.post(url, json=email)
    assert (added.status_code, added.json()) == (201, email | {"created_at": added.json()["created_at"]})
    again = await admin.post(url, json=email | {"value": "ada@EXAMPLE.com"})
    assert (again.status_code, again.json()) == (200, added.json())
    found = (await admin.get("/v1/customers/email:ada@example.com")).json()
    assert found["id"] == ada["id"]
    assert found["updated_at"] > ada["updated_at"]


async def test_of_several_of_one_type_the_oldest_is_shown_first(
    admin: httpx.AsyncClient, ada: dict[str, Any]
) -> None:
    for value in ("b@example.com", "a@example.com"):
        await admin.post(f"/v1/customers/{ada['id']}/identifiers", json={"type": "email", "value": value})
    shown = (await admin.get(f"/v1/customers/{ada['id']}")).json()
    assert shown["identifiers"] == {"external_id": "42", "email": "b@example.com"}
    assert [held["value"] for held in shown["identifiers_all"]] == ["42", "b@example.com", "a@example.com"]


async def test_an_identifier_of_another_customer_is_a_conflict(
    admin: httpx.AsyncClient, ada: dict[str, Any]
) -> None:
    bob = (await admin.post("/v1/customers", json={"identifiers": {"external_id": "7"}})).json()
    answer = await admin.post(
        f"/v1/customers/{ada['id']}/identifiers", json={"type": "external_id", "value": "7"}
    )
    assert problem(answer) == (409, "identity_conflict")
    assert answer.json()["customers"] == sorted([ada["id"], bob["id"]])


async def test_customers_who_race_for_an_identifier_do_not_both_get_it(admin: httpx.AsyncClient) -> None:
    for number in range(6):
        await admin.post("/v1/customers", json={"identifiers": {"external_id": str(number)}})
    wanted = {"type": "email", "value": "one@example.com"}
    answers = await asyncio.gather(
        *[admin.post(f"/v1/customers/external_id:{number}/identifiers", json=wanted) for number in range(6)]
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5


@pytest.mark.parametrize(
    "body, code, pointer",
    [
        ({"type": "email"}, "validation_failed", "#/value"),
        ({"type": "email", "value": 1}, "validation_failed", "#/value"),
        ({"type": "E-Mail", "value": "a"}, "invalid_identifier", "#/value"),
        ({"type": "phone", "value": "112"}, "invalid_phone", "#/value"),
        ({"type": "email", "value": "a", "x": 1}, "validation_failed", "#/x"),
    ],
)
async def test_what_is_no_identifier_is_refused(
    admin: httpx.AsyncClient, ada: dict[str, Any], body: dict[str, Any], code: str, pointer: str
) -> None:
    answer = await admin.post(f"/v1/customers/{ada['id']}/identifiers", json=body)
    assert problem(answer) == (422, code)
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_nobody_gets_an_identifier_who_does_not_exist(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/v1/customers/external_id:0/identifiers", json={"type": "a", "value": "b"})
    assert problem(answer) == (404, "customer_not_found")


async def test_a_removed_identifier_is_free_for_others(admin: httpx.AsyncClient, ada: dict[str, Any]) -> None:
    url = f"/v1/customers/{ada['id']}/identifiers"
    await admin.post(url, json={"type": "email", "value": "Ada@example.com"})
    removed = await admin.delete(f"{url}/email/ada@example.com")
    assert (removed.status_code, removed.content) == (204, b"")
    assert problem(await admin.get("/v1/customers/email:ada@example.com")) == (404, "customer_not_found")
    assert problem(await admin.delete(f"{url}/email/ada@example.com")) == (404, "identifier_not_found")
    taken = await admin.post("/v1/customers", json={"identifiers": {"email": "ada@example.com"}})
    assert taken.status_code == 201
    assert taken.json()["id"] != ada["id"]


async def test_the_last_identifier_stays(admin: httpx.AsyncClient, ada: dict[str, Any]) -> None:
    url = f"/v1/customers/{ada['id']}/identifiers"
    assert problem(await admin.delete(f"{url}/external_id/42")) == (409, "last_identifier")
    await admin.post(url, json={"type": "crm", "value": "1"})
    answers = await asyncio.gather(admin.delete(f"{url}/external_id/42"), admin.delete(f"{url}/crm/1"))
    assert sorted(answer.status_code for answer in answers) == [204, 409]


async def test_what_cannot_be_an_identifier_cannot_be_removed(
    admin: httpx.AsyncClient, ada: dict[str, Any]
) -> None:
    answer = await admin.delete(f"/v1/customers/{ada['id']}/identifiers/Not-a-type/x")
    assert problem(answer) == (422, "invalid_identifier")
