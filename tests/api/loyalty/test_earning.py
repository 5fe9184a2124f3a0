"""What purchases earn and refunds take back, as storefronts see it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.usecases.verify import verify
from tests.api.conftest import Service
from tests.api.loyalty.conftest import CLUB, RULES, publish

POSTS = "/v1/touchpoints"
LOYALTY = "/v1/customers/external_id:42/loyalty"
ENTRIES = "/v1/loyalty/entries?customer=external_id:42"


def bought(name: str, amount: int = 4_999, **said: Any) -> dict[str, Any]:
    """A purchase by customer 42."""
    return {
        "id": name,
        "customer": "external_id:42",
        "kind": "purchase",
        "amount_minor": amount,
        "currency": "EUR",
    } | said


def refunded(name: str, amount: int, order_id: str | None = "A-1", **said: Any) -> dict[str, Any]:
    return bought(name, amount, kind="refund", **({"order_id": order_id} if order_id else {}), **said)


async def posted(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(POSTS, json=body)
    assert answer.status_code in {200, 201}, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def entries(client: httpx.AsyncClient) -> list[tuple[str, int]]:
    return [(one["kind"], one["points"]) for one in (await client.get(ENTRIES)).json()["data"]]


async def sound(service: Service) -> bool:
    """Whether every account is what its entries come to, and every state what its log comes to."""
    return sum(result.differences for result in await verify(service.app.state.database)) == 0


pytestmark = pytest.mark.usefixtures("ada")


async def test_without_a_programme_nothing_is_told_of_points(admin: httpx.AsyncClient) -> None:
    assert (await posted(admin, bought("p")))["loyalty"] is None


@pytest.mark.usefixtures("club")
async def test_a_purchase_earns_and_says_so(admin: httpx.AsyncClient, service: Service) -> None:
    told = (await posted(admin, bought("p")))["loyalty"]
    assert told == {"points_earned": 49, "points_clawed": 0, "available": 0, "pending": 49, "tier": "base"}
    now = (await admin.get(LOYALTY)).json()
    assert (now["pending"], now["lifetime_earned"], now["tier"]["code"]) == (49, 49, "base")
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_what_moves_no_money_is_told_nothing_of_points(admin: httpx.AsyncClient) -> None:
    visit = {"id": "v", "customer": "external_id:42", "kind": "visit"}
    assert (await posted(admin, visit))["loyalty"] is None


@pytest.mark.usefixtures("club")
async def test_case_21_a_purchase_posted_five_times_earns_once_with_the_same_answer(
    admin: httpx.AsyncClient,
) -> None:
    first = await posted(admin, bought("p", order_id="A-1"))
    for _ in range(4):
        again = await posted(admin, bought("p", order_id="A-1"))
        assert again == first | {"duplicate": True}
    assert await entries(admin) == [("earn", 49)]


@pytest.mark.usefixtures("club")
async def test_an_order_earns_once_however_its_purchase_is_called(admin: httpx.AsyncClient) -> None:
    await posted(admin, bought("p", order_id="A-1"))
    other = await posted(admin, bought("q", order_id="A-1"))
    assert other["loyalty"]["points_earned"] == 0
    assert await entries(admin) == [("earn", 49)]


@pytest.mark.usefixtures("club")
async def test_purchases_of_one_batch_follow_one_another(admin: httpx.AsyncClient, service: Service) -> None:
    batch = [bought(f"p-{number}", 10_050) for number in range(12)] + [refunded("r", 1)]
    answer = await admin.post(f"{POSTS}/batch", json={"touchpoints": batch})
    assert answer.json()["stored"] == 13, answer.text
    assert await entries(admin) == [("earn", 100)] * 12
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_many_writers_at_once_lose_and_double_no_point(
    admin: httpx.AsyncClient, service: Service
) -> None:
    said = [bought(f"p-{number % 10}", 1_000, order_id=f"A-{number % 10}") for number in range(40)]
    gifts = [
        {"id": f"g-{number}", "customer": "external_id:42", "points": 1, "reason_code": "service"}
        for number in range(10)
    ]
    posts = [admin.post(POSTS, json=one) for one in said]
    given = [admin.post("/v1/loyalty/adjustments", json=one) for one in gifts]
    answers = await asyncio.gather(*posts, *given)
    assert {answer.status_code for answer in answers} <= {200, 201}
    now = (await admin.get(LOYALTY)).json()
    assert (now["pending"], now["available"]) == (100, 10)
    assert await sound(service)


# --- refunds ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("club")
async def test_case_16_refunds_take_exactly_what_was_earned(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await publish(admin, earning_rules=[{"code": "base", "points": 33, "per_amount_minor": 9_999}])
    assert (await posted(admin, bought("p", 9_999, order_id="A-1")))["loyalty"]["points_earned"] == 33
    taken = [
        (await posted(admin, refunded(f"r-{number}", 3_333)))["loyalty"]["points_clawed"]
        for number in range(3)
    ]
    assert taken == [11, 11, 11]
    assert (await admin.get(LOYALTY)).json()["pending"] == 0
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_refunds_of_less_than_a_point_add_up(admin: httpx.AsyncClient, service: Service) -> None:
    await posted(admin, bought("p", 1_000, order_id="A-1"))
    taken = [
        (await posted(admin, refunded(f"r-{number}", 40)))["loyalty"]["points_clawed"] for number in range(5)
    ]
    assert taken == [0, 0, 1, 0, 1]
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_case_11_a_partial_refund_of_pending_points_leaves_the_rest_pending(
    admin: httpx.AsyncClient,
) -> None:
    await posted(admin, bought("p", 10_000, order_id="A-1"))
    told = (await posted(admin, refunded("r", 6_000)))["loyalty"]
    assert (told["points_clawed"], told["pending"]) == (60, 40)


@pytest.mark.usefixtures("club")
async def test_a_refund_without_an_order_takes_nothing(admin: httpx.AsyncClient) -> None:
    await posted(admin, bought("p"))
    told = (await posted(admin, refunded("r", 4_999, None)))["loyalty"]
    assert (told["points_clawed"], told["pending"]) == (0, 49)


@pytest.mark.usefixtures("club")
async def test_case_23_a_refund_before_its_order_waits_and_is_applied_when_it_comes(
    admin: httpx.AsyncClient, service: Service
) -> None:
    early = await posted(admin, refunded("r", 2_000))
    assert (early["pending_match"], early["loyalty"]["points_clawed"]) == (True, 0)
    late = (await posted(admin, bought("p", 10_000, order_id="A-1")))["loyalty"]
    assert (late["points_earned"], late["points_clawed"], late["pending"]) == (100, 20, 80)
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_a_support_desk_refunds_what_the_shop_has_sold(
    admin: httpx.AsyncClient, service: Service
) -> None:
    shop = await service.client(await service.key("storefront", source="shop-eu"))
    desk = await service.client(await service.key("admin", source="desk"))
    await posted(shop, bought("p", 10_000, order_id="A-1"))
    assert (await posted(desk, refunded("r", 5_000)))["loyalty"]["points_clawed"] == 50
    assert (await posted(desk, refunded("early", 5_000, "A-2")))["pending_match"]
    assert (await posted(shop, bought("p2", 10_000, order_id="A-2")))["loyalty"]["pending"] == 100
    assert (await admin.get(LOYALTY)).json()["pending"] == 100


@pytest.mark.usefixtures("club")
async def test_case_22_paid_cancelled_paid_earns_loses_and_earns(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await posted(admin, bought("p", 10_000, order_id="A-1"))
    gone = bought("c", kind="order_cancelled", order_id="A-1")
    del gone["amount_minor"], gone["currency"]
    assert (await posted(admin, gone))["loyalty"]["points_clawed"] == 100
    # Long after: an order that is over takes nothing, and parks nothing for the next payment.
    assert (await posted(admin, refunded("late", 5_000)))["loyalty"]["points_clawed"] == 0
    assert (await posted(admin, bought("p2", 10_000, order_id="A-1")))["loyalty"]["points_earned"] == 100
    assert await entries(admin) == [("earn", 100), ("clawback", -100), ("earn", 100)]
    assert await sound(service)


@pytest.mark.usefixtures("club")
@pytest.mark.parametrize(
    "policy, taken, available",
    [("only_pending", 0, 0), ("within_balance", 0, 0), ("unlimited", 100, -100)],
)
async def test_case_12_a_full_refund_after_all_was_spent_goes_by_the_policy(
    admin: httpx.AsyncClient, service: Service, policy: str, taken: int, available: int
) -> None:
    await publish(admin, clawback=policy, pending_days=0)
    await posted(admin, bought("p", 10_000, order_id="A-1"))
    spent = {"id": "s", "customer": "external_id:42", "points": -100, "reason_code": "correction"}
    assert (await admin.post("/v1/loyalty/adjustments", json=spent)).status_code == 201
    told = (await posted(admin, refunded("r", 10_000)))["loyalty"]
    assert (told["points_clawed"], told["available"]) == (taken, available)
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_case_13_a_debt_is_paid_by_what_is_earned_next(admin: httpx.AsyncClient) -> None:
    await publish(admin, clawback="unlimited", pending_days=0)
    await posted(admin, bought("p", 10_000, order_id="A-1"))
    spent = {"id": "s", "customer": "external_id:42", "points": -100, "reason_code": "correction"}
    await admin.post("/v1/loyalty/adjustments", json=spent)
    await posted(admin, refunded("r", 10_000))
    assert (await posted(admin, bought("p2", 7_000)))["loyalty"]["available"] == -30
    assert (await posted(admin, bought("p3", 5_000)))["loyalty"]["available"] == 20


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


# --- taken back -------------------------------------------------------------------------------------------------------


async def voided(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.delete(f"{POSTS}/{name}?customer=external_id:42")
    assert answer.status_code == 200, answer.text


@pytest.mark.usefixtures("club")
@pytest.mark.parametrize("order", [{}, {"order_id": "A-1"}])
async def test_a_purchase_that_is_taken_back_loses_what_it_earned_once(
    admin: httpx.AsyncClient, service: Service, order: dict[str, Any]
) -> None:
    await posted(admin, bought("p", 10_000, **order))
    for _ in range(2):
        await voided(admin, "p")
    assert await entries(admin) == [("earn", 100), ("clawback", -100)]
    right = (await posted(admin, bought("right", 7_000, **order)))["loyalty"]
    assert (right["points_earned"], right["pending"]) == (70, 70)
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_taking_back_a_purchase_takes_what_its_refunds_have_left(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await posted(admin, bought("p", 10_000, order_id="A-1"))
    await posted(admin, refunded("r", 2_500))
    await voided(admin, "p")
    assert await entries(admin) == [("earn", 100), ("clawback", -25), ("clawback", -75)]
    # Its refund waits again, for points as for health.
    right = (await posted(admin, bought("right", 8_000, order_id="A-1")))["loyalty"]
    assert (right["points_earned"], right["points_clawed"], right["pending"]) == (80, 25, 55)
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_a_purchase_of_a_whole_order_that_is_taken_back_is_paid_anew_by_its_next_state(
    admin: httpx.AsyncClient, service: Service
) -> None:
    state = {
        "customer": "external_id:42",
        "status": "paid",
        "version": 1,
        "placed_at": "2026-11-20T10:15:00Z",
        "currency": "EUR",
        "lines": [{"line_id": "1", "net_minor": 1_000}],
    }
    assert (await admin.put("/v1/orders/A-1", json=state)).status_code == 200
    more = state | {"version": 2, "lines": [{"line_id": "1", "net_minor": 1_500}]}
    assert (await admin.put("/v1/orders/A-1", json=more)).status_code == 200
    await voided(admin, "order:A-1:2:addition")
    assert await entries(admin) == [("earn", 10), ("earn", 5), ("clawback", -5)]
    await voided(admin, "order:A-1:1:purchase")
    told = (await admin.put("/v1/orders/A-1", json=more | {"version": 3})).json()
    assert [effect["what"] for effect in told["effects"]] == ["repayment"]
    assert (await admin.get(LOYALTY)).json()["pending"] == 15
    assert await sound(service)
