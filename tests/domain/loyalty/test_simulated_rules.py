"""A draft tried on a log, in detail: refunds, first purchases, windows, what is owed, and the order of what is told."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.domain.loyalty.simulation import Bought, Buyer, Moved, Simulation, Trial
from app.domain.loyalty.versions import Published
from tests.domain.loyalty.programmes import AT, BASE, BERLIN, CLUB, purchase
from tests.domain.loyalty.test_simulation import DAY, bought, draft, tried

SILVER: dict[str, Any] = {
    "tiers": [{"code": "base"}, {"code": "silver", "threshold": 100, "multiplier": "2"}]
}


def of_one(*log: Bought, buyer: Buyer | None = None, days: int = 90, **said: Any) -> Simulation:
    """One point for each 100 of one customer's purchases."""
    return tried(draft(1, **said), [(buyer or Buyer("ada"), log)], days)


def test_a_cost_is_in_whole_minor_units_and_never_rounded_up() -> None:
    told = of_one(bought(0, 100))
    assert [told.cost_minor(points, 500_000) for points in (1, 2, 3)] == [0, 1, 1]
    assert isinstance(told.cost_minor(3, 500_000), int)


@pytest.mark.parametrize(
    "amount, refunded, kept",
    [(1_000, 0, 10), (1_000, 1, 10), (1_000, 250, 8), (1_000, 1_000, 0), (1_000, 1_500, 0), (0, 50, 0)],
)
def test_a_refund_takes_its_share_of_the_points_rounded_down(amount: int, refunded: int, kept: int) -> None:
    told = of_one(bought(0, amount, refunded_minor=refunded))
    assert told.points_drafted == kept
    assert isinstance(told.points_drafted, int)
    assert sum(told.liability.values()) == kept


@pytest.mark.parametrize("refunded, tier", [(0, "silver"), (5_000, "base")])
def test_what_was_refunded_does_not_count_towards_a_tier(refunded: int, tier: str) -> None:
    told = of_one(bought(0, 10_000, refunded_minor=refunded), bought(1, 1_000), **SILVER)
    assert told.tiers_after == {tier: 1}
    assert told.points_drafted == (100 + 20 if tier == "silver" else 50 + 10)


@pytest.mark.parametrize("first", [True, False])
def test_a_first_purchase_is_what_the_log_says(first: bool) -> None:
    rule = {"code": "welcome", "points": 7, "when": {"first_purchase": True}}
    told = of_one(bought(0, 1_000, is_first_purchase=first), earning_rules=[BASE, rule])
    assert told.points_drafted == (17 if first else 10)


def test_who_earned_enough_before_the_log_begins_it_in_the_higher_tier() -> None:
    told = of_one(bought(0, 1_000), buyer=Buyer("ada", earlier=[(AT - 9 * DAY, 100)]), **SILVER)
    assert told.points_drafted == 20


@pytest.mark.parametrize("early, tier", [(timedelta(0), "silver"), (timedelta.resolution, "base")])
def test_the_window_of_a_tier_begins_with_its_local_day(early: timedelta, tier: str) -> None:
    begins = datetime(2025, 5, 2, tzinfo=BERLIN)
    buyer = Buyer("ada", earlier=[(begins - early, 90)])
    # By the first purchase there are not enough yet; by the second, a day later, only what the window still holds.
    assert of_one(bought(0, 100), bought(1, 1_000), buyer=buyer, **SILVER).tiers_after == {tier: 1}


@pytest.mark.parametrize(
    "earlier, left",
    [
        # Two days are today and yesterday on the wall, not the 48 hours before.
        (datetime(2026, 4, 30, 0, tzinfo=BERLIN), 5),
        (datetime(2026, 4, 29, 23, 59, tzinfo=BERLIN), 20),
    ],
)
def test_the_period_of_a_cap_is_of_local_days_as_when_purchases_earn(earlier: datetime, left: int) -> None:
    rule = {**BASE, "caps": {"per_period": 20, "period_days": 2}}
    log = [
        purchase(1_500, occurred_at=earlier),
        purchase(9_000, occurred_at=datetime(2026, 5, 1, 1, tzinfo=BERLIN)),
    ]
    told = of_one(*map(Bought, log), earning_rules=[rule])
    assert told.points_drafted == 15 + left


