"""A draft tried on what was logged."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.loyalty.simulation import BIGGEST, Bought, Buyer, Moved, Simulation, Trial
from app.domain.loyalty.versions import Published, Version, version_of
from tests.domain.loyalty.programmes import AT, BASE, CLUB, purchase

DAY = timedelta(days=1)
Log = dict[str, tuple[Buyer, list[Bought]]]


def bought(number: int, amount: int, **said: Any) -> Bought:
    return Bought(purchase(amount, key=f"{number}", occurred_at=AT + number * DAY), **said)


def draft(points: int = 2, **said: Any) -> Version:
    return version_of({"earning_rules": [{**BASE, "points": points}], **said})


def tried(
    version: Version,
    log: Sequence[tuple[Buyer, Sequence[Bought]]],
    days: float = 90,
    against: Version | None = None,
) -> Simulation:
    rules = None if against is None else [Published(1, against, AT)]
    trial = Trial(version, CLUB, since=AT, until=AT + days * DAY, against=rules)
    for buyer, purchases in log:
        trial.take(buyer, purchases)
    return trial.told()


def test_points_cost_liability_winners_and_losers() -> None:
    log = [
        (Buyer("ada", None, 10), [bought(0, 1_000)]),
        (Buyer("bob", None, 50), [bought(1, 1_000)]),
        (Buyer("cy", None, 10), [bought(2, 500)]),
        (Buyer("none", None, 99), []),
    ]
    done = tried(draft(), log)
    assert (done.purchases, done.customers, done.points_before, done.points_drafted) == (3, 3, 70, 50)
    assert done.cost_minor(done.points_drafted, 1_500_000) == 75
    assert done.liability == {"2027-05": 50}
    assert (done.winners, done.losers) == (1, 1)
    assert done.most_gained == (Moved("ada", 10, 20),)
    assert done.most_lost == (Moved("bob", 50, 20),)


def test_tier_moves_count_what_was_earned_before_the_log() -> None:
    tiers = [{"code": "base"}, {"code": "silver", "threshold": 100, "multiplier": "2"}]
    log = [
        (Buyer("ada", earlier=[(AT - 9 * DAY, 90)]), [bought(0, 1_000)]),
        (Buyer("bob"), [bought(0, 5_000), bought(1, 1_000)]),
        (Buyer("cy", "silver"), [bought(1, 100)]),
    ]
    done = tried(draft(tiers=tiers), log, 9)
    assert done.tier_moves == {("base", "silver"): 2, ("silver", "base"): 1}
    assert (done.tiers_before, done.tiers_after) == ({"base": 2, "silver": 1}, {"silver": 2, "base": 1})
    # The order that lifts bob over the threshold earns at the tier before it, the next one at the new one.
    assert done.points_drafted == 20 + 100 + 40 + 2


def test_refunds_and_caps_count_and_lapsed_points_are_no_liability() -> None:
    rules = [{**BASE, "caps": {"per_period": 25, "period_days": 30}}]
    log = [(Buyer("ada"), [bought(0, 2_000, refunded_minor=1_000), bought(29, 2_000), bought(30, 2_000)])]
    version = version_of({"earning_rules": rules, "expiry_months": 1, "expiry_rounding": "none"})
    done = tried(version, log, 40)
    assert done.points_drafted == 10 + 5 + 20
    assert done.liability == {"2026-06": 25}


def test_against_other_rules_it_is_compared_with_what_they_would_have_given() -> None:
    rule = {**BASE, "when": {"segment": ["vip"]}, "code": "vip"}
    now = version_of({"earning_rules": [BASE, rule]})
    log = [
        (Buyer("ada", "gone", 999, frozenset({"vip"})), [bought(0, 1_000, is_first_purchase=True)]),
        (Buyer("bob", "gone", 999), [bought(0, 1_000)]),
    ]
    done = tried(draft(), log, against=now)
    assert (done.points_before, done.points_drafted) == (20 + 10, 20 + 20)
    assert done.tiers_before == {"base": 2}
    assert done.most_gained == (Moved("bob", 10, 20),)


def test_before_the_first_version_nothing_was_earned() -> None:
    trial = Trial(draft(), CLUB, since=AT, until=AT + DAY, against=[])
    trial.take(Buyer("ada"), [bought(0, 1_000)])
    assert (trial.told().points_before, trial.told().points_drafted) == (0, 20)


def test_only_the_extremes_are_kept() -> None:
    log = [(Buyer(f"c{number:03}"), [bought(0, 100 * number)]) for number in range(1, 3 * BIGGEST)]
    done = tried(draft(), log)
    assert [one.gained for one in done.most_gained] == [
        2 * number for number in range(3 * BIGGEST - 1, 2 * BIGGEST - 1, -1)
    ]
    assert (done.winners, done.most_lost) == (3 * BIGGEST - 1, ())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9_000), st.integers(0, 90)), max_size=20))
def test_the_parts_add_up(rows: list[tuple[str, int, int]]) -> None:
    log: Log = {}
    for number, (who, amount, points) in enumerate(rows):
        buyer, purchases = log.get(who, (Buyer(who), []))
        log[who] = (
            buyer._replace(recorded_points=buyer.recorded_points + points),
            [*purchases, bought(number, amount)],
        )
    done = tried(draft(expiry_months=None), list(log.values()))
    assert done.points_before == sum(points for _, _, points in rows)
    assert sum(done.liability.values()) == done.points_drafted
    assert sum(done.tiers_after.values()) == done.customers == len(log)
    assert done.winners + done.losers <= done.customers
    same = tried(draft(expiry_months=None), list(log.values()), against=draft())
    assert (same.winners, same.losers, same.tier_moves) == (0, 0, {})
    assert same.points_before == same.points_drafted == done.points_drafted
