"""Overrides of health and agents' sentiments."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.api.conftest import Service

CUSTOMER = "/v1/customers/external_id:42"
HEALTH = f"{CUSTOMER}/health"
NOW = datetime.now(UTC)


def until(days: float) -> str:
    return (NOW + timedelta(days=days)).isoformat().replace("+00:00", "Z")


WANTED: dict[str, Any] = {"score": 35, "reason": "They told us that they are leaving.", "until": until(30)}


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def buy(client: httpx.AsyncClient) -> dict[str, Any]:
    body = {"kind": "purchase", "customer": "external_id:42", "amount_minor": 4999, "currency": "EUR"}
    told: dict[str, Any] = (await client.post("/v1/touchpoints", json=body)).json()
    return told


async def test_an_override_stands_beside_the_score_and_no_event_wipes_it(admin: httpx.AsyncClient) -> None:
    await buy(admin)
    set_ = (await admin.put(f"{HEALTH}/override", json=WANTED)).json()
    assert {name: set_[name] for name in WANTED} == WANTED
    assert set_["set_by"] == "admin"
    posted = await buy(admin)
    health = (await admin.get(HEALTH)).json()
    assert (health["override"], health["score"]) == (set_, posted["health"]["score"])
    context = (await admin.get(f"{CUSTOMER}/context")).json()
    assert context["health"]["override"] == set_
    assert f"Set to 35 by hand until {WANTED['until'][:10]}." in context["summary"]
    told = (await admin.get(f"{CUSTOMER}/context?format=markdown")).text
    assert f"Set by hand to 35 until {WANTED['until'][:10]}: They told us that they are leaving." in told
    past = (await admin.get(HEALTH, params={"as_of": until(-1)})).json()
    assert past["override"] is None
    for _ in range(2):
        assert (await admin.delete(f"{HEALTH}/override")).status_code == 204
    assert (await admin.get(HEALTH)).json()["override"] is None


async def test_an_override_expires_by_itself_and_the_context_says_so(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await buy(admin)
    await admin.put(f"{HEALTH}/override", json=WANTED)
    etag = (await admin.get(f"{CUSTOMER}/context")).headers["etag"]
    async with service.app.state.database.transaction() as session:
        await session.execute(
            text("UPDATE health_overrides SET set_at = :before, until = :then"),
            {"before": NOW - timedelta(days=2), "then": NOW - timedelta(days=1)},
        )
    assert (await admin.get(HEALTH)).json()["override"] is None
    context = await admin.get(f"{CUSTOMER}/context", headers={"If-None-Match": etag})
    assert context.status_code == 200
    assert context.json()["health"]["override"] is None


async def test_a_second_override_takes_the_place_of_the_first(admin: httpx.AsyncClient) -> None:
    await buy(admin)
    await admin.put(f"{HEALTH}/override", json=WANTED)
    await admin.put(f"{HEALTH}/override", json=WANTED | {"score": 90})
    assert (await admin.get(HEALTH)).json()["override"]["score"] == 90


@pytest.mark.parametrize(
    "members, code, pointer",
    [
        ({"until": until(-1)}, "in_the_past", "#/until"),
        ({"until": until(366)}, "too_far_ahead", "#/until"),
        ({"until": "2027-01-01T00:00:00"}, "naive_time", "#/until"),
        ({"reason": "  "}, "reason_required", "#/reason"),
        ({"reason": ""}, "validation_failed", "#/reason"),
        ({"score": 101}, "validation_failed", "#/score"),
        ({"score": -1}, "validation_failed", "#/score"),
    ],
)
async def test_an_override_that_cannot_be_is_refused_where_it_is_wrong(
    admin: httpx.AsyncClient, members: dict[str, Any], code: str, pointer: str
) -> None:
    await buy(admin)
    answer = await admin.put(f"{HEALTH}/override", json=WANTED | members)
    assert problem(answer) == (422, code)
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("missing", ["score", "reason", "until"])
async def test_an_override_needs_its_reason_and_its_end(admin: httpx.AsyncClient, missing: str) -> None:
    await buy(admin)
    body = {name: value for name, value in WANTED.items() if name != missing}
    answer = await admin.put(f"{HEALTH}/override", json=body)
    assert problem(answer) == (422, "validation_failed")
    assert answer.json()["errors"][0]["pointer"] == f"#/{missing}"


async def test_an_agent_says_how_they_found_the_customer(service: Service, admin: httpx.AsyncClient) -> None:
    score = (await buy(admin))["health"]["score"]
    support = await service.client(await service.key("support", source="helpdesk"))
    said = {"sentiment": "unhappy", "note": "Tired of waiting."}
    told = (await support.put(f"{HEALTH}/sentiment", json=said)).json()
    assert {name: told[name] for name in said} == said
    assert told["set_by"] == "helpdesk"
    health = (await admin.get(HEALTH)).json()
    assert (health["sentiment"], health["score"]) == (told, score)
    context = (await admin.get(f"{CUSTOMER}/context")).json()
    assert context["health"]["sentiment"] == told
    await support.put(f"{HEALTH}/sentiment", json={"sentiment": "happy"})
    assert (await admin.get(HEALTH)).json()["sentiment"]["note"] is None
    assert (await support.delete(f"{HEALTH}/sentiment")).status_code == 204
    assert (await admin.get(HEALTH)).json()["sentiment"] is None
    assert problem(await support.put(f"{HEALTH}/sentiment", json={"sentiment": "angry"})) == (
        422,
        "validation_failed",
    )


@pytest.mark.parametrize("what, body", [("override", WANTED), ("sentiment", {"sentiment": "happy"})])
async def test_nothing_is_said_of_nobody(admin: httpx.AsyncClient, what: str, body: dict[str, Any]) -> None:
    assert problem(await admin.put(f"{HEALTH}/{what}", json=body)) == (404, "customer_not_found")
    assert problem(await admin.delete(f"{HEALTH}/{what}")) == (404, "customer_not_found")


async def test_overriding_is_for_admins(service: Service, admin: httpx.AsyncClient) -> None:
    await buy(admin)
    support = await service.client(await service.key("support"))
    assert problem(await support.put(f"{HEALTH}/override", json=WANTED)) == (403, "scope_missing")
    shop = await service.client(await service.key("storefront", scopes=["customers:read"]))
    assert problem(await shop.put(f"{HEALTH}/sentiment", json={"sentiment": "happy"})) == (
        403,
        "scope_missing",
    )


async def test_health_says_that_money_is_missing(admin: httpx.AsyncClient) -> None:
    await buy(admin)
    assert (await admin.get(HEALTH)).json()["data_flags"] == []
    body = {
        "id": "usd",
        "kind": "purchase",
        "customer": "external_id:42",
        "amount_minor": 4999,
        "currency": "USD",
    }
    await admin.post("/v1/touchpoints", json=body)
    assert (await admin.get(HEALTH)).json()["data_flags"] == ["without_value"]
    await admin.delete("/v1/touchpoints/usd", params={"customer": "external_id:42"})
    assert (await admin.get(HEALTH)).json()["data_flags"] == []


async def test_who_unsubscribed_is_flagged_until_it_is_taken_back(admin: httpx.AsyncClient) -> None:
    await buy(admin)
    context = await admin.get(f"{CUSTOMER}/context")
    assert context.json()["health"]["red_flags"] == []
    body = {
        "id": "bye",
        "kind": "unsubscribed",
        "customer": "external_id:42",
        "occurred_at": until(-10),
    }
    await admin.post("/v1/touchpoints", json=body)
    assert (await admin.get(HEALTH)).json()["red_flags"] == ["opted_out"]
    assert (await admin.get(HEALTH, params={"as_of": until(-11)})).json()["red_flags"] == []
    flagged = await admin.get(f"{CUSTOMER}/context", headers={"If-None-Match": context.headers["ETag"]})
    assert (flagged.status_code, flagged.json()["health"]["red_flags"]) == (200, ["opted_out"])
    await admin.delete("/v1/touchpoints/bye", params={"customer": "external_id:42"})
    assert (await admin.get(HEALTH)).json()["red_flags"] == []
    assert (await admin.get(f"{CUSTOMER}/context")).json()["health"]["red_flags"] == []
