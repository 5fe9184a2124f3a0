"""By which rules purchases earn: versions, conditions, caps, currencies, and the tiers that rise by it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.api.conftest import Service
from tests.api.loyalty.conftest import CLUB, RULES, publish
from tests.api.loyalty.test_earning import ENTRIES, LOYALTY, POSTS, bought, entries, posted, refunded, sound

pytestmark = pytest.mark.usefixtures("ada")

# --- the rules in force -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("club")
async def test_case_17_a_point_is_whole_or_none(admin: httpx.AsyncClient) -> None:
    await publish(admin, earning_rules=[{"code": "base", "points": 1, "per_amount_minor": 1_000}])
    assert (await posted(admin, bought("p", 10_500)))["loyalty"]["points_earned"] == 10
    assert (await posted(admin, bought("q", 999)))["loyalty"]["points_earned"] == 0


@pytest.mark.usefixtures("club")
async def test_case_18_multipliers_multiply_and_the_floor_comes_once(admin: httpx.AsyncClient) -> None:
    await publish(
        admin,
        earning_rules=[
            {"code": "base", "points": 1, "per_amount_minor": 100},
            {"code": "web", "multiplier": "1.5", "when": {"channel": ["web"]}},
            {"code": "shoes", "multiplier": "1.1", "when": {"category": ["shoes"]}},
        ],
    )
    item = {"sku": "X1", "amount_minor": 500, "category": "shoes"}
    told = await posted(admin, bought("p", 500, channel="web", items=[item]))
    assert told["loyalty"]["points_earned"] == 8
    assert (await posted(admin, bought("q", 500, channel="app")))["loyalty"]["points_earned"] == 5


@pytest.mark.usefixtures("club")
async def test_case_19_a_refund_goes_by_what_was_recorded(admin: httpx.AsyncClient) -> None:
    await posted(admin, bought("p", 10_000, order_id="A-1"))
    await publish(admin, earning_rules=[{"code": "base", "points": 10, "per_amount_minor": 100}])
    assert (await posted(admin, refunded("r", 10_000)))["loyalty"]["points_clawed"] == 100


@pytest.mark.usefixtures("club")
async def test_case_20_a_late_event_goes_by_the_version_of_its_time(admin: httpx.AsyncClient) -> None:
    await publish(admin, earning_rules=[{"code": "base", "points": 10, "per_amount_minor": 100}])
    before = bought("p", 1_000, occurred_at="2026-02-01T12:00:00Z")
    assert (await posted(admin, before))["loyalty"]["points_earned"] == 10
    assert (await posted(admin, bought("q", 1_000)))["loyalty"]["points_earned"] == 100


async def test_case_20_points_that_are_past_already_are_earned_and_expire_at_once(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await admin.post("/v1/loyalty/programs", json=CLUB)
    rules = RULES | {"expiry_months": 1, "expiry_rounding": "none"}
    await admin.post("/v1/loyalty/programs/main/versions", json=rules)
    since = {"effective_from": "2026-01-01T00:00:00Z"}
    await admin.post("/v1/loyalty/programs/main/versions/1/publish", json=since)
    long_ago = bought("p", 1_000, occurred_at="2026-02-01T12:00:00Z")
    told = (await posted(admin, long_ago))["loyalty"]
    assert (told["points_earned"], told["available"], told["pending"]) == (10, 0, 0)
    assert await entries(admin) == [("earn", 10), ("expire", -10)]
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_case_33_an_earn_of_no_points_leaves_a_record_that_explains_it(
    admin: httpx.AsyncClient,
) -> None:
    told = (await posted(admin, bought("p", 60)))["loyalty"]
    assert (told["points_earned"], told["pending"]) == (0, 0)
    (entry,) = (await admin.get(ENTRIES)).json()["data"]
    why = (await admin.get(f"/v1/loyalty/entries/{entry['id']}/explain")).json()["explain"]
    assert (entry["points"], why["reason"], why["missing_minor"]) == (0, "less_than_one_point", 40)
    assert (why["version"], why["arrived"]) == (1, {"tier": "base"})


@pytest.mark.usefixtures("club")
async def test_before_the_first_version_nothing_is_earned_and_that_is_said(admin: httpx.AsyncClient) -> None:
    await posted(admin, bought("p", occurred_at="2025-12-31T12:00:00Z"))
    (entry,) = (await admin.get(ENTRIES)).json()["data"]
    why = (await admin.get(f"/v1/loyalty/entries/{entry['id']}/explain")).json()["explain"]
    assert (entry["points"], why["reason"]) == (0, "no_programme")


@pytest.mark.usefixtures("club")
async def test_another_currency_earns_by_its_rate_or_not_at_all(admin: httpx.AsyncClient) -> None:
    rated = bought("p", 10_000, currency="USD", exchange_rate="0.5")
    assert (await posted(admin, rated))["loyalty"]["points_earned"] == 50
    assert (await posted(admin, bought("q", 10_000, currency="USD")))["loyalty"]["points_earned"] == 0


@pytest.mark.usefixtures("club")
async def test_segments_first_purchases_and_caps_decide(admin: httpx.AsyncClient) -> None:
    await publish(
        admin,
        earning_rules=[
            {
                "code": "base",
                "points": 1,
                "per_amount_minor": 100,
                "caps": {"per_period": 150, "period_days": 7},
            },
            {"code": "welcome", "points": 500, "when": {"first_purchase": True}},
            {"code": "gold", "points": 7, "when": {"segment": ["gold"]}},
        ],
    )
    assert (await posted(admin, bought("p", 10_000)))["loyalty"]["points_earned"] == 600
    await admin.patch(
        "/v1/customers/external_id:42",
        json={"tags": ["segment:gold"]},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert (await posted(admin, bought("q", 10_000)))["loyalty"]["points_earned"] == 57
    assert (await posted(admin, bought("r", 10_000)))["loyalty"]["points_earned"] == 7


@pytest.mark.usefixtures("club")
async def test_caps_hold_within_one_group_too(admin: httpx.AsyncClient) -> None:
    rule = {"code": "base", "points": 1, "per_amount_minor": 100}
    await publish(admin, earning_rules=[rule | {"caps": {"per_period": 150, "period_days": 1}}])
    batch = [bought(f"p-{number}", 10_000) for number in range(3)]
    await admin.post(f"{POSTS}/batch", json={"touchpoints": batch})
    assert await entries(admin) == [("earn", 100), ("earn", 50), ("earn", 0)]


@pytest.mark.usefixtures("club")
@pytest.mark.parametrize("beside", [(), (refunded("r", 100),)])
async def test_a_period_is_as_long_as_the_version_in_force_says(
    admin: httpx.AsyncClient, service: Service, beside: tuple[dict[str, Any], ...]
) -> None:
    def capped(days: int) -> list[dict[str, Any]]:
        caps = {"per_period": 150, "period_days": days}
        return [{"code": "base", "points": 1, "per_amount_minor": 100, "caps": caps}]

    await publish(admin, earning_rules=capped(30))
    await posted(admin, bought("p", 10_000, order_id="A-1"))
    async with service.app.state.database.transaction() as session:
        await session.execute(text("UPDATE loyalty_rule_points SET day = day - 10"))
    # What was given ten days ago is in a period of 30 days, and in none of 7.
    for days, earns in ((7, 100), (30, 0)):
        await publish(admin, earning_rules=capped(days))
        batch = [bought(f"q-{days}", 10_000), *({**one, "id": f"r-{days}"} for one in beside)]
        await admin.post(f"{POSTS}/batch", json={"touchpoints": batch})
        assert [points for kind, points in await entries(admin) if kind == "earn"][-1] == earns


@pytest.mark.usefixtures("club")
async def test_case_35_a_closed_programme_earns_no_more(admin: httpx.AsyncClient) -> None:
    ends = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    closed = await admin.post("/v1/loyalty/programs/main/close", json={"ends_at": ends})
    assert closed.status_code == 200, closed.text
    assert (await posted(admin, bought("p")))["loyalty"]["points_earned"] == 0


# --- tiers ------------------------------------------------------------------------------------------------------------

TIERS = [
    {"code": "base", "threshold": 0},
    {"code": "silver", "threshold": 500, "multiplier": "2"},
    {"code": "gold", "threshold": 900, "multiplier": "3"},
]


async def moves(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    told = await client.get("/v1/customers/external_id:42/timeline?kind=tier_changed")
    return [one["properties"] for one in told.json()["data"]]


@pytest.mark.usefixtures("club")
async def test_the_upgrading_order_earns_at_the_tier_before_it(admin: httpx.AsyncClient) -> None:
    await publish(admin, tiers=TIERS)
    first = (await posted(admin, bought("p", 50_000)))["loyalty"]
    assert (first["points_earned"], first["tier"]) == (500, "silver")
    assert (await posted(admin, bought("q", 1_000)))["loyalty"]["points_earned"] == 20
    (move,) = await moves(admin)
    assert (move["from"], move["to"], move["why"]) == ("base", "silver", "upgrade")


@pytest.mark.usefixtures("club")
async def test_case_29_an_order_that_jumps_two_thresholds_is_one_event_naming_both(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await publish(admin, tiers=TIERS)
    assert (await posted(admin, bought("p", 100_000)))["loyalty"]["tier"] == "gold"
    (move,) = await moves(admin)
    assert (move["from"], move["to"], move["passed"]) == ("base", "gold", ["silver", "gold"])
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_case_28_a_refund_below_the_threshold_keeps_the_tier_until_its_review(
    admin: httpx.AsyncClient,
) -> None:
    await publish(admin, tiers=TIERS)
    await posted(admin, bought("p", 50_000, order_id="A-1"))
    assert (await posted(admin, refunded("r", 50_000)))["loyalty"]["tier"] == "silver"
    tier = (await admin.get(LOYALTY)).json()["tier"]
    assert (tier["code"], tier["points_to_keep"]) == ("silver", 500)


@pytest.mark.usefixtures("club")
async def test_a_tier_change_of_a_batch_is_told_once(admin: httpx.AsyncClient, service: Service) -> None:
    await publish(admin, tiers=TIERS)
    batch = {"touchpoints": [bought(f"p-{number}", 30_000) for number in range(4)]}
    for _ in range(2):
        await admin.post(f"{POSTS}/batch", json=batch)
    assert [move["to"] for move in await moves(admin)] == ["gold", "silver"]
    assert await sound(service)
