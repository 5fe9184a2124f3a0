"""Sums of qualifying points over windows are those of adding up the entries one by one."""

from itertools import combinations

from app.domain.loyalty.qualifying import Qualified
from tests.domain.loyalty.ledgers import Ledger, day


def test_every_window_has_the_sum_of_what_was_told_and_counts_in_it() -> None:
    made = Ledger().at(30)
    for number in (7, 0, 5, 2, 9, 1, 8, 3, 6, 4):
        made.earn(1 << number, f"o{number}", occurred_at=day(number))
    qualified = Qualified(made.entries)
    told = 0
    for entry in made.entries:
        qualified.tell(entry)
        told += entry.qualifying
        assert qualified.points(day(0), day(9)) == told
    for since, until in combinations(range(10), 2):
        assert qualified.points(day(since), day(until)) == sum(
            1 << number for number in range(since, until + 1)
        )


def test_a_window_that_lost_more_than_it_had_counts_none() -> None:
    made = Ledger().at(3)
    made.earn(10, occurred_at=day(2))
    made.claw(None)
    qualified = Qualified(made.entries)
    for entry in made.entries[1:]:
        qualified.tell(entry)
    assert qualified.points(day(0), day(3)) == 0
