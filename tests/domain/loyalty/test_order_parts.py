"""Orders in parts: what was added to one, what each part gives back, and the names under which it is written."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.domain.loyalty.orders import (
    Chunk,
    Effect,
    Order,
    OrderLine,
    OrderState,
    Parked,
    added_of,
    changed,
    refund_arrived,
)
from app.domain.loyalty.purchases import Line, Purchase, cash_share, posted, spread
from app.domain.loyalty.rules import NET_CASH
from app.domain.problems import Conflict
from tests.domain.loyalty.programmes import AT, purchase

SHIRT = OrderLine("1", 1_000, 190, 2, 0, "S", "shirts")


def state(version: int, *lines: OrderLine, status: Any = "paid", **said: Any) -> OrderState:
    return OrderState("A", version, status, AT, "EUR", lines or (SHIRT,), **said)


def test_what_was_added_is_the_lines_that_grew_by_as_much() -> None:
    before = state(
        1, SHIRT, OrderLine("2", 500, 95, 1, 0, "H", "hats"), shipping_minor=400, points_paid_minor=100
    )
    after = state(
        2,
        SHIRT._replace(net_minor=1_500, tax_minor=285, quantity=3),
        OrderLine("2", 500, 95, 1, 0, "H", "hats"),
        OrderLine("3", 1, 0, 1, 0, "C", "cards"),
        OrderLine("4", 0, 1, 4, 0, "T", "taxes"),
        OrderLine("5", 0, 0, 1, 0, "F", "free"),
        shipping_minor=450,
        points_paid_minor=130,
        exchange_rate=Decimal("1.1"),
        channel="app",
    )
    assert added_of(before, after, 9_999, "k") == Purchase(
        "k",
        AT,
        "EUR",
        (
            Line(500, 95, "S", "shirts", 3),
            Line(1, 0, "C", "cards", 1),
            Line(0, 1, "T", "taxes", 4),
        ),
        50,
        30,
        0,
        Decimal("1.1"),
        "app",
    )


def test_what_became_cheaper_in_one_way_counts_only_what_grew_in_the_other() -> None:
    grown = added_of(state(1), state(2, SHIRT._replace(net_minor=1_200, tax_minor=100)), 110, "k")
    assert grown.lines == (Line(200, 0, "S", "shirts", 2),)
    taxed = added_of(state(1), state(2, SHIRT._replace(net_minor=900, tax_minor=400)), 110, "k")
    assert taxed.lines == (Line(0, 210, "S", "shirts", 2),)
    same = added_of(
        state(1, shipping_minor=9, points_paid_minor=9),
        state(2, shipping_minor=4, points_paid_minor=4),
        0,
        "k",
    )
    assert (same.lines, same.shipping_minor, same.points_paid_minor) == ((), 0, 0)


def test_without_a_state_before_the_amount_is_all_that_is_known() -> None:
    alone = added_of(None, state(2, shipping_minor=9, points_paid_minor=9), 777, "k")
    assert (alone.key, alone.lines, alone.shipping_minor, alone.points_paid_minor) == (
        "k",
        (Line(777),),
        0,
        0,
    )


def test_every_effect_has_its_own_name_for_ever() -> None:
    done = changed(Order(), state(1))
    assert done.effects == (Effect("order:A:1:purchase", "purchase", 1_190, 1),)
    done = changed(done.order, state(2, SHIRT._replace(net_minor=2_000)))
    assert done.effects == (Effect("order:A:2:addition", "addition", 1_000, 1, 2),)
    done = changed(done.order, state(3, SHIRT._replace(net_minor=3_000)))
    assert done.effects == (Effect("order:A:3:addition", "addition", 1_000, 1, 3),)
    done = changed(done.order, state(4, SHIRT._replace(net_minor=3_000), status="cancelled"))
    assert done.effects == (
        Effect("order:A:4:cancellation", "cancellation", 1_000, 1, 3),
        Effect("order:A:4:cancellation:2", "cancellation", 1_000, 1, 2),
        Effect("order:A:4:cancellation:0", "cancellation", 1_190, 1, None),
    )
    assert done.order.is_paid is False
    again = changed(done.order, state(5))
    assert again.effects == (Effect("order:A:5:repayment", "repayment", 1_190, 2),)


def test_an_order_that_cost_nothing_is_cancelled_under_its_name() -> None:
    free = OrderLine("1", 0)
    paid = changed(Order(), state(1, free)).order
    ended = changed(paid, state(2, free, status="cancelled"))
    assert ended.effects == (Effect("order:A:2:cancellation", "cancellation", 0, 1),)


def test_an_order_that_shrank_before_it_was_cancelled_gives_back_what_was_left() -> None:
    smaller = SHIRT._replace(net_minor=400, tax_minor=0)
    paid = changed(Order(), state(1)).order
    less = changed(paid, state(2, smaller))
    assert [one.amount_minor for one in less.effects] == [790]
    ended = changed(less.order, state(3, smaller, status="refunded"))
    assert [(one.id, one.amount_minor) for one in ended.effects] == [("order:A:3:refund", 400)]


def test_a_version_that_says_something_else_is_refused_by_its_number() -> None:
    order = changed(Order(), state(3)).order
    with pytest.raises(Conflict) as refusal:
        changed(order, state(3, shipping_minor=1))
    assert (refusal.value.code, refusal.value.members) == ("id_reused", {"version": 3})
    assert refusal.value.detail


def test_what_waits_keeps_waiting_while_nothing_is_paid() -> None:
    waiting = Order(parked=(Parked("r", AT, 5),))
    done = changed(waiting, state(1, status="placed"))
    assert (done.applied, done.order.parked) == ((), waiting.parked)
    assert changed(Order(), state(1)).applied == ()


def test_parts_that_are_given_back_already_give_nothing_more() -> None:
    order = Order(cycle=1, is_paid=True, chunks=(Chunk(None, 100), Chunk(2, 40, 40)))
    after, shares = refund_arrived(order, Parked("r", AT, 10))
    assert shares == ((None, 10),)
    assert after.chunks == (Chunk(None, 100, 10), Chunk(2, 40, 40))
    after, shares = refund_arrived(after, Parked("s", AT, 500))
    assert (shares, after.refunded_minor) == (((None, 90),), 140)


def test_a_refund_waits_once_for_each_source_that_told_of_it() -> None:
    order = Order()
    for source in (None, "desk", None, "desk"):
        order, _ = refund_arrived(order, Parked("r", AT, 5, source))
    assert order.parked == (Parked("r", AT, 5), Parked("r", AT, 5, "desk"))


def test_items_that_add_up_leave_no_line_over() -> None:
    items = [{"sku": "A", "amount_minor": 60}, {"sku": "B", "amount_minor": 40}]
    said: dict[str, Any] = {"key": "k", "occurred_at": AT, "currency": "EUR", "items": items}
    assert [line.net_minor for line in posted(amount_minor=100, **said).lines] == [60, 40]
    assert [line.net_minor for line in posted(amount_minor=101, **said).lines] == [60, 40, 1]
    assert [line.net_minor for line in posted(amount_minor=50, **said).lines] == [30, 20]


def test_sums_beyond_what_a_float_holds_are_spread_exactly() -> None:
    most = 2**53 + 1
    assert spread(most, [1, 0]) == [most, 0]
    assert all(isinstance(part, int) for part in spread(100, [1, 2]))


def test_what_points_paid_wholly_has_no_cash_in_it() -> None:
    assert cash_share(purchase(100, points_paid_minor=100), NET_CASH) == 0
    assert cash_share(purchase(100, points_paid_minor=250), NET_CASH) == 0
    assert cash_share(purchase(), NET_CASH) == 0


def test_a_state_that_comes_again_changes_nothing() -> None:
    order = changed(Order(), state(1)).order
    later = replace(order, parked=())
    assert changed(later, state(1)) == (order, (), None, ())
    assert changed(later, state(0)).ignored == "stale_version"
