"""Refunds and cancellations that come before their order, and amounts of nothing."""

from app.domain.loyalty.orders import Chunk, Order, OrderLine, OrderState, Parked, Status, adopted, worth_of
from tests.domain.loyalty.ledgers import START, day
from tests.domain.loyalty.passbooks import Customer, draft


def state(status: Status = "paid") -> OrderState:
    return OrderState("A", 1, status, START, "EUR", (OrderLine("1", 10_000, 0, 1, 0, "X", None),))


def test_a_cancellation_that_waits_takes_what_the_refunds_before_it_have_left() -> None:
    ada = Customer()
    ada.cancels("c", at=day(1))
    ada.returns(2_000, "r", at=day(0))
    assert ada.buys(10_000, "p", "A", at=day(2))["points_clawed"] == 100
    assert ada.clawbacks() == [("shop/r", 20), ("shop/c", 80)]
    given_back = [
        (move.occurred_at, move.amount_minor) for move in ada.book.moves if move.kind == "given_back"
    ]
    assert given_back == [(day(0), 2_000), (day(1), 8_000)]


def test_a_refund_that_waited_is_taken_in_the_currency_of_its_order() -> None:
    for currency, value, clawed in (("EUR", 1_000, 10), ("USD", 900, 9), ("USD", None, 0)):
        ada = Customer()
        ada.returns(1_000, "r", currency=currency, value_minor=value)
        assert ada.buys(10_000, "p", "A", at=day(1))["points_clawed"] == clawed
    waiting = Order(parked=(Parked("r", START, 1_000, None, (("USD", 1_000), ("EUR", 900))),))
    ada = Customer()
    _, told = ada.sends(waiting, state())
    assert [one["points_clawed"] for one in told] == [9]


def test_an_order_whose_purchase_is_posted_keeps_its_state() -> None:
    known = Order(state=state("placed"))
    paid = adopted(known, "p", 500)
    assert paid == Order(known.state, cycle=1, is_paid=True, chunks=(Chunk(None, 500),), adopted="p")
    assert adopted(paid, "q", 900) is paid


def test_nothing_paid_and_nothing_given_back_is_no_minor_unit() -> None:
    ada = Customer(draft(earning_rules=[{"code": "each", "points": 1, "per_amount_minor": 1}]))
    assert ada.buys(0, "free")["points_earned"] == 0
    assert ada.buys(0, "p", "B")["points_earned"] == 0
    assert ada.order("B").order.chunks == (Chunk(None, 0),)
    ada.buys(500, "q", "A")
    assert ada.returns(0, "r")["points_clawed"] == 0
    assert ada.order().order.refunded_minor == 0
    assert worth_of(None, None, None, "EUR") == (("EUR", 0),)
    assert worth_of(0, "USD", 0, "EUR") == (("EUR", 0), ("USD", 0))
