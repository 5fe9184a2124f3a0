"""Tiers: up at once, down at a review and after grace, and a pure function of the entries."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.domain.loyalty import crediting
from app.domain.loyalty.tiers import (
    Change,
    Pause,
    Ruling,
    Standing,
    due_at,
    history,
    merited,
    points_in_window,
    projection,
    warning,
)
from app.domain.loyalty.versions import Tier, TierRules
from tests.domain.loyalty.ledgers import DAY, START, Ledger, day

BERLIN = ZoneInfo("Europe/Berlin")
RULES = TierRules((Tier("base", 0), Tier("bronze", 100), Tier("silver", 500), Tier("gold", 1_000)))
REVIEW = datetime(2027, 1, 2, tzinfo=BERLIN).astimezone(UTC)
"""The end of the day one year after START, in Berlin."""


def now(
    ledger: Ledger, at: datetime, rules: TierRules = RULES, pauses: tuple[Pause, ...] = ()
) -> tuple[Standing, tuple[Change, ...]]:
    standing, changes = history(ledger.entries, [Ruling(START - DAY, rules)], pauses, BERLIN, at)
    assert standing is not None
    return standing, changes


def gold() -> Ledger:
    """Gold on the first day, and 200 points of the second month: bronze at the review."""
    ledger = Ledger()
    ledger.earn(1_000, "o1")
    ledger.at(40).earn(200, "o2")
    return ledger


@pytest.mark.parametrize(
    "points, tier",
    [
        (0, "base"),
        (99, "base"),
        (100, "bronze"),
        (499, "bronze"),
        (500, "silver"),
        (1_000, "gold"),
        (10**9, "gold"),
    ],
)
def test_exactly_on_the_threshold_qualifies(points: int, tier: str) -> None:
    assert merited(points, RULES) == tier


def test_case_27_spending_everything_leaves_the_tier() -> None:
    ledger = gold()
    ledger.at(41).spend(1_200)
    assert now(ledger, day(42))[0].tier == "gold"


def test_case_28_a_refund_takes_qualifying_points_now_and_the_tier_at_review_and_grace() -> None:
    ledger = Ledger()
    ledger.earn(600)
    ledger.at(5).claw(5_000)
    assert points_in_window(ledger.entries, day(6), RULES, BERLIN) == 300
    assert now(ledger, day(6))[0].tier == "silver"
    assert now(ledger, REVIEW)[0].grace_until == REVIEW + 30 * DAY
    assert now(ledger, REVIEW + 30 * DAY)[0].tier == "bronze"


def test_a_refund_leaves_the_window_together_with_its_purchase() -> None:
    ledger = Ledger()
    ledger.earn(600)
    ledger.at(300).claw(5_000)
    assert points_in_window(ledger.entries, day(400), RULES, BERLIN) == 0
    ledger.at(399).earn(150, "o2")
    assert points_in_window(ledger.entries, day(400), RULES, BERLIN) == 150


def test_case_29_one_order_over_two_thresholds_is_one_change_naming_both() -> None:
    ledger = Ledger()
    ledger.earn(50)
    ledger.at(1).earn(600, "o2")
    standing, changes = now(ledger, day(2))
    assert changes == (Change(day(1), "base", "silver", "upgrade", ("bronze", "silver")),)
    assert standing.since == day(1)


@pytest.mark.parametrize("mode, tier", [("one_down", "silver"), ("full", "bronze"), ("none", "gold")])
def test_case_30_gold_that_fails_its_review_keeps_it_for_the_grace(mode: Any, tier: str) -> None:
    rules, ledger = RULES._replace(downgrade=mode), gold()
    grace_ends = REVIEW + 30 * DAY
    assert now(ledger, grace_ends - timedelta(seconds=1), rules)[0].tier == "gold"
    standing, changes = now(ledger, grace_ends, rules)
    assert standing.tier == tier
    assert [change.why for change in changes] == (["upgrade"] if mode == "none" else ["upgrade", "downgrade"])


def test_case_30_the_downgrade_is_warned_of_before() -> None:
    ledger = gold()
    standing = now(ledger, REVIEW - DAY)[0]
    rules = RULES._replace(warning_days=60)
    told = warning(standing, ledger.entries, REVIEW - DAY, rules, BERLIN)
    assert told is not None
    assert (told.would_be, told.on, told.points_to_keep) == ("silver", REVIEW + 30 * DAY, 800)
    assert warning(standing, ledger.entries, REVIEW - 40 * DAY, rules, BERLIN) is None
    in_grace = now(ledger, REVIEW)[0]
    assert warning(in_grace, ledger.entries, REVIEW, RULES, BERLIN) is not None


def test_what_is_earned_in_the_grace_saves_the_tier() -> None:
    ledger = gold()
    ledger.now = REVIEW + DAY
    ledger.earn(900, "o3")
    standing, changes = now(ledger, REVIEW + 40 * DAY)
    assert (standing.tier, standing.grace_until) == ("gold", None)
    assert len(changes) == 1


def test_without_grace_the_review_itself_lowers() -> None:
    rules = RULES._replace(grace_days=0)
    assert now(gold(), REVIEW - timedelta(microseconds=1), rules)[0].tier == "gold"
    assert now(gold(), REVIEW, rules)[0].tier == "silver"


def test_an_open_complaint_puts_the_downgrade_off_until_it_is_resolved() -> None:
    ends = REVIEW + 30 * DAY
    closed, still_open = Pause(ends - DAY, ends + 5 * DAY), Pause(ends - DAY)
    assert now(gold(), ends + 4 * DAY, pauses=(closed,))[0].tier == "gold"
    assert now(gold(), ends + 5 * DAY, pauses=(closed,))[0].tier == "silver"
    assert now(gold(), ends + 100 * DAY, pauses=(still_open,))[0].tier == "gold"
    assert due_at(now(gold(), ends, pauses=(still_open,))[0], (still_open,)) is None
    assert now(gold(), ends, pauses=(Pause(ends - DAY, ends),))[0].tier == "silver"


def test_a_manual_move_is_an_entry_of_no_points_and_starts_a_window() -> None:
    ledger = Ledger()
    ledger.earn(5)
    ledger.at(3).take(crediting.tier_moved(ledger.account, id="t1", tier="gold", now=ledger.now))
    standing, changes = now(ledger, day(4))
    assert (standing.tier, standing.since, changes[0].why) == ("gold", day(3), "manual")
    assert ledger.entries[-1].points == 0


def test_a_new_version_raises_at_once_and_never_lowers() -> None:
    ledger = Ledger()
    ledger.earn(600)
    easier = RULES._replace(tiers=(*RULES.tiers[:3], Tier("gold", 600)))
    harder = RULES._replace(tiers=(*RULES.tiers[:2], Tier("silver", 5_000), Tier("gold", 6_000)))
    for rules, tier in ((easier, "gold"), (harder, "silver")):
        rulings = [Ruling(START - DAY, RULES), Ruling(day(10), rules)]
        standing, _ = history(ledger.entries, rulings, (), BERLIN, day(10))
        assert standing is not None
        assert standing.tier == tier


def test_a_tier_that_is_no_more_becomes_what_is_merited() -> None:
    ledger = Ledger()
    ledger.earn(600)
    rulings = [Ruling(START - DAY, RULES), Ruling(day(10), TierRules((Tier("base", 0), Tier("vip", 900))))]
    standing, changes = history(ledger.entries, rulings, (), BERLIN, day(10))
    assert standing is not None
    assert (standing.tier, changes[-1].why) == ("base", "version")


def test_the_tier_at_a_time_does_not_change_by_what_comes_later() -> None:
    ledger = gold()
    then = [now(ledger, day(n)) for n in range(0, 41, 8)]
    ledger.at(60).earn(5_000, "o3", occurred_at=day(3))
    assert [now(ledger, day(n)) for n in range(0, 41, 8)] == then


def test_a_projection_counts_what_will_still_be_in_the_window() -> None:
    ledger = gold()
    standing = now(ledger, day(41))[0]
    ahead = projection(standing, ledger.entries, day(41), RULES, BERLIN)
    assert (ahead.points_to_next, ahead.points_to_keep, ahead.projected) == (None, 800, "silver")
    low = Ledger()
    low.earn(120)
    ahead = projection(now(low, START)[0], low.entries, START, RULES, BERLIN)
    assert (ahead.points_to_next, ahead.points_to_keep, ahead.projected) == (380, 100, "base")


def test_before_any_entry_or_version_there_is_no_standing() -> None:
    assert history([], [Ruling(START, RULES)], (), BERLIN, START) == (None, ())
    assert history(gold().entries, [Ruling(day(900), RULES)], (), BERLIN, day(50))[0] is None


@pytest.mark.parametrize(
    "joined, zone, review",
    [
        ("2026-02-28T12:00Z", "UTC", "2027-03-01T00:00Z"),
        ("2028-02-29T12:00Z", "UTC", "2029-03-01T00:00Z"),
        ("2026-03-28T23:30Z", "Europe/Berlin", "2027-03-30T00:00+02:00"),
        ("2026-01-01T02:00Z", "America/New_York", "2027-01-01T00:00-05:00"),
    ],
)
def test_reviews_fall_on_the_end_of_a_local_day(joined: str, zone: str, review: str) -> None:
    ledger = Ledger()
    ledger.now = datetime.fromisoformat(joined)
    ledger.earn(600)
    standing, _ = history(ledger.entries, [Ruling(START - 90 * DAY, RULES)], (), ZoneInfo(zone), ledger.now)
    assert standing is not None
    assert standing.review_at == datetime.fromisoformat(review)
