"""What an order would earn and what points could buy, over HTTP."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from tests.api.conftest import Service
from tests.api.loyalty.conftest import publish
from tests.api.loyalty.spending import ADA, REWARDS, Till, earn, problem

URL = "/v1/loyalty/quote"
LINE = {"line_id": "1", "sku": "X", "category": "shoes", "net_minor": 4_250, "tax_minor": 800}
ORDER: dict[str, Any] = {"customer": ADA, "currency": "EUR", "lines": [LINE], "shipping_minor": 490}
FIRST = {"code": "first", "points": 5, "when": {"first_purchase": True}}
RULES: dict[str, Any] = {
    "earning_rules": [
        {"code": "base", "points": 1, "per_amount_minor": 100, "caps": {"per_period": 50, "period_days": 7}},
        {"code": "shirts", "multiplier": "2", "when": {"category": ["shirts"]}},
        {"code": "app", "multiplier": "3", "when": {"channel": ["app"]}},
        FIRST,
    ],
    "tiers": [{"code": "base", "threshold": 0}, {"code": "silver", "threshold": 500, "multiplier": "2"}],
}

pytestmark = pytest.mark.usefixtures("club", "ada")


@pytest.fixture(autouse=True)
async def rules(admin: httpx.AsyncClient, club: dict[str, Any]) -> None:
    assert club
    versions = "/v1/loyalty/programs/main/versions"
    drafted = await admin.post(versions, json=RULES)
    assert drafted.status_code == 201, drafted.text
    assert (await admin.post(f"{versions}/2/publish")).status_code == 200


async def test_a_quote_says_what_an_order_would_earn_and_why_not_more(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(URL, json=ORDER | {"order_id": "A-1", "status": "paid", "version": 1})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["points"], told["missing_minor"], told["tier"], told["available"]) == (47, 50, "base", 0)
    assert [(one["rule"], one["points"]) for one in told["applied"]] == [("base", "42.5"), ("first", "5")]
    assert {one["rule"]: one["reason"] for one in told["not_applied"]} == {
        "shirts": "no_matching_line",
        "app": "channel",
    }
    assert all(one["why"] for one in told["not_applied"])


async def test_a_quote_goes_by_the_tier_and_what_points_paid(till: Till, service: Service) -> None:
    await earn(service, 500, "o", qualifying=500)
    told = (await till.client.post(URL, json=ORDER | {"points_paid_minor": 5_540})).json()
    assert (told["tier"], told["available"], told["points"]) == ("silver", 500, 10)


async def test_another_currency_needs_a_rate(admin: httpx.AsyncClient) -> None:
    told = (await admin.post(URL, json=ORDER | {"currency": "USD"})).json()
    assert (told["points"], told["reason"]) == (0, "no_exchange_rate")
    told = (await admin.post(URL, json=ORDER | {"currency": "USD", "exchange_rate": "0.5"})).json()
    assert told["points"] == 26


async def test_a_time_before_the_first_version_earns_nothing(admin: httpx.AsyncClient) -> None:
    told = (await admin.post(URL, json=ORDER | {"placed_at": "2025-12-31T00:00:00Z"})).json()
    assert (told["points"], told["reason"]) == (0, "no_programme")


async def test_rewards_within_reach_and_what_is_missing_to_others(
    till: Till, admin: httpx.AsyncClient
) -> None:
    for code, terms in (
        ("cup", {"points": 40}),
        ("mug", {"points": 100}),
        ("gold", {"points": 30, "tier": "silver", "stock": 0}),
        ("gone", {"points": 1}),
        ("once", {"points": 10, "per_customer": 1}),
    ):
        made = await admin.post(REWARDS, json={"code": code, "name": code, **terms})
        assert made.status_code == 201, made.text
    await admin.patch(f"{REWARDS}/gone", json={"retired": True})
    await till.give(70)
    await till.held(reward="once")
    told = (await admin.post(URL, json=ORDER)).json()
    assert [(one["code"], one["points"]) for one in told["rewards"]] == [("cup", 40)]
    assert {one["code"]: (one["unmet"], one["missing"]) for one in told["out_of_reach"]} == {
        "mug": (["points"], 40),
        "gold": (["tier", "out_of_stock"], 0),
        "once": (["limit"], 0),
    }


async def test_a_quote_writes_nothing_and_asks_the_same_however_many_rewards(
    service: Service, admin: httpx.AsyncClient
) -> None:
    asked: list[str] = []

    @event.listens_for(service.app.state.database.engine.sync_engine, "checkout")
    def spy(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
        dbapi_connection.driver_connection.add_query_logger(lambda query: asked.append(query.query))

    counts = []
    for number in range(0, 6, 3):
        for own in range(number, number + 3):
            code = f"r-{own}"
            await admin.post(REWARDS, json={"code": code, "name": code, "points": 1, "per_customer": 1})
        asked.clear()
        assert (await admin.post(URL, json=ORDER)).status_code == 200
        said = set(asked)
        assert not [one for one in said if "INSERT" in one or "UPDATE" in one or "DELETE" in one]
        counts.append(len(said))
    assert counts[0] == counts[1] <= 8
    assert (await admin.get(f"/v1/customers/{ADA}/loyalty")).json()["as_of_seq"] == 0


@pytest.mark.parametrize(
    "said, status, code",
    [
        ({"customer": "external_id:43"}, 404, "customer_not_found"),
        ({"program": "x"}, 404, "program_not_found"),
        ({"currency": "XTS"}, 422, "unknown_currency"),
        ({"lines": [LINE | {"net_minor": -1}]}, 422, "validation_failed"),
        ({"lines": [LINE | {"colour": "red"}]}, 422, "validation_failed"),
        ({"status": "lost"}, 422, "validation_failed"),
    ],
)
async def test_what_cannot_be_quoted(
    admin: httpx.AsyncClient, said: dict[str, Any], status: int, code: str
) -> None:
    answer = await admin.post(URL, json=ORDER | said)
    assert problem(answer)[0] == status
    assert answer.json()["code"] in (code, "validation_failed")


async def test_who_may_ask_for_a_quote(service: Service) -> None:
    stranger = await service.client(await service.key(scopes=["customers:read"]))
    assert problem(await stranger.post(URL, json=ORDER)) == (403, "scope_missing")


async def test_a_quote_knows_the_segments_of_its_customer_as_the_purchase_does(
    admin: httpx.AsyncClient,
) -> None:
    vip = {"code": "vip", "points": 7, "when": {"segment": ["vip"]}}
    await publish(admin, earning_rules=[*RULES["earning_rules"], vip])
    without = (await admin.post(URL, json=ORDER)).json()
    assert {one["rule"]: one["reason"] for one in without["not_applied"]}["vip"] == "segment"
    tagged = await admin.patch(f"/v1/customers/{ADA}", json={"tags": ["segment:vip", "vip-ish"]})
    assert tagged.status_code == 200, tagged.text
    told = (await admin.post(URL, json=ORDER)).json()
    assert ("vip", "7") in [(one["rule"], one["points"]) for one in told["applied"]]
    order = ORDER | {"status": "paid", "version": 1}
    put = await admin.put("/v1/orders/A-1", json=order | {"placed_at": datetime.now(UTC).isoformat()})
    assert put.status_code in (200, 201), put.text
    assert put.json()["effects"][0]["loyalty"]["points_earned"] == told["points"]
