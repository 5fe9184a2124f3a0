"""What purchases earn and refunds take back while a group of touchpoints is written, told one after the other."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from app.domain.loyalty.known_orders import purchase_key, refund_name
from app.domain.loyalty.passbook import Draft, Move
from app.domain.loyalty.versions import Programme, Published, version_of
from tests.domain.loyalty.ledgers import START, day
from tests.domain.loyalty.passbooks import LONG_AGO, Customer, draft
from tests.domain.loyalty.programmes import BASE, CLUB

# --- purchases without an order --------------------------------------------------------------------------------------


def test_a_purchase_earns_once_and_tells_what_there_is() -> None:
    ada = Customer()
    assert ada.buys(4_999) == {
        "points_earned": 49,
        "points_clawed": 0,
        "available": 49,
        "pending": 0,
        "tier": "base",
    }
    assert ada.buys(4_999)["points_earned"] == 0
    assert ada.buys(1_000, "q")["available"] == 59
    assert ada.earns() == [("purchase:shop/p", 49), ("purchase:shop/q", 10)]
    assert (purchase_key("shop", "p"), refund_name("desk", "r")) == ("purchase:shop/p", "desk/r")


def test_points_that_are_pending_are_told_as_such() -> None:
    told = Customer(draft(pending_days=14)).buys(4_999)
    assert (told["points_earned"], told["available"], told["pending"]) == (49, 0, 49)


def test_an_earn_keeps_when_it_was_what_it_cost_and_why() -> None:
    ada = Customer(draft(earning_rules=[BASE, {"code": "web", "points": 5, "when": {"channel": ["web"]}}]))
    ada.buys(4_999, at=day(-3), received_at=day(1), channel="web", currency="EUR")
    entry, earn = ada.draft.entries[0], ada.draft.account.earns["purchase:shop/p"]
    assert (entry.at, entry.effective_at, entry.qualified_at, entry.qualifying) == (
        day(1),
        day(-3),
        day(-3),
        54,
    )
    assert (earn.paid_minor, earn.points, earn.occurred_at) == (4_999, 54, day(-3))
    said = ada.draft.explains["purchase:shop/p"]
    assert (said["points"], said["version"], said["arrived"]) == (54, 7, {"tier": "base"})
    assert [one["rule"] for one in said["rules"]] == ["base", "web"]


def test_items_and_channels_of_a_touchpoint_reach_the_rules() -> None:
    shoes = {"code": "shoes", "points": 3, "per_amount_minor": 100, "when": {"category": ["shoes"]}}
    items = [{"sku": "A", "category": "shoes", "amount_minor": 1_000, "quantity": 1}]
    assert Customer(draft(earning_rules=[shoes])).buys(4_000, items=items)["points_earned"] == 30


def test_before_there_were_rules_nothing_is_earned_and_the_record_says_so() -> None:
    nobody = Draft(CLUB, [], draft().account, None, 0, {})
    ada = Customer(nobody)
    told = ada.buys(4_999)
    assert (told["points_earned"], told["tier"]) == (0, None)
    assert nobody.explains["purchase:shop/p"]["reason"] == "no_programme"
    assert nobody.explains["purchase:shop/p"]["version"] is None
    assert [(one.kind, one.points) for one in nobody.entries] == [("earn", 0)]


def test_a_late_purchase_earns_by_the_rules_of_its_time() -> None:
    old, new = version_of({"earning_rules": [BASE]}), version_of({"earning_rules": [BASE | {"points": 2}]})
    both = Draft(CLUB, [Published(1, old, LONG_AGO), Published(2, new, day(5))], draft().account, None, 0, {})
    ada = Customer(both).at(6)
    assert ada.buys(1_000, "late", at=day(4), received_at=day(6))["points_earned"] == 10
    assert ada.buys(1_000, "now")["points_earned"] == 20
    assert both.explains["purchase:shop/late"]["version"] == 1


def test_only_the_first_purchase_gets_what_is_for_first_purchases() -> None:
    ada = Customer(draft(earning_rules=[{"code": "new", "points": 50, "when": {"first_purchase": True}}]))
    assert ada.buys(100, "p", first=True)["points_earned"] == 50
    assert ada.buys(100, "q", first=False)["points_earned"] == 0
    assert ada.buys(100, "s", "A", first=True)["points_earned"] == 50
    assert ada.buys(100, "t", "B", first=False)["points_earned"] == 0


def test_segments_open_the_rules_that_are_for_them() -> None:
    ada = Customer(draft(earning_rules=[{"code": "vip", "points": 9, "when": {"segment": ["vip"]}}]))
    assert ada.buys(100, "p")["points_earned"] == 0
    ada.book.segments = frozenset({"vip"})
    assert ada.buys(100, "q")["points_earned"] == 9


def test_tiers_rise_at_once_and_the_raising_purchase_earns_at_the_tier_before() -> None:
    tiers = [{"code": "base", "threshold": 0}, {"code": "gold", "threshold": 100, "multiplier": "2"}]
    ada = Customer(draft(tiers=tiers))
    told = ada.buys(10_000)
    assert (told["points_earned"], told["tier"]) == (100, "gold")
    assert [(number, change.before, change.after) for number, change in ada.draft.changes] == [
        (1, "base", "gold")
    ]
    assert ada.buys(10_000, "q")["points_earned"] == 200
    assert ada.draft.explains["purchase:shop/q"]["arrived"] == {"tier": "gold"}
    assert (len(ada.draft.changes), ada.draft.qualifying) == (1, 300)


CAPPED: dict[str, Any] = BASE | {"caps": {"per_period": 60, "period_days": 30}}


def test_what_a_capped_rule_gave_is_kept_by_the_day_on_which_it_came_in() -> None:
    ada = Customer(draft(earning_rules=[CAPPED, {"code": "plain", "points": 1}]))
    late = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
    assert ada.buys(4_000, "p", at=START, received_at=late)["points_earned"] == 41
    assert ada.buys(4_000, "q", at=START, received_at=late)["points_earned"] == 21
    assert ada.buys(4_000, "s", at=START, received_at=late)["points_earned"] == 1
    # Half past eleven in UTC is the next day in Berlin.
    assert ada.draft.rule_points == {("base", date(2026, 2, 1)): 60}


# --- money of another currency ---------------------------------------------------------------------------------------


def test_a_rate_is_to_the_currency_of_the_shop() -> None:
    bought: dict[str, Any] = {"currency": "USD", "exchange_rate": Decimal("0.5"), "value_minor": 5_000}
    assert Customer().buys(10_000, **bought)["points_earned"] == 50
    assert Customer().buys(10_000, **(bought | {"exchange_rate": None}))["points_earned"] == 0
    elsewhere = Customer(draft(CLUB._replace(currency="CHF")))
    assert elsewhere.buys(10_000, **bought)["points_earned"] == 0
    assert elsewhere.draft.explains["purchase:shop/p"]["reason"] == "no_exchange_rate"
    assert elsewhere.buys(10_000, "q", currency="CHF", exchange_rate=Decimal(2))["points_earned"] == 100


def test_a_refund_in_the_shops_currency_takes_by_its_value_and_in_a_third_one_nothing() -> None:
    def clawed(refund: str, **bought: Any) -> int:
        ada = Customer()
        ada.buys(10_000, "p", "A", **bought)
        told = ada.says("refund", "r", 9_000, "A", currency=refund, value_minor=2_000)
        return int(told["points_clawed"])

    dollars: dict[str, Any] = {"currency": "USD", "exchange_rate": Decimal(1), "value_minor": 10_000}
    assert (clawed("EUR"), clawed("USD")) == (90, 20)
    assert (clawed("USD", **dollars), clawed("EUR", **dollars)) == (90, 0)
    ada = Customer()
    ada.buys(10_000, "p", "A")
    ada.says("refund", "r", 9_000, "A", currency="USD", value_minor=None)
    ada.says("refund", "s", 1_000, "A", currency="USD", value_minor=100)
    assert [move.amount_minor for move in ada.book.moves] == [10_000, 100]
    other = Customer()
    other.buys(10_000, "p", "A", **dollars)
    other.says("refund", "r", 9_000, "A")
    assert [move.kind for move in other.book.moves] == ["paid"]


def test_money_that_comes_and_goes_is_told_to_whoever_lives_from_it() -> None:
    ada = Customer()
    ada.buys(10_050, "p", "A", currency="USD", exchange_rate=Decimal("0.5"), at=day(1))
    ada.returns(3_000, "r", currency="USD", at=day(2))
    ada.cancels("c", at=day(3))
    ada.buys(700, "x", "B", currency="USD", at=day(4))
    key = "order:shop/A:1"
    assert ada.book.moves == [
        Move("paid", key, 10_050, 5_025, day(1)),
        Move("given_back", key, 3_000, 0, day(2)),
        Move("given_back", key, None, 0, day(3)),
        Move("paid", "order:shop/B:1", 700, 0, day(4)),
    ]


def test_what_was_decided_without_entries_changes_no_draft() -> None:
    ada = Customer()
    ada.buys(100)
    was = ada.draft.account
    ada.buys(100)
    assert ada.draft.account is was


def test_a_programme_of_another_zone_counts_days_by_its_own_wall() -> None:
    pacific = Programme("main", "Club", "EUR", ZoneInfo("America/Los_Angeles"))
    ada = Customer(draft(pacific, earning_rules=[CAPPED]))
    ada.buys(100, received_at=datetime(2026, 2, 1, 2, tzinfo=UTC))
    assert list(ada.draft.rule_points) == [("base", date(2026, 1, 31))]
