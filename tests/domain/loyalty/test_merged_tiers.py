"""What qualified comes along with a merge, in the window of its purchase, and goes back with its undo."""

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from app.domain.loyalty.tiers import points_in_window
from app.domain.loyalty.versions import Tier, TierRules
from tests.domain.loyalty.ledgers import Ledger, day, merge, unmerge

BERLIN = ZoneInfo("Europe/Berlin")
RULES = TierRules((Tier("base", 0), Tier("silver", 300)), window_months=3)
Bought = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 500), st.integers(0, 10_000)),
    max_size=4,
    unique_by=lambda b: b[0],
)


def ledger(bought: list[tuple[int, int, int]]) -> Ledger:
    """Purchases of 100.00 that qualify, by their day, each refunded in part."""
    one = Ledger()
    for when, points, refunded in sorted(bought):
        # What gives no points may qualify all the same: a tier by spend.
        one.at(when).earn(points if points % 2 else 0, key=f"o{when}", qualifying=points)
        one.claw(refunded, key=f"o{when}")
    return one.at(200)


def qualifying(one: Ledger, number: int) -> int:
    return points_in_window(one.entries, day(number), RULES, BERLIN)


@given(Bought, Bought, st.integers(200, 400))
def test_the_window_of_a_survivor_holds_the_purchases_of_both_and_parts_again(
    own: list[tuple[int, int, int]], others: list[tuple[int, int, int]], number: int
) -> None:
    into, source = ledger(own), ledger(others)
    before = qualifying(into, number)
    both = before + qualifying(source, number)
    done = merge(into, source)
    assert qualifying(into, number) == both
    into.at(201), source.at(201)
    unmerge(into, source, done)
    assert (qualifying(into, max(number, 201)), qualifying(source, number)) == (
        points_in_window(
            [one for one in into.entries if one.key != done.id], day(max(number, 201)), RULES, BERLIN
        ),
        both - before,
    )


def test_a_refund_after_the_merge_falls_in_the_window_of_its_purchase() -> None:
    into, source = Ledger(), Ledger().at(10)
    source.earn(400)
    into.at(20)
    source.at(20)
    merge(into, source)
    assert qualifying(into, 20) == 400
    into.claw(2_500)
    assert qualifying(into, 20) == 300
    # Both leave the window together.
    assert qualifying(into, 110) == 0
