"""What one movement does to a lot and one entry to a lifetime, and the guard that leaves nothing of what cannot be."""

from uuid import UUID

import pytest

from app.domain.loyalty.account import Lot, Movement, What, opened
from app.domain.loyalty.book import Book, moved
from tests.domain.loyalty.ledgers import START, Ledger, day, merge


@pytest.mark.parametrize("points", [0, -1, 11])
def test_a_lot_cannot_pay_nothing_less_than_nothing_or_more_than_it_has(points: int) -> None:
    made = Ledger()
    made.earn(10)
    (lot,) = made.account.lots
    with pytest.raises(AssertionError, match=f"Lot {lot} cannot draw {points}"):
        Book(made.account, START).write("spend", [Movement(lot, "draw", points)])
    assert made.available == 10


def test_a_lot_may_pay_all_it_has() -> None:
    made = Ledger()
    made.earn(10)
    (lot,) = made.account.lots
    book = Book(made.account, START)
    book.write("spend", [Movement(lot, "draw", 10)])
    assert book.lots[lot].free == 0


@pytest.mark.parametrize(
    "what, counter, change",
    [
        ("grant", "granted", 5),
        ("draw", "drawn", 5),
        ("restore", "restored", 5),
        ("revoke", "revoked", 5),
        ("expire", "expired", 5),
        ("absorb", "absorbed", 5),
        ("move", "moved", 5),
        ("move_back", "moved", -5),
    ],
)
@pytest.mark.parametrize(
    "lot", [Lot(3, START, day(9), "o1"), Lot(3, START, None, "o1", 900, 90, 80, 70, 60, 50, 40, 30)]
)
def test_a_movement_changes_its_own_counter_and_nothing_else(
    what: What, counter: str, change: int, lot: Lot
) -> None:
    assert moved(lot, Movement(3, what, 5)) == lot._replace(**{counter: getattr(lot, counter) + change})


def test_a_lifetime_sees_what_was_earned_burned_and_expired_and_nothing_of_the_rest() -> None:
    made, other = Ledger(), Ledger(opened(UUID(int=2)))
    sums = []

    def told() -> None:
        now = made.balance
        sums.append((now.lifetime_earned, now.lifetime_burned, now.lifetime_expired))

    made.earn(100, lives=20)
    made.adjust(10)
    told()
    made.adjust(-30, "taken")
    made.claw(2_000)
    made.claw(1_000, "c2", policy="only_pending")
    made.adjust(-200, "owed", allow_debt=True)
    made.earn(0, "nothing")
    told()
    made.at(1).earn(400, "o2")
    told()
    made.spend(50)
    made.refund(20)
    told()
    other.earn(7, lives=5)
    merge(made, other)
    made.at(30).settle()
    told()
    assert sums == [(110, 0, 0), (110, 0, 0), (510, 0, 0), (510, 30, 0), (510, 30, 7)]
    assert (other.balance.lifetime_earned, other.balance.lifetime_expired) == (7, 0)