def test_all_purchases_of_a_day_count_towards_its_cap() -> None:
    rule = {**BASE, "caps": {"per_period": 20, "period_days": 1}}
    log = [
        Bought(purchase(1_500, key=str(hour), occurred_at=AT + timedelta(hours=hour))) for hour in range(3)
    ]
    assert of_one(*log, earning_rules=[rule]).points_drafted == 15 + 5


def test_against_versions_in_turn_each_looks_back_as_far_as_it_says() -> None:
    def rules(cap_days: int, months: int) -> dict[str, Any]:
        rule = {**BASE, "caps": {"per_period": 150, "period_days": cap_days}}
        return {**SILVER, "earning_rules": [rule], "tier_window_months": months}

    # The second version asks for a day and a month; the third, of its old period and window, finds all there still.
    versions = [
        Published(number, draft(number, **rules(*said)), since)
        for number, (said, since) in enumerate(
            [
                ((60, 12), datetime.min.replace(tzinfo=AT.tzinfo)),
                ((1, 1), AT + 35 * DAY),
                ((60, 12), AT + 40 * DAY),
            ]
        )
    ]
    trial = Trial(draft(1), CLUB, since=AT, until=AT + 90 * DAY, against=versions)
    trial.take(Buyer("ada"), [bought(0, 9_000), bought(36, 1_000), bought(41, 9_000)])
    told = trial.told()
    # 90, then 10 of a day's 150, then the 50 that 60 days have left; with 150 in twelve months that is silver.
    assert (told.points_before, told.tiers_before) == (150, {"silver": 1})


@pytest.mark.parametrize("until, owed", [(-1, {"2026-06": 10}), (0, {}), (1, {})])
def test_points_that_stop_as_the_simulation_ends_are_no_liability(until: int, owed: dict[str, int]) -> None:
    # They live through the whole local day a month after the first of May.
    stops = datetime(2026, 6, 2, tzinfo=BERLIN)
    days = (stops - AT) / DAY + until / 86_400
    said: dict[str, Any] = {"expiry_months": 1, "expiry_rounding": "none"}
    assert tried(draft(1, **said), [(Buyer("ada"), [bought(0, 1_000)])], days).liability == owed


def test_what_is_owed_goes_by_the_month_on_the_wall_in_order_of_time() -> None:
    # The last of June ends in New York four hours after it ended in UTC.
    club = CLUB._replace(zone=ZoneInfo("America/New_York"))
    version = draft(1, expiry_months=1, expiry_rounding="none")
    trial = Trial(version, club, since=AT, until=AT + DAY)
    for name, amount, said in (
        ("ada", 500, "2026-06-10"),
        ("bob", 2_000, "2026-05-30"),
        ("cy", 1_000, "2026-05-20"),
    ):
        at = datetime.fromisoformat(f"{said}T12:00:00Z")
        trial.take(Buyer(name), [Bought(purchase(amount, occurred_at=at))])
    assert list(trial.told().liability.items()) == [("2026-06", 30), ("2026-07", 5)]


def test_against_other_rules_the_tier_is_the_one_that_those_would_have_given() -> None:
    told = tried(draft(2, **SILVER), [(Buyer("ada"), [bought(0, 6_000)])], against=draft(1, **SILVER))
    assert (told.tiers_before, told.tiers_after) == ({"base": 1}, {"silver": 1})
    told = tried(draft(1, **SILVER), [(Buyer("ada"), [bought(0, 6_000)])], against=draft(2, **SILVER))
    assert (told.tiers_before, told.tiers_after) == ({"silver": 1}, {"base": 1})


def test_one_point_makes_a_winner_and_one_a_loser_and_the_largest_come_first_then_by_name() -> None:
    gains = {"a": -1, "b": 1, "c": 0, "d": -3, "e": 3, "f": 3, "g": -3}
    log = [(Buyer(name, None, 10 - gained), [bought(0, 1_000)]) for name, gained in reversed(gains.items())]
    told = tried(draft(1), log)
    assert (told.winners, told.losers) == (3, 3)
    assert told.most_gained == (Moved("e", 7, 10), Moved("f", 7, 10), Moved("b", 9, 10))
    assert told.most_lost == (Moved("d", 13, 10), Moved("g", 13, 10), Moved("a", 11, 10))
