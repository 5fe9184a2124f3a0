"""How a standing follows new entries, what is told of a climb, and what else is read from an account at once."""

from datetime import date, timedelta
from typing import Any

import pytest

from app.domain.loyalty.account import Entry, Hold
from app.domain.loyalty.balances import available_and_pending
from app.domain.loyalty.clock import tier_is_due
from app.domain.loyalty.rewards import Redeemed, not_redeemed
from app.domain.loyalty.rules import Caps, Rule, cap_windows, in_period
from app.domain.loyalty.tiers import Change, Standing, climbed, counted, joined
from app.domain.loyalty.versions import Tier, TierRules, Version
from tests.domain.loyalty.ledgers import START, Ledger, day
from tests.domain.loyalty.programmes import BERLIN

RULES = TierRules((Tier("base", 0), Tier("silver", 100), Tier("gold", 300)), window_months=12)
NOW = day(400)


def entry(qualifying: int, at: float = 400, since: float | None = 400, **said: Any) -> Entry:
    qualified_at = None if since is None else day(since)
    return Entry(
        1, "earn", 0, day(at), day(at), (), b"", b"", qualifying=qualifying, qualified_at=qualified_at, **said
    )


def count(standing: Standing | None, points: int, *entries: Entry) -> tuple[Any, int]:
    step, counted_ = counted(standing, points, entries, NOW, RULES, BERLIN)
    return (step.standing.tier, step.change), counted_


BASE = joined(START, RULES, BERLIN)


def test_who_has_no_standing_begins_with_the_first_entry_and_is_raised_by_it() -> None:
    step, points = counted(None, 0, [entry(0, 390, None), entry(120)], NOW, RULES, BERLIN)
    assert points == 120
    assert step.change == Change(day(400), "base", "silver", "upgrade", ("silver",))
    only, _ = counted(None, 0, [entry(0, 390, None), entry(5)], NOW, RULES, BERLIN)
    assert (only.standing, only.change) == (joined(day(390), RULES, BERLIN), None)


def test_what_counts_is_what_came_before_and_what_lies_in_the_window() -> None:
    assert count(BASE, 60, entry(40)) == (
        ("silver", Change(day(400), "base", "silver", "upgrade", ("silver",))),
        100,
    )
    assert count(BASE, 60, entry(39)) == (("base", None), 99)
    assert count(BASE, 60, entry(240), entry(-200)) == (
        ("silver", Change(day(400), "base", "silver", "upgrade", ("silver",))),
        100,
    )
    assert count(BASE, 60, entry(500, since=None)) == (("base", None), 60)
    assert count(BASE, 60, entry(500, since=401)) == (("base", None), 60)
    assert count(BASE, 60, entry(500, since=30)) == (("base", None), 60)
    assert count(BASE, 60, entry(240, since=30), entry(300, since=400))[1] == 360


@pytest.mark.parametrize("days, inside", [(335, True), (336, True), (364, True), (365, True), (366, False)])
def test_the_window_begins_with_its_local_day(days: int, inside: bool) -> None:
    assert count(BASE, 0, entry(100, since=400 - days))[1] == (100 if inside else 0)


def test_less_than_nothing_lowers_nobody() -> None:
    silver = BASE._replace(tier="silver")
    assert count(silver, 10, entry(-200)) == (("silver", None), -190)


def test_a_move_by_hand_goes_before_what_was_earned_with_it() -> None:
    moved = entry(0, 399, None, tier="gold")
    step, points = counted(BASE, 7, [moved, entry(100)], NOW, RULES, BERLIN)
    assert points == 7
    assert step.change == Change(day(399), "base", "gold", "manual", ("gold",))
    assert step.standing == joined(day(399), RULES, BERLIN)._replace(tier="gold")
    last, _ = counted(BASE, 0, [moved, entry(0, 400, None, tier="silver")], NOW, RULES, BERLIN)
    assert last.standing.tier == "silver"
    same, _ = counted(BASE, 0, [entry(0, 399, None, tier="base")], NOW, RULES, BERLIN)
    assert (same.change, same.standing.since) == (None, day(399))


