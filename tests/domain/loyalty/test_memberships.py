"""A member at a glance, a reward that was captured, and an account as it was."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.domain.loyalty import tiers
from app.domain.loyalty.account import Decision
from app.domain.loyalty.balances import as_of
from app.domain.loyalty.clock import Rulebook
from app.domain.loyalty.membership import Known, membership
from app.domain.loyalty.rewards import Redeemed, redeemed
from app.domain.loyalty.settling import Expiring
from app.domain.loyalty.tiers import Projection, Standing
from app.domain.loyalty.versions import Published, Tier, TierRules, Version
from tests.domain.loyalty.ledgers import DAY, START, Ledger, day
from tests.domain.loyalty.programmes import BERLIN

PACIFIC = ZoneInfo("America/Los_Angeles")
TIERS = TierRules((Tier("base", 0), Tier("gold", 100)), window_months=1, grace_days=10, warning_days=5)
BOOK = Rulebook((Published(1, Version(tier_rules=TIERS, expiry_warning_days=30), START - DAY),), PACIFIC)


def member(
    made: Ledger, at: datetime, standing: Standing | None = None, book: Rulebook = BOOK, **said: Any
) -> Any:
    return membership(
        Known("main", made.account, standing, said.get("by_day", {})), book, said.get("ends"), at
    )


def test_points_are_near_their_end_from_the_first_day_of_the_warning_on() -> None:
    made = Ledger()
    made.earn(100, "first", lives=40)
    made.earn(50, "second", lives=41)
    shown = member(made, day(10))
    assert (shown.program, shown.seq, shown.balance) == ("main", 2, made.balance)
    assert shown.lapsing == Expiring(100, day(40))
    assert member(made, day(10) - timedelta.resolution).lapsing is None
    assert member(made, day(10) - timedelta.resolution).last_day is None
    assert member(made, day(40)).lapsing == Expiring(50, day(41))


def test_the_last_day_is_the_one_on_the_programmes_wall() -> None:
    made = Ledger()
    midnight = datetime(2026, 1, 20, tzinfo=PACIFIC).astimezone(UTC)
    made.adjust(5, expires_at=midnight)
    assert member(made, START).last_day == date(2026, 1, 19)


def test_without_rules_only_what_lapses_at_once_is_near_and_nothing_is_ahead() -> None:
    made = Ledger()
    made.earn(100, "first", lives=1)
    nothing = Rulebook((), BERLIN)
    standing = Standing("gold", START, day(40))
    shown = member(made, day(0.5), standing, nothing)
    assert (shown.lapsing, shown.projection, shown.threat, shown.standing) == (None, None, None, standing)


def test_a_programme_that_ends_takes_all_points_with_it() -> None:
    made = Ledger()
    made.earn(100, "first")
    assert member(made, day(5), ends=day(20)).lapsing == Expiring(100, day(20))


def test_what_is_ahead_counts_the_days_of_the_window_and_warns_of_a_loss() -> None:
    made = Ledger()
    standing = Standing("gold", START - 20 * DAY, day(10))
    by_day = {date(2025, 11, 29): 500, date(2025, 11, 30): 60, date(2025, 12, 31): 30}
    # In Los Angeles the new year has not begun yet: the window still holds the last of November.
    early = datetime(2026, 1, 1, 7, tzinfo=UTC)
    shown = member(made, early, standing, by_day=by_day)
    assert shown.projection == Projection(None, 70, "base")
    assert shown.threat is None
    base = standing._replace(tier="base")
    assert member(made, early, base, by_day=by_day).projection.points_to_next == 10
    late = member(made, day(15), standing, by_day=by_day)
    assert late.threat == tiers.Warning("gold", "base", day(20), 70)
    assert member(made, day(15), standing._replace(tier="gone"), by_day=by_day).projection is None


# --- rewards --------------------------------------------------------------------------------------------------------


def held() -> Ledger:
    made = Ledger()
    made.earn(100, lives=10)
    made.hold(70, reward="mug")
    return made


def redeem(made: Ledger, **said: Any) -> Redeemed:
    terms: dict[str, Any] = {
        "stock": 5,
        "coupon": None,
        "needs_coupon": False,
        "grace": 30 * DAY,
        "now": made.now,
    }
    decision: Decision[Redeemed] = redeemed(made.account, "h1", **(terms | said))
    done: Redeemed = made.take(decision)
    return done


def test_a_capture_for_a_reward_takes_one_and_says_all_of_it_again() -> None:
    made = held()
    done = redeem(made, coupon="C1", needs_coupon=True)
    assert done == Redeemed(made.account.holds["h1"], made.account.spends["h1"], "C1", None, 4)
    assert done.hold.state == "captured"
    assert redeem(made.at(20), coupon="C1", needs_coupon=True, stock=9) == done._replace(stock=9)
    assert redeem(held(), stock=None).stock is None
    assert redeem(held(), stock=1).stock == 0


def test_where_none_is_left_the_hold_is_freed() -> None:
    made = held()
    done = redeem(made, stock=0)
    assert done == Redeemed(made.account.holds["h1"], None, None, "out_of_stock", 0)
    assert (done.hold.state, made.available) == ("released", 100)


@pytest.mark.parametrize("grace, available", [(30 * DAY, 70), (timedelta(0), 0)])
def test_without_a_coupon_the_points_come_back_once(grace: timedelta, available: int) -> None:
    made = Ledger()
    made.earn(100, lives=10)
    made.hold(70, ttl=6 * 86_400, reward="mug")
    made.at(5)
    first = redeem(made, needs_coupon=True)
    assert first == Redeemed(made.account.holds["h1"], made.account.spends["h1"], None, "coupon_failed", 5)
    assert made.available == 100
    assert redeem(made, needs_coupon=True) == first
    late = Ledger()
    late.earn(70, lives=3)
    late.hold(70, ttl=6 * 86_400, reward="mug")
    redeem(late.at(4), needs_coupon=True, grace=grace)
    assert late.available == available


def test_a_hold_of_the_past_is_as_it_was_then() -> None:
    made = Ledger()
    made.earn(100)
    opened = made.at(1).hold(30)
    open_ = made.at(1.001).hold(20, "h2", ttl=86_400)
    captured = made.at(1.005).capture().hold
    for at, holds in (
        (day(1) - timedelta.resolution, {}),
        (day(1), {"h1": opened}),
        (day(1.001), {"h1": opened, "h2": open_}),
        (day(1.005) - timedelta.resolution, {"h1": opened, "h2": open_}),
        (day(1.005), {"h1": captured, "h2": open_}),
    ):
        assert as_of(made.account, made.entries, at).holds == holds
