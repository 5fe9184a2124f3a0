"""The last guard of an account: a movement that cannot be leaves nothing of the call."""

import pytest

from app.domain.loyalty.account import Movement
from app.domain.loyalty.book import Book
from tests.domain.loyalty.ledgers import START, Ledger


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