def test_a_climb_names_every_tier_that_it_passed() -> None:
    gold = Standing("gold", day(3), day(400))
    assert climbed(None, gold, RULES) == Change(day(3), "base", "gold", "upgrade", ("silver", "gold"))
    assert climbed(gold._replace(tier="silver"), gold, RULES) == Change(
        day(3), "silver", "gold", "upgrade", ("gold",)
    )
    assert climbed(gold, gold, RULES) is None
    assert climbed(None, gold._replace(tier="base"), RULES) is None
    assert climbed(None, gold._replace(tier="gone"), RULES) is None
    gone = gold._replace(tier="gone")
    assert climbed(gone, gold, RULES) == Change(day(3), "gone", "gold", "upgrade", ("base", "silver", "gold"))


@pytest.mark.parametrize("at, due", [(79, False), (80, True), (100, True), (200, True)])
def test_a_tier_is_due_from_its_warning_on(at: int, due: bool) -> None:
    version = Version(tier_rules=RULES._replace(grace_days=10, warning_days=30))
    standing = Standing("gold", START, day(100))
    assert tier_is_due(standing, version, day(at)) is due
    assert tier_is_due(None, version, day(at))
    assert not tier_is_due(None, None, day(at))
    assert not tier_is_due(standing, None, day(at))


def test_a_review_is_due_however_late_its_warning_would_be() -> None:
    version = Version(tier_rules=RULES._replace(grace_days=10, warning_days=0))
    standing = Standing("gold", START, day(100))
    assert tier_is_due(standing, version, day(100))
    assert not tier_is_due(standing, version, day(100) - timedelta.resolution)


def test_the_two_numbers_of_the_write_path_are_those_of_the_balance() -> None:
    made = Ledger()
    made.earn(10, "now", lives=5)
    made.earn(20, "later", pending=3, lives=9)
    made.earn(5, "later too", pending=4)
    made.earn(7, "gone", lives=1)
    made.hold(4)
    for at in (0, 1, 2, 3):
        made.at(at).settle()
        shown = made.balance
        assert available_and_pending(made.account, made.now) == (shown.available, shown.pending)
    made.adjust(-60, allow_debt=True)
    assert available_and_pending(made.account, made.now) == (made.balance.available, made.balance.pending)
    assert available_and_pending(made.account, made.now)[0] < 0
    # A clock that is behind the last entry counts as being there.
    assert available_and_pending(made.account, START) == available_and_pending(made.account, made.now)


def test_a_cap_counts_from_as_many_days_ago_as_its_longest_rule_says() -> None:
    def rule(code: str, days: int | None) -> Rule:
        return Rule(code, caps=Caps(per_period=None if days is None else 10, period_days=days))

    windows = cap_windows(
        [rule("a", 1), rule("b", 30), rule("a", 7), rule("a", 3), rule("c", None)], date(2026, 5, 31)
    )
    assert windows == {"a": date(2026, 5, 25), "b": date(2026, 5, 2)}


def test_what_a_rule_gave_in_its_period_is_counted_from_its_first_day_on() -> None:
    day = date(2026, 5, 31)
    given = {("a", date(2026, 5, 24)): 1, ("a", date(2026, 5, 25)): 2, ("b", day): 8}
    since = {("a", day): 4}
    week, fortnight = (Rule("a", caps=Caps(per_period=10, period_days=days)) for days in (7, 14))
    assert in_period([week], day, given, since) == {"a": 6}
    assert in_period([fortnight], day, given, since) == {"a": 7}
    assert in_period([week, Rule("c", caps=Caps(per_period=10, period_days=1))], day, given, since) == {
        "a": 6,
        "c": 0,
    }
    assert in_period([Rule("a")], day, given) == {}


def test_a_capture_that_gave_nothing_says_what_came_back() -> None:
    hold = Hold("h", 70, (), START, START)

    def done(failed: Any) -> Redeemed:
        return Redeemed(hold, None, None, failed, None)

    assert not_redeemed(done(None)) is None
    sold = not_redeemed(done("out_of_stock"))
    assert sold is not None
    assert (sold.code, sold.members) == ("sold_out", {"released": 70})
    failed = not_redeemed(done("no_coupons"))
    assert failed is not None
    assert (failed.code, failed.members) == ("coupon_failed", {"restored": 70})
