"""What purchases and occasions earn, and why not more."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.loyalty.conditions import Member
from app.domain.loyalty.earning import (
    Contribution,
    earning_of,
    evaluate,
    evaluate_occasion,
    occasion_key,
    order_key,
)
from app.domain.loyalty.explain import explained, quoted
from app.domain.loyalty.purchases import Line, posted, spread
from app.domain.loyalty.rewards import Buyer, Reward
from app.domain.loyalty.versions import Programme, Published, in_force, version_of
from tests.domain.loyalty.programmes import AT, BASE, BERLIN, CLUB, points, purchase

DOUBLE_SHOES: dict[str, Any] = {"code": "shoes", "multiplier": "2", "when": {"category": ["shoes"]}}
BONUS: dict[str, Any] = {"code": "bonus", "points": 50}


@pytest.mark.parametrize("amount, earned", [(10_500, 10), (999, 0), (1_000, 1), (0, 0)])
def test_case_17_one_point_per_ten(amount: int, earned: int) -> None:
    rule = {"code": "base", "points": 1, "per_amount_minor": 1_000}
    assert points([rule], purchase(amount)).points == earned


def test_case_18_multipliers_multiply_and_one_floor_comes_last() -> None:
    rules: list[dict[str, Any]] = [
        {"code": "five", "points": 5},
        {"code": "a", "multiplier": "1.5"},
        {"code": "b", "multiplier": "1.1"},
    ]
    done = points(rules, purchase(100))
    assert (done.points, done.exact) == (8, Fraction("8.25"))
    assert [one.points for one in done.contributions] == [5, Fraction("2.5"), Fraction("0.75")]


def test_case_20_a_late_event_counts_by_the_version_in_force_then() -> None:
    one, two = version_of({"earning_rules": [BASE]}), version_of({"earning_rules": [{**BASE, "points": 2}]})
    published = [Published(1, one, AT - timedelta(days=9)), Published(2, two, AT)]
    late = in_force(published, AT - timedelta(seconds=1))
    assert late is not None
    assert late.number == 1
    bought = purchase(1_000, occurred_at=AT - timedelta(seconds=1))
    earning = earning_of(
        evaluate(late.version, CLUB, bought, Member()), "k", bought.occurred_at, late.version, CLUB
    )
    assert earning.points == 10
    assert earning.expires_at == datetime(2027, 6, 1, tzinfo=BERLIN)
    assert earning.activates_at == bought.occurred_at + timedelta(days=14)
    assert in_force(published, AT) == published[1]
    assert in_force(published, AT - timedelta(days=10)) is None


def test_a_multiplier_of_a_category_reaches_only_its_lines() -> None:
    bought = purchase(Line(1_050, category="shoes"), Line(1_050, category="hats"))
    done = points([BASE, DOUBLE_SHOES], bought)
    assert (done.points, done.exact) == (31, Fraction("31.5"))


def test_fixed_points_are_multiplied_by_what_is_about_the_whole_purchase_alone() -> None:
    bought = purchase(Line(1_000, category="shoes"))
    assert points([BASE, BONUS, DOUBLE_SHOES], bought).points == 70
    assert points([BASE, BONUS, {"code": "all", "multiplier": "2"}], bought).points == 120


@pytest.mark.parametrize(
    "when, said, member, reason",
    [
        ({"channel": ["app"]}, {"channel": "web"}, Member(), "channel"),
        ({"channel": ["app"]}, {"channel": "app"}, Member(), None),
        ({"segment": ["vip"]}, {}, Member(), "segment"),
        ({"segment": ["vip"]}, {}, Member(segments=frozenset({"vip", "x"})), None),
        ({"tier": ["base"]}, {}, Member(tier="gold"), "tier"),
        ({"tier": ["base"]}, {}, Member(), None),
        ({"first_purchase": True}, {}, Member(), "not_first_purchase"),
        ({"first_purchase": True}, {}, Member(is_first_purchase=True), None),
        ({"from": "2026-05-01T10:00:00Z"}, {}, Member(), None),
        ({"from": "2026-05-01T10:00:00.000001Z"}, {}, Member(), "before_window"),
        ({"until": "2026-05-01T10:00:00Z"}, {}, Member(), "after_window"),
        ({"until": "2026-05-01T10:00:00.000001Z"}, {}, Member(), None),
        ({"sku": ["Y"]}, {}, Member(), "no_matching_line"),
        ({"sku": ["X"]}, {}, Member(), None),
        ({"category": ["hats"]}, {}, Member(), "no_matching_line"),
    ],
)
@pytest.mark.parametrize("rule", [{"points": 7}, {"multiplier": "3"}])
def test_a_rule_applies_when_all_holds_and_says_why_not(
    rule: dict[str, Any], when: dict[str, Any], said: dict[str, Any], member: Member, reason: str | None
) -> None:
    bought = purchase(Line(1_000, sku="X", category="shoes"), **said)
    done = points([BASE, {"code": "it", **rule, "when": when}], bought, member)
    assert done.contributions[1].reason == reason
    gained = (7 if "points" in rule else 20) if reason is None else 0
    assert done.points == 10 + gained


@pytest.mark.parametrize(
    "includes, earned",
    [
        ({}, 80),
        ({"tax": True}, 95),
        ({"shipping": True}, 84),
        ({"points_paid": True}, 100),
        ({"tax": True, "shipping": True, "points_paid": True}, 125),
    ],
)
def test_only_the_net_cash_part_earns_unless_switched_on(includes: dict[str, bool], earned: int) -> None:
    bought = purchase(Line(10_000, 1_900), shipping_minor=600, points_paid_minor=2_500)
    assert points([{**BASE, "includes": includes}], bought).points == earned


def test_gift_cards_earn_when_spent_not_when_bought_unless_switched() -> None:
    bought = purchase(Line(1_000), Line(5_000, is_gift_card=True))
    assert points([BASE], bought).points == 10
    assert points([{**BASE, "includes": {"gift_cards": True}}], bought).points == 60
    paid = purchase(10_000, gift_card_paid_minor=4_000)
    assert points([BASE], paid).points == 60
    assert points([{**BASE, "includes": {"gift_cards": True}}], paid).points == 100


def test_excluded_skus_neither_earn_nor_are_multiplied() -> None:
    bought = purchase(Line(1_000, sku="X"), Line(1_000, sku="Y"))
    assert points([{**BASE, "excluded_skus": ["X"]}], bought).points == 10
    double = {"code": "d", "multiplier": "2", "excluded_skus": ["X"]}
    assert points([BASE, double], bought).points == 30


@pytest.mark.parametrize("mode, earned", [("cap", 30), ("reject", 0)])
def test_a_transaction_over_its_cap_is_cut_or_rejected(mode: str, earned: int) -> None:
    rule = {**BASE, "caps": {"per_transaction": 30, "mode": mode}}
    assert points([rule], purchase(3_001)).points == earned
    assert points([rule], purchase(3_000)).points == 30


def test_a_period_cap_leaves_what_is_left_of_it() -> None:
    rule = {**BASE, "caps": {"per_period": 100, "period_days": 30}}
    done = points([rule], purchase(5_000), Member(in_period={"base": 70}))
    assert (done.points, done.contributions[0].reason) == (30, "period_cap")
    assert points([rule], purchase(5_000), Member(in_period={"base": 100})).reason == "period_cap"


def test_a_cap_on_a_multiplier_limits_what_it_adds() -> None:
    rule = {"code": "x", "multiplier": "3", "caps": {"per_transaction": 5}}
    assert points([BASE, rule], purchase(1_000)).points == 15


def test_too_small_an_amount_says_what_is_missing() -> None:
    done = points([{**BASE, "min_amount_minor": 2_000}], purchase(1_500))
    assert (done.points, done.reason, done.contributions[0].missing_minor) == (0, "below_minimum", 500)
    assert points([{**BASE, "min_amount_minor": 2_000}], purchase(2_000)).points == 20


def test_no_point_at_all_says_by_how_much_it_was_missed() -> None:
    done = points([{"code": "b", "points": 1, "per_amount_minor": 1_000}], purchase(999))
    assert (done.reason, done.missing_minor) == ("less_than_one_point", 1)


def test_the_tier_multiplies_last() -> None:
    tiers = [{"code": "base"}, {"code": "silver", "threshold": 500, "multiplier": "1.25"}]
    done = points([BASE, BONUS], purchase(1_000), Member(tier="silver"), tiers=tiers)
    assert done.points == 75
    assert done.contributions[-1] == Contribution("tier:silver", Fraction(15))


@pytest.mark.parametrize(
    "amount, currency, rate, earned",
    [
        (1_000, "USD", None, 0),
        (1_000, "USD", Decimal("0.9"), 9),
        (1_000, "JPY", Decimal("0.006"), 6),
        (10_000, "KWD", Decimal(3), 30),
    ],
)
def test_another_currency_counts_by_its_rate_and_exponent_never_one_to_one(
    amount: int, currency: str, rate: Decimal | None, earned: int
) -> None:
    done = points([BASE], purchase(amount, currency=currency, exchange_rate=rate))
    assert (done.points, done.reason) == (earned, None if rate else "no_exchange_rate")


def test_case_35_a_closed_programme_earns_nothing() -> None:
    closed = CLUB._replace(earns_until=AT)
    version = version_of({"earning_rules": [BASE, {"code": "s", "event": "signup", "points": 9}]})
    assert evaluate(version, closed, purchase(1_000), Member()).reason == "programme_closed"
    assert evaluate_occasion(version, closed, "signup", AT, Member()).points == 0
    assert evaluate_occasion(version, CLUB, "signup", AT, Member()).points == 9


def test_occasions_have_keys_that_earn_once() -> None:
    late = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert occasion_key("birthday", late, CLUB) == "birthday:2027"
    assert occasion_key("signup", late, CLUB) == "signup"
    assert occasion_key("review", late, CLUB, "r1") == "review:r1"
    assert order_key("shop", "A", 1) != order_key("shop", "A", 2) != order_key("shop", "A", 2, 7)


def test_a_rule_may_not_qualify_for_the_tier() -> None:
    done = points([BASE, {**BONUS, "qualifies": False}], purchase(1_000))
    assert (done.points, done.qualifying) == (60, 10)
    assert points([BASE], purchase(1_050), tier_basis="spend").qualifying == 1_050


def test_a_posted_purchase_spreads_its_discount_and_keeps_what_no_item_names() -> None:
    said: dict[str, Any] = {"key": "k", "occurred_at": AT, "currency": "EUR"}
    items = [{"sku": "A", "amount_minor": 3_000}, {"sku": "B", "amount_minor": 1_000}]
    assert [line.net_minor for line in posted(amount_minor=2_000, items=items, **said).lines] == [1_500, 500]
    assert [line.net_minor for line in posted(amount_minor=4_600, items=items, **said).lines] == [
        3_000,
        1_000,
        600,
    ]
    assert posted(amount_minor=4_000, items=items, **said).paid_minor == 4_000


@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**4), min_size=1).filter(any))
def test_a_spread_adds_up_and_is_never_off_by_one_or_more(total: int, weights: list[int]) -> None:
    parts = spread(total, weights)
    assert sum(parts) == total
    assert all(
        abs(part - Fraction(total * weight, sum(weights))) < 1
        for part, weight in zip(parts, weights, strict=True)
    )


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=5), st.sampled_from(["1", "1.1", "1.25", "2.5"]))
def test_splitting_a_purchase_into_lines_changes_nothing(amounts: list[int], factor: str) -> None:
    rules = [{**BASE, "per_amount_minor": 300}, {"code": "m", "multiplier": factor}]
    whole = points(rules, purchase(sum(amounts)))
    assert (
        points(rules, purchase(*amounts)).exact
        == whole.exact
        == Fraction(sum(amounts), 300) * Fraction(factor)
    )


def test_an_explanation_is_json_with_exact_decimals() -> None:
    done = points(
        [{**BASE, "per_amount_minor": 300}, {**BONUS, "when": {"tier": ["base"]}}],
        purchase(1_000),
        Member("x"),
    )
    told = explained(done, 3, "x")
    assert told["exact"] == "3.333333…"
    assert told["rules"][1]["reason"] == "tier"
    assert told["version"] == 3


def test_a_quote_names_what_applies_what_does_not_and_what_is_missing() -> None:
    version = version_of({"earning_rules": [BASE, {**BONUS, "when": {"channel": ["app"]}}]})
    mug, bag = Reward("mug", "Mug", 100), Reward("bag", "Bag", 500)
    buyer = Buyer("base", ["base"], 120)
    quote = quoted(
        version, CLUB, purchase(1_050), Member(), rewards=[(mug, None, buyer), (bag, 3, buyer)], at=AT
    )
    assert (quote.points, quote.missing_minor) == (10, 50)
    assert [one.rule for one in quote.applied] == ["base"]
    assert [(one.rule, one.reason) for one in quote.not_applied] == [("bonus", "channel")]
    assert [one.reward.code for one in quote.rewards] == ["mug"]
    assert [(one.reward.code, one.unmet, one.missing) for one in quote.out_of_reach] == [
        ("bag", ("points",), 380)
    ]


def test_a_programme_of_yen_has_no_minor_unit() -> None:
    yen = Programme("jp", "Club", "JPY", BERLIN)
    version = version_of({"earning_rules": [BASE]})
    assert evaluate(version, yen, purchase(1_000, currency="JPY"), Member()).points == 10
