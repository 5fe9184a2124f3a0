"""Where what is earned begins, ends and is cut: one minor unit, one point, one day more or less."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from app.domain.loyalty.conditions import Member
from app.domain.loyalty.earning import Contribution, earning_of, evaluate_occasion, nothing
from app.domain.loyalty.purchases import Line
from app.domain.loyalty.versions import version_of
from tests.domain.loyalty.programmes import AT, BASE, CLUB, points, purchase

BONUS: dict[str, Any] = {"code": "bonus", "points": 50}
UNCOUNTED: dict[str, Any] = {**BONUS, "qualifies": False}
MONTHLY: dict[str, Any] = {"caps": {"per_period": 100, "period_days": 30}}


@pytest.mark.parametrize(
    "rules, amount, given, qualifying",
    [
        ([UNCOUNTED], 1_000, 50, 0),
        ([{"code": "visit", "points": 10}, UNCOUNTED], 1_000, 60, 10),
        # Half a point more counts with the others and is cut with them, never on its own.
        ([BASE, UNCOUNTED], 1_050, 60, 10),
        ([BASE, BONUS], 1_050, 60, 60),
        ([{**BASE, "caps": {"per_transaction": 3}}, UNCOUNTED], 1_000, 53, 3),
    ],
)
def test_only_whole_points_of_rules_that_qualify_count_towards_a_tier(
    rules: list[dict[str, Any]], amount: int, given: int, qualifying: int
) -> None:
    done = points(rules, purchase(amount))
    assert (done.points, done.qualifying) == (given, qualifying)
    assert isinstance(done.qualifying, int)


def test_a_single_point_and_a_single_minor_unit_are_told_as_any_other() -> None:
    done = points([{"code": "visit", "points": 1}], purchase(1))
    assert (done.points, done.by_rule, done.missing_minor) == (1, {"visit": 1}, None)
    done = points([{"code": "each", "points": 1, "per_amount_minor": 1}], purchase(1))
    assert (done.points, done.by_rule, done.missing_minor) == (1, {"each": 1}, 1)
    done = points([BASE], purchase(1))
    assert (done.points, done.exact, done.reason) == (0, Fraction(1, 100), "less_than_one_point")
    assert (done.by_rule, done.missing_minor) == ({"base": 1}, 99)


def test_without_any_rule_that_is_the_reason() -> None:
    assert points([], purchase(1_000)).reason == "no_rule"
    assert evaluate_occasion(version_of({}), CLUB, "signup", AT, Member()) == nothing("no_rule")


def test_a_rule_that_gives_nothing_is_named_with_what_is_missing() -> None:
    hats = {"code": "hats", "points": 5, "when": {"category": ["hats"]}}
    large = {**BASE, "code": "large", "min_amount_minor": 1_000}
    done = points([hats, large], purchase(999))
    assert [(one.rule, one.reason, one.missing_minor) for one in done.contributions] == [
        ("hats", "no_matching_line", None),
        ("large", "below_minimum", 1),
    ]


@pytest.mark.parametrize("caps", [{}, {"caps": {"per_transaction": 1_000}}])
def test_a_rule_may_multiply_its_own_points(caps: dict[str, Any]) -> None:
    assert points([{**BASE, "multiplier": "1.5", **caps}], purchase(1_000)).points == 15


def test_a_multiplier_reaches_fixed_points_but_no_line_that_it_excludes() -> None:
    double = {"code": "d", "multiplier": "2", "excluded_skus": ["X"]}
    bought = purchase(Line(1_000, sku="Y"), Line(3_000, sku="X"))
    done = points([BASE, BONUS, double], bought)
    assert done.points == 2 * (10 + 50) + 30
    assert [one.points for one in done.contributions] == [40, 50, 60]


@pytest.mark.parametrize("mode, given", [("cap", 30), ("reject", 0)])
def test_what_a_cap_cut_says_so_and_what_meets_it_exactly_does_not(mode: str, given: int) -> None:
    rule = {**BASE, "caps": {"per_transaction": 30, "mode": mode}}
    (cut,) = points([rule], purchase(3_001)).contributions
    assert cut == Contribution("base", Fraction(given), "transaction_cap")
    (met,) = points([rule], purchase(3_000)).contributions
    assert met == Contribution("base", Fraction(30))


@pytest.mark.parametrize("before, given", [({}, 100), ({"it": 60}, 40), ({"it": 100}, 0)])
@pytest.mark.parametrize(
    "rule",
    [
        {"points": 1, "per_amount_minor": 10},
        {"points": 200},
        {"multiplier": "3"},
    ],
)
def test_every_sort_of_rule_gives_what_its_period_has_left(
    rule: dict[str, Any], before: dict[str, int], given: int
) -> None:
    others = [] if "points" in rule else [{"code": "other", "points": 200}]
    done = points([*others, {"code": "it", **rule, **MONTHLY}], purchase(2_000), Member(in_period=before))
    assert done.contributions[-1] == Contribution("it", Fraction(given), "period_cap")


def test_a_period_that_is_met_exactly_cuts_nothing() -> None:
    rule = {**BASE, **MONTHLY}
    for before, amount in (({}, 10_000), ({"base": 70}, 3_000)):
        (met,) = points([rule], purchase(amount), Member(in_period=before)).contributions
        assert met == Contribution("base", Fraction(amount // 100))


def test_an_occasion_gives_what_its_period_has_left() -> None:
    version = version_of({"earning_rules": [{"code": "r", "event": "review", "points": 60, **MONTHLY}]})
    done = evaluate_occasion(version, CLUB, "review", AT, Member(in_period={"r": 70}))
    assert (done.points, done.contributions[0].reason) == (30, "period_cap")
    assert evaluate_occasion(version, CLUB, "review", AT, Member()).points == 60


@pytest.mark.parametrize(
    "months, ends, expires",
    [
        (None, None, None),
        (None, AT + timedelta(days=9), AT + timedelta(days=9)),
        (1, AT + timedelta(days=9), AT + timedelta(days=9)),
        (1, datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)),
        (1, datetime(2027, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, 22, tzinfo=UTC)),
        (1, None, datetime(2026, 6, 1, 22, tzinfo=UTC)),
    ],
)
def test_no_point_outlives_its_programme(
    months: int | None, ends: datetime | None, expires: datetime | None
) -> None:
    version = version_of({"earning_rules": [BASE], "expiry_months": months, "expiry_rounding": "none"})
    done = earning_of(points([BASE], purchase(1_000)), "k", AT, version, CLUB._replace(ends_at=ends))
    assert done.expires_at == expires


def test_points_become_active_at_the_same_time_on_the_wall() -> None:
    before_winter = datetime(2026, 10, 20, 10, tzinfo=UTC)
    done = earning_of(nothing("no_rule"), "k", before_winter, version_of({"pending_days": 14}), CLUB)
    assert done.activates_at == datetime(2026, 11, 3, 11, tzinfo=UTC)
