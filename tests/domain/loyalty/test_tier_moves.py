"""Every way a tier moves, with its exact time, review and words; and the edges of the window."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.loyalty import crediting
from app.domain.loyalty.account import Entry
from app.domain.loyalty.tiers import (
    Change,
    Ruling,
    Standing,
    Step,
    climbed,
    counted,
    history,
    is_inside,
    joined,
    points_in_window,
    projection,
    raised,
    reviewed,
    stays,
    warns_at,
)
from app.domain.loyalty.versions import Downgrade, Tier, TierRules
from tests.domain.loyalty.ledgers import DAY, START, Ledger, day
from tests.domain.loyalty.programmes import BERLIN

RULES = TierRules((Tier("base", 0), Tier("silver", 100), Tier("gold", 300)))
AT = datetime(2027, 2, 5, 12, tzinfo=UTC)
NEXT = datetime(2028, 2, 6, tzinfo=BERLIN).astimezone(UTC)
"""The end of the day one year after AT, in Berlin."""
EDGE = datetime(2026, 2, 5, tzinfo=BERLIN).astimezone(UTC)
"""The beginning of the window that ends at AT: an hour before midnight of UTC."""
SILVER = Standing("silver", START, AT)


def entry(qualifying: int, qualified_at: datetime | None, at: datetime = AT) -> Entry:
    return Entry(1, "earn", 0, at, at, (), b"", b"", qualifying=qualifying, qualified_at=qualified_at)


@pytest.mark.parametrize(
    "standing, points, step",
    [
        (
            SILVER._replace(tier="gone"),
            120,
            Step(Standing("silver", AT, NEXT), Change(AT, "gone", "silver", "version", ("silver",))),
        ),
        (SILVER, 300, Step(Standing("gold", AT, NEXT), Change(AT, "silver", "gold", "upgrade", ("gold",)))),
        (SILVER, 100, Step(SILVER)),
        (SILVER._replace(grace_until=AT), 100, Step(SILVER._replace(review_at=NEXT))),
        (SILVER._replace(grace_until=AT), 99, Step(SILVER._replace(grace_until=AT))),
    ],
)
def test_points_raise_a_tier_or_end_its_grace_and_never_lower_it(
    standing: Standing, points: int, step: Step
) -> None:
    assert raised(standing, points, AT, RULES, BERLIN) == step
    # In a grace it says no to be on the safe side: then `raised` is asked.
    is_left = step.standing == standing and standing.grace_until is None
    assert stays(standing, points, RULES) is is_left


def test_a_tier_that_is_no_more_does_not_stay() -> None:
    assert stays(SILVER._replace(tier="gone"), 0, RULES) is False


@pytest.mark.parametrize(
    "standing, points, step",
    [
        (SILVER, 300, Step(Standing("gold", AT, NEXT), Change(AT, "silver", "gold", "upgrade", ("gold",)))),
        (SILVER, 100, Step(SILVER._replace(review_at=NEXT))),
        (SILVER, 99, Step(SILVER._replace(grace_until=AT + 30 * DAY))),
        (
            SILVER._replace(grace_until=AT),
            99,
            Step(Standing("base", AT, NEXT), Change(AT, "silver", "base", "downgrade", ("base",))),
        ),
    ],
)
def test_a_review_raises_keeps_waits_or_lowers_and_sets_the_next_one(
    standing: Standing, points: int, step: Step
) -> None:
    assert reviewed(standing, points, AT, RULES, BERLIN) == step


@pytest.mark.parametrize(
    "qualified_at, points",
    [(EDGE, 50), (EDGE - timedelta.resolution, 0), (AT, 50), (AT + timedelta.resolution, 0), (None, 0)],
)
def test_the_window_is_from_a_local_midnight_to_now(qualified_at: datetime | None, points: int) -> None:
    one = entry(50, qualified_at)
    assert points_in_window([one], AT, RULES, BERLIN) == points
    base = joined(START, RULES, BERLIN)
    assert counted(base, 0, [one], AT, RULES, BERLIN) == (Step(base), points)
    assert projection(base, [one], AT, RULES, BERLIN).points_to_next == 100 - points


def test_a_refund_of_more_than_there_is_leaves_no_points_and_reaches_no_tier() -> None:
    rules = RULES._replace(tiers=(Tier("base", 0), Tier("fan", 1)))
    base, taken = joined(START, rules, BERLIN), entry(-5, AT)
    assert points_in_window([taken], AT, rules, BERLIN) == 0
    assert counted(base, 0, [taken], AT, rules, BERLIN) == (Step(base), -5)


def test_new_entries_raise_a_tier_until_the_end_of_a_local_day() -> None:
    step, _ = counted(SILVER, 0, [entry(300, AT)], AT, RULES, BERLIN)
    assert step.standing == Standing("gold", AT, NEXT)


def test_a_window_of_one_month_after_a_february_has_28_days() -> None:
    rules, noon = RULES._replace(window_months=1), datetime(2027, 3, 1, 12, tzinfo=BERLIN)
    begins = datetime(2027, 2, 1, tzinfo=BERLIN)
    assert is_inside(begins, noon, rules, BERLIN)
    assert not is_inside(begins - timedelta(hours=1), noon, rules, BERLIN)


def test_a_climb_names_no_tier_above_the_one_that_was_reached() -> None:
    silver = SILVER._replace(since=AT)
    assert climbed(None, silver, RULES) == Change(AT, "base", "silver", "upgrade", ("silver",))


def test_a_full_downgrade_is_projected_to_what_is_merited() -> None:
    gold = Standing("gold", START, AT)
    merited: list[tuple[Downgrade, str]] = [("full", "base"), ("one_down", "silver"), ("none", "gold")]
    for downgrade, tier in merited:
        rules = RULES._replace(downgrade=downgrade)
        assert projection(gold, [], AT, rules, BERLIN).projected == tier


def test_in_its_grace_a_tier_has_been_warned_of_since_it_began() -> None:
    assert warns_at(SILVER, RULES) == AT
    assert warns_at(SILVER._replace(grace_until=AT + 50 * DAY), RULES) == START


@pytest.mark.parametrize(
    "tier, moves",
    [("gold", (Change(AT, "base", "gold", "manual", ("gold",)),)), ("base", ())],
)
def test_a_move_by_hand_is_told_once_and_starts_a_window(tier: str, moves: tuple[Change, ...]) -> None:
    made = Ledger()
    made.now = AT - DAY
    made.earn(5)
    made.now = AT
    made.take(crediting.tier_moved(made.account, id="t", tier=tier, now=AT))
    told = history(made.entries, [Ruling(START, RULES)], (), BERLIN, AT)
    assert told == (Standing(tier, AT, NEXT), moves)


def folded(points: int, *rulings: Ruling, until: datetime) -> tuple[Any, ...]:
    """What a first earn at AT of so many points comes to."""
    made = Ledger()
    made.now = AT
    made.earn(points)
    return history(made.entries, [Ruling(START, RULES), *rulings], (), BERLIN, until)


def test_who_earns_little_begins_in_the_lowest_tier_at_once() -> None:
    assert folded(5, until=AT) == (Standing("base", AT, NEXT), ())
    after = datetime(2029, 2, 7, tzinfo=BERLIN).astimezone(UTC)
    assert folded(5, until=NEXT) == (Standing("base", AT, after), ())


def test_a_raise_by_a_new_version_says_so() -> None:
    easier = RULES._replace(tiers=(*RULES.tiers[:2], Tier("gold", 200)))
    up = Change(AT, "base", "silver", "upgrade", ("silver",))
    moved = Change(AT + DAY, "silver", "gold", "version", ("gold",))
    standing, changes = folded(250, Ruling(AT + DAY, easier), until=AT + DAY)
    assert (standing.tier, changes) == ("gold", (up, moved))
    assert day(0) < standing.since == AT + DAY
