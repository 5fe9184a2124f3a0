"""What one look of the clock finds: whose moves it tells, what it warns of, and when it looks again."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.domain.loyalty import crediting, tiers
from app.domain.loyalty.clock import LOOKS_AGAIN, Look, Past, Rulebook, Seen, looked, looks_at_lot
from app.domain.loyalty.settling import Expiring
from app.domain.loyalty.tiers import Change, Pause, Standing
from app.domain.loyalty.versions import Published, Tier, TierRules, Version
from tests.domain.loyalty.ledgers import DAY, START, Ledger, day

BERLIN = ZoneInfo("Europe/Berlin")
RULES = TierRules((Tier("base", 0), Tier("silver", 300), Tier("gold", 900)), window_months=3, grace_days=10)
VERSION = Version(tier_rules=RULES, expiry_warning_days=30)
BOOK = Rulebook((Published(1, VERSION, START - DAY),), BERLIN)
UNPUBLISHED = Rulebook((), BERLIN)
REVIEW = datetime(2026, 4, 2, tzinfo=BERLIN).astimezone(UTC)
"""The end of the day three months after START, in Berlin."""
LOST = REVIEW + 10 * DAY
GOLD = Standing("gold", START, REVIEW)


def gold() -> Ledger:
    """Gold on the first day, by points that lapse on day 95."""
    made = Ledger()
    made.earn(1_000, lives=95)
    return made


def look_at(
    made: Ledger, at: datetime, *pauses: Pause, told_from: datetime = START, rules: Rulebook = BOOK
) -> Look:
    return looked(Seen(made.account, None), Past(made.entries, pauses), rules, told_from, at)


def test_a_quiet_day_is_a_standing_and_when_to_warn_of_its_loss() -> None:
    look = look_at(gold(), day(1))
    assert look[1:] == (GOLD, (), (), None, None, day(65))
    assert look.decision.entries == ()


def test_near_its_end_the_member_is_told_what_lapses_and_which_tier_is_in_danger() -> None:
    at = LOST - 29 * DAY
    assert look_at(gold(), at)[1:] == (
        GOLD,
        (),
        (Expiring(1_000, day(95)),),
        tiers.Warning("gold", "silver", LOST, 900),
        day(95),
        REVIEW,
    )


@pytest.mark.parametrize(
    "told_from, is_told", [(START, True), (LOST, True), (LOST + timedelta.resolution, False)]
)
def test_a_downgrade_is_told_from_its_very_instant_on(told_from: datetime, is_told: bool) -> None:
    look = look_at(gold(), LOST + DAY, told_from=told_from)
    assert look.changes == ((Change(LOST, "gold", "silver", "downgrade", ("silver",)),) if is_told else ())
    assert look.standing is not None
    assert (look.standing.tier, look.standing.since) == ("silver", LOST)


def test_a_move_by_a_new_version_is_told_and_those_by_an_earn_or_by_hand_are_not() -> None:
    made = gold()
    made.at(1).take(crediting.tier_moved(made.account, id="t", tier="silver", now=made.now))
    easier = RULES._replace(tiers=(Tier("base", 0), Tier("silver", 300), Tier("gold", 600)))
    rules = BOOK._replace(published=(*BOOK.published, Published(2, Version(tier_rules=easier), day(2))))
    look = look_at(made, day(3), rules=rules)
    assert look.changes == (Change(day(2), "silver", "gold", "version", ("gold",)),)


def test_what_lapsed_is_booked_and_is_told_no_more() -> None:
    look = look_at(gold(), day(95))
    assert [(entry.kind, entry.points) for entry in look.decision.entries] == [("expire", -1_000)]
    assert (look.expiring, look.warned_until, look.decision.account.lots[1].remaining) == ((), None, 0)


def test_a_downgrade_that_a_complaint_puts_off_is_looked_at_again_in_an_hour() -> None:
    still_open, resolved = Pause(LOST - DAY), Pause(LOST - DAY, LOST + 5 * DAY)
    waiting = GOLD._replace(grace_until=LOST)
    for pause, due in ((still_open, LOST + DAY + LOOKS_AGAIN), (resolved, LOST + 5 * DAY)):
        look = look_at(gold(), LOST + DAY, pause)
        assert (look.standing, look.changes, look.due_at) == (waiting, (), due)


def test_without_its_past_a_tier_stays_what_it_was_and_is_not_warned_of() -> None:
    waiting = GOLD._replace(grace_until=LOST)
    made = gold()
    look = looked(Seen(made.account, waiting), None, BOOK, START, LOST - DAY)
    assert look[1:] == (waiting, (), (), None, None, LOST)


def test_without_a_version_nobody_has_a_tier_and_nothing_is_told() -> None:
    made = gold()
    at = day(94)
    assert look_at(made, at, rules=UNPUBLISHED)[1:] == (None, (), (), None, None, day(95))
    kept = looked(Seen(made.account, GOLD, day(9)), Past(made.entries), UNPUBLISHED, START, at)
    assert kept[1:] == (GOLD, (), (), None, day(9), day(95))


@pytest.mark.parametrize(
    "version, warned_until, looks_at",
    [
        (None, None, day(95)),
        (Version(tier_rules=RULES, expiry_warning_days=0), None, day(95)),
        (VERSION, None, day(65)),
        (VERSION, day(94), day(65)),
        (VERSION, day(95), day(95)),
    ],
)
def test_a_lot_is_looked_at_when_its_warning_is_due_and_else_when_it_lapses(
    version: Version | None, warned_until: datetime | None, looks_at: datetime
) -> None:
    assert looks_at_lot(day(95), warned_until, version) == looks_at
