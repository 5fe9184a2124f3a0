"""A draft tried on what was logged."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.loyalty.simulation import Logged, Moved, simulate
from app.domain.loyalty.versions import Version, version_of
from tests.domain.loyalty.programmes import AT, BASE, CLUB, purchase

DAY = timedelta(days=1)


def logged(customer: str, number: int, amount: int, recorded: int, **said: Any) -> Logged:
    return Logged(
        customer, purchase(amount, key=f"{customer}{number}", occurred_at=AT + number * DAY), recorded, **said
    )


def draft(**said: Any) -> Version:
    return version_of({"earning_rules": [{**BASE, "points": 2}], **said})


def test_points_cost_liability_winners_and_losers() -> None:
    log = [logged("ada", 0, 1_000, 10), logged("bob", 1, 1_000, 50), logged("cy", 2, 500, 10)]
    done = simulate(draft(), CLUB, log, tiers={}, earlier={}, until=AT + 90 * DAY, point_cost_micro=1_500_000)
    assert (done.purchases, done.customers, done.recorded_points, done.drafted_points) == (3, 3, 70, 50)
    assert done.cost_minor == 75
    assert done.liability == {"2027-05": 50}
    assert (done.winners, done.losers) == (1, 1)
    assert done.most_gained == (Moved("ada", 10, 20),)
    assert done.most_lost == (Moved("bob", 50, 20),)


def test_tier_moves_count_what_was_earned_before_the_log() -> None:
    tiers = [{"code": "base"}, {"code": "silver", "threshold": 100, "multiplier": "2"}]
    log = [
        logged("ada", 0, 1_000, 10),
        logged("bob", 0, 5_000, 50),
        logged("bob", 1, 1_000, 10),
        logged("cy", 1, 100, 1),
    ]
    earlier = {"ada": [(AT - 9 * DAY, 90)]}
    done = simulate(
        draft(tiers=tiers), CLUB, log, tiers={"cy": "silver"}, earlier=earlier, until=AT + 9 * DAY
    )
    assert done.tier_moves == {("base", "silver"): 2, ("silver", "base"): 1}
    assert (done.tiers_before, done.tiers_after) == ({"base": 2, "silver": 1}, {"silver": 2, "base": 1})
    # The order that lifts bob over the threshold earns at the tier before it, the next one at the new one.
    assert done.drafted_points == 20 + 100 + 40 + 2


def test_refunds_and_caps_count_and_lapsed_points_are_no_liability() -> None:
    rules = [{**BASE, "caps": {"per_period": 25, "period_days": 30}}]
    log = [
        logged("ada", 0, 2_000, 20, refunded_minor=1_000),
        logged("ada", 29, 2_000, 20),
        logged("ada", 30, 2_000, 20),
    ]
    version = version_of({"earning_rules": rules, "expiry_months": 1, "expiry_rounding": "none"})
    done = simulate(version, CLUB, log, tiers={}, earlier={}, until=AT + 40 * DAY)
    assert done.drafted_points == 10 + 5 + 20
    assert done.liability == {"2026-06": 25}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9_000), st.integers(0, 90)), max_size=20))
def test_the_parts_add_up(rows: list[tuple[str, int, int]]) -> None:
    log = [logged(who, number, amount, points) for number, (who, amount, points) in enumerate(rows)]
    done = simulate(draft(expiry_months=None), CLUB, log, tiers={}, earlier={}, until=AT + 90 * DAY)
    assert done.recorded_points == sum(points for _, _, points in rows)
    assert sum(done.liability.values()) == done.drafted_points
    assert sum(done.tiers_after.values()) == done.customers == len({who for who, _, _ in rows})
    assert done.winners + done.losers <= done.customers
