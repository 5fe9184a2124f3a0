"""DELETE of a touchpoint."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import Service

CUSTOMER = "external_id:42"
ONE = {"customer": CUSTOMER}


async def buy(client: httpx.AsyncClient, id: str, **members: Any) -> dict[str, Any]:  # noqa: A002 - the wire's own name
    body = {"id": id, "kind": "purchase", "customer": CUSTOMER, "amount_minor": 4999, "currency": "EUR"}
    told: dict[str, Any] = (await client.post("/v1/touchpoints", json=body | members)).json()
    return told


async def test_a_void_takes_the_effect_and_leaves_a_marker(
    service: Service, admin: httpx.AsyncClient
) -> None:
    shop = await service.client(await service.key("storefront", source="shop-eu"))
    first = await buy(shop, "1")
    await buy(shop, "2", occurred_at="2026-01-01T00:00:00Z")
    answer = await admin.delete("/v1/touchpoints/2", params=ONE | {"reason": "Sent by a test."})
    told = answer.json()
    assert answer.status_code == 200
    assert (told["id"], told["source"], told["kind"]) == ("2", "shop-eu", "purchase")
    assert (told["voided_by"], told["reason"]) == ("admin", "Sent by a test.")
    assert told["health"]["score"] == first["health"]["score"]
    mark = {name: told[name] for name in ("voided_at", "voided_by", "reason")}
    row = (await admin.get("/v1/touchpoints/2", params=ONE)).json()
    assert row["voided"] == mark
    assert (await admin.get("/v1/touchpoints/1", params=ONE)).json()["voided"] is None
    assert (await admin.delete("/v1/touchpoints/2", params=ONE)).json() == told


async def test_what_was_voided_is_seen_where_single_rows_are_and_nowhere_else(
    admin: httpx.AsyncClient,
) -> None:
    await buy(admin, "1")
    asked = {"complaint_id": "k", "severity": "high"}
    for id, kind, properties in (("c", "complaint_opened", asked), ("n", "nps", {"rating": 9})):  # noqa: A001 - the wire's own name
        body = {"id": id, "kind": kind, "customer": CUSTOMER, "properties": properties}
        await admin.post("/v1/touchpoints", json=body)
        await admin.delete(f"/v1/touchpoints/{id}", params=ONE)
    timeline = (await admin.get(f"/v1/customers/{CUSTOMER}/timeline")).json()["data"]
    assert [row["id"] for row in timeline] == ["1"]
    arrivals = (await admin.get("/v1/touchpoints")).json()["data"]
    assert {row["id"]: row["voided"] is not None for row in arrivals} == {"1": False, "c": True, "n": True}
    context = (await admin.get(f"/v1/customers/{CUSTOMER}/context")).json()
    assert context["open_complaints"] == []
    assert context["feedback"]["latest_nps"] is None
    assert [row["id"] for row in context["recent_touchpoints"]] == ["1"]
    assert context["health"]["red_flags"] == []


async def test_posting_it_again_is_a_duplicate(admin: httpx.AsyncClient) -> None:
    first = await buy(admin, "1")
    await admin.delete("/v1/touchpoints/1", params=ONE)
    again = await buy(admin, "1")
    assert (again["duplicate"], again["health"]) == (True, first["health"])
    assert (await admin.get(f"/v1/customers/{CUSTOMER}/health")).json()["score"] is None


async def test_a_refund_waits_again_for_its_voided_order(admin: httpx.AsyncClient) -> None:
    await buy(admin, "1", order_id="A")
    await buy(admin, "r", kind="refund", order_id="A")
    await admin.delete("/v1/touchpoints/1", params=ONE)
    assert (await admin.get("/v1/touchpoints/r", params=ONE)).json()["pending_match"]
    await admin.delete("/v1/touchpoints/r", params=ONE)
    assert not (await admin.get("/v1/touchpoints/r", params=ONE)).json()["pending_match"]


@pytest.mark.parametrize(
    "path, expected",
    [
        ("/v1/touchpoints/other?customer=external_id:42", (404, "touchpoint_not_found")),
        ("/v1/touchpoints/1?customer=external_id:42&source=other", (404, "touchpoint_not_found")),
        ("/v1/touchpoints/1?customer=external_id:nobody", (404, "customer_not_found")),
        ("/v1/touchpoints/1?customer=nonsense", (422, "invalid_reference")),
        ("/v1/touchpoints/1", (422, "validation_failed")),
    ],
)
async def test_what_cannot_be_voided_is_said(
    admin: httpx.AsyncClient, path: str, expected: tuple[int, str]
) -> None:
    await buy(admin, "1")
    answer = await admin.delete(path)
    assert (answer.status_code, answer.json()["code"]) == expected


async def test_voiding_is_for_admins(service: Service) -> None:
    shop = await service.client(await service.key("storefront"))
    answer = await shop.delete("/v1/touchpoints/1", params=ONE)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_money_without_a_rate_is_flagged_wherever_it_is_shown(admin: httpx.AsyncClient) -> None:
    posted = await buy(admin, "usd", currency="USD")
    assert posted["without_value"]
    assert (await admin.get("/v1/touchpoints/usd", params=ONE)).json()["without_value"]
    rated = await buy(admin, "rated", currency="USD", exchange_rate="0.9")
    assert not rated["without_value"]
    assert not (await admin.get("/v1/touchpoints/rated", params=ONE)).json()["without_value"]
