"""No name stands for many people: placeholders are refused, and nobody goes by any number of names."""

from typing import Any

import httpx
import pytest

from app.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"most_identifiers": 3})


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize(
    "identifiers",
    [{"external_id": "unknown"}, {"external_id": "42", "email": "Test@shop.example"}, {"crm": "NULL"}],
)
@pytest.mark.parametrize(
    "path, said",
    [
        ("/v1/touchpoints", {"kind": "visit"}),
        ("/v1/feedback", {"kind": "nps", "rating": 9}),
        ("/v1/complaints", {"subject": "Late"}),
    ],
)
async def test_a_placeholder_names_nobody(
    admin: httpx.AsyncClient, path: str, said: dict[str, Any], identifiers: dict[str, str]
) -> None:
    answer = await admin.post(path, json={"customer": identifiers, **said})
    assert problem(answer) == (422, "blocked_identifier")
    assert "unknown" not in str(answer.json().get("errors", ""))
    assert (await admin.get("/v1/customers")).json()["data"] == []


async def test_an_order_of_a_placeholder_is_nobodys(admin: httpx.AsyncClient) -> None:
    order = {
        "status": "paid",
        "version": 1,
        "placed_at": "2026-11-20T10:15:00Z",
        "currency": "EUR",
        "lines": [],
    }
    answer = await admin.put("/v1/orders/A-1", json=order | {"customer": {"external_id": "unknown"}})
    assert problem(answer) == (422, "blocked_identifier")


async def test_nobody_is_made_or_named_by_a_placeholder(admin: httpx.AsyncClient) -> None:
    made = await admin.post("/v1/customers", json={"identifiers": {"email": "noreply@shop.example"}})
    assert problem(made) == (422, "blocked_identifier")
    await admin.post("/v1/customers", json={"identifiers": {"external_id": "42"}})
    url = "/v1/customers/external_id:42/identifiers"
    answer = await admin.post(url, json={"type": "email", "value": "no-reply@shop.example"})
    assert problem(answer) == (422, "blocked_identifier")
    # It is the whole value that is compared.
    assert (await admin.post(url, json={"type": "email", "value": "latest@x.example"})).status_code == 201


async def test_nobody_goes_by_any_number_of_names(admin: httpx.AsyncClient) -> None:
    names = {"external_id": "1", "email": "ada@shop.example", "crm": "7"}
    assert (await admin.post("/v1/customers", json={"identifiers": names})).status_code == 201
    more = names | {"pos": "9"}
    answer = await admin.post("/v1/touchpoints", json={"customer": more, "kind": "visit"})
    assert problem(answer) == (409, "too_many_identifiers")
    url = "/v1/customers/external_id:1/identifiers"
    answer = await admin.post(url, json={"type": "pos", "value": "9"})
    assert problem(answer) == (409, "too_many_identifiers")
    assert answer.json()["most"] == 3
    # Those known already are no new ones.
    answer = await admin.post("/v1/touchpoints", json={"customer": names, "kind": "visit"})
    assert answer.status_code == 201
    fresh = {f"system_{number}": "1" for number in range(4)}
    answer = await admin.post("/v1/customers", json={"identifiers": fresh})
    assert problem(answer) == (409, "too_many_identifiers")


async def test_a_merge_does_not_make_a_crowd(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/customers", json={"identifiers": {"external_id": "1", "crm": "1"}})
    await admin.post("/v1/customers", json={"identifiers": {"external_id": "2", "crm": "2"}})
    said = {"from": "external_id:2", "reason": "Same address"}
    answer = await admin.post("/v1/customers/external_id:1/merge", json=said)
    assert problem(answer) == (409, "too_many_identifiers")
    ids = [(await admin.get(f"/v1/customers/external_id:{n}")).json()["id"] for n in (1, 2)]
    assert len(set(ids)) == 2
