"""Whole orders become what happened; late, stale and repeated states do no harm."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.loyalty.orders import (
    Chunk,
    Effect,
    Order,
    OrderLine,
    OrderState,
    Parked,
    added_of,
    adopted,
    changed,
    purchase_of,
    refund_arrived,
    unparked,
    worth_of,
)
from app.domain.problems import Conflict
from tests.domain.loyalty.ledgers import START, Ledger, day
from tests.domain.loyalty.programmes import BASE, points

LINES = (OrderLine("1", 6_000, 0, 2, sku="A"), OrderLine("2", 4_000, sku="B"))


def state(
    version: int, status: Any = "paid", lines: tuple[OrderLine, ...] = LINES, **said: Any
) -> OrderState:
    return OrderState("A-1", version, status, START, "EUR", lines, **said)


def run(*states: OrderState, order: Order | None = None) -> tuple[Order, list[Effect]]:
    order = order or Order()
    effects: list[Effect] = []
    for one in states:
        done = changed(order, one)
        order = done.order
        effects += done.effects
    return order, effects


def told(effects: list[Effect]) -> list[tuple[str, int]]:
    return [(effect.what, effect.amount_minor) for effect in effects]


def test_a_paid_order_is_one_purchase_with_an_id_of_its_version() -> None:
    _, effects = run(state(1, "placed"), state(2), state(3, "fulfilled"))
    assert effects == [Effect("order:A-1:2:purchase", "purchase", 10_000, 1)]
    assert effects[0].kind == "purchase"


def test_case_21_the_same_state_five_times_has_one_effect() -> None:
    assert told(run(*[state(1)] * 5)[1]) == [("purchase", 10_000)]


def test_the_same_version_with_another_content_is_refused() -> None:
    with pytest.raises(Conflict) as refusal:
        run(state(1), state(1, "cancelled"))
    assert refusal.value.code == "id_reused"


def test_case_22_paid_cancelled_paid_is_two_cycles() -> None:
    _, effects = run(state(1), state(2, "cancelled"), state(3))
    assert told(effects) == [("purchase", 10_000), ("cancellation", 10_000), ("repayment", 10_000)]
    assert [effect.cycle for effect in effects] == [1, 1, 2]
    assert [effect.kind for effect in effects] == ["purchase", "order_cancelled", "purchase"]


def test_case_23_a_refund_before_its_order_waits_and_applies_when_it_comes() -> None:
    order, shares = refund_arrived(Order(), Parked("r2", day(2), 3_000))
    order, _ = refund_arrived(order, Parked("r1", day(1), 9_000))
    order, _ = refund_arrived(order, Parked("r1", day(1), 9_000))
    assert shares == ()
    done = changed(order, state(1))
    assert [(refund.id, shares) for refund, shares in done.applied] == [
        ("r1", ((None, 9_000),)),
        ("r2", ((None, 1_000),)),
    ]
    order = done.order
    assert unparked(order, "EUR") == (order, ())
    assert (order.refunded_minor, order.parked) == (10_000, ())


def test_case_23_a_refund_that_the_state_names_too_is_one_refund() -> None:
    order, _ = refund_arrived(Order(), Parked("r1", day(1), 3_000))
    assert told(run(state(1, refunded_minor=4_000), order=order)[1]) == [
        ("purchase", 10_000),
        ("refund", 1_000),
    ]


def test_a_refund_of_an_order_that_is_over_takes_nothing_and_waits_for_nothing() -> None:
    order, _ = run(state(1), state(2, "cancelled"))
    assert refund_arrived(order, Parked("late", day(3), 3_000)) == (order, ())


def test_what_was_added_are_the_lines_that_grew() -> None:
    before = state(1, shipping_minor=500)
    after = state(
        2, lines=(replace_net(LINES[0], 9_000), LINES[1]), shipping_minor=700, points_paid_minor=100
    )
    added = added_of(before, after, 3_100, "k")
    assert [(line.net_minor, line.sku) for line in added.lines] == [(3_000, "A")]
    assert (added.shipping_minor, added.points_paid_minor, added.paid_minor) == (200, 100, 3_100)
    unknown = added_of(None, after, 3_100, "k")
    assert (unknown.paid_minor, len(unknown.lines)) == (3_100, 1)


def test_case_23_points_are_never_negative_from_a_refund_alone() -> None:
    ledger = Ledger()
    ledger.earn(100)
    assert ledger.claw(9_000, "r1").taken == 90
    assert ledger.claw(3_000, "r2").taken == 10
    assert ledger.available == 0


def test_case_24_an_older_version_after_a_newer_is_stale() -> None:
    order, _ = run(state(5))
    done = changed(order, state(4, "cancelled"))
    assert (done.order, done.effects, done.ignored) == (order, (), "stale_version")
    assert changed(order, state(5)).ignored is None


def test_returned_lines_are_refunded_to_the_minor_unit() -> None:
    half = (replace_line(LINES[0], 1), LINES[1])
    whole = (replace_line(LINES[0], 2), LINES[1])
    _, effects = run(state(1), state(2, lines=half), state(3, lines=whole), state(4, "refunded", lines=whole))
    assert told(effects) == [("purchase", 10_000), ("refund", 3_000), ("refund", 3_000), ("refund", 4_000)]


def test_the_amount_refunded_counts_where_it_is_more_than_the_lines() -> None:
    half = (replace_line(LINES[0], 1), LINES[1])
    assert told(run(state(1), state(2, lines=half, refunded_minor=5_000))[1])[1:] == [("refund", 5_000)]
    assert told(run(state(1), state(2, refunded_minor=99_999))[1])[1:] == [("refund", 10_000)]


def test_a_line_taken_off_a_paid_order_is_a_refund() -> None:
    assert told(run(state(1), state(2, lines=LINES[:1]))[1])[1:] == [("refund", 4_000)]


def test_what_is_added_earns_by_itself_and_is_refunded_first() -> None:
    more = (*LINES, OrderLine("3", 2_000))
    order, effects = run(state(1), state(2, lines=more), state(3, lines=more, refunded_minor=5_000))
    assert told(effects) == [("purchase", 10_000), ("addition", 2_000), ("refund", 2_000), ("refund", 3_000)]
    assert [effect.addition for effect in effects] == [None, 2, 2, None]
    assert len({effect.id for effect in effects}) == 4
    assert order.chunks == (Chunk(None, 10_000, 3_000), Chunk(2, 2_000, 2_000))


def test_an_order_adopts_the_purchase_that_was_posted_for_it() -> None:
    order = adopted(Order(), "evt-1", 10_000)
    assert adopted(order, "evt-2", 1) == order
    order, effects = run(state(1), order=order)
    assert (effects, order.adopted, order.cycle) == ([], "evt-1", 1)
    assert told(run(state(2, "cancelled"), order=order)[1]) == [("cancellation", 10_000)]


def test_an_order_that_was_never_paid_has_nothing_to_undo() -> None:
    assert run(state(1, "placed"), state(2, "cancelled"))[1] == []


def test_a_free_order_is_cancelled_all_the_same() -> None:
    free = (OrderLine("1", 0),)
    assert told(run(state(1, lines=free), state(2, "cancelled", lines=free))[1]) == [
        ("purchase", 0),
        ("cancellation", 0),
    ]


def test_shipping_and_points_paid_are_part_of_what_is_paid() -> None:
    order = state(1, shipping_minor=500, points_paid_minor=2_500)
    assert order.paid_minor == 8_000
    assert points([BASE], purchase_of(order, "k")).points == 76


def replace_net(line: OrderLine, net_minor: int) -> OrderLine:
    return line._replace(net_minor=net_minor)


def replace_line(line: OrderLine, returned: int) -> OrderLine:
    return line._replace(returned_quantity=returned)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["placed", "paid", "fulfilled", "cancelled", "refunded"]),
            st.integers(0, 12),
            st.integers(0, 3),
        ),
        max_size=12,
    )
)
def test_whatever_is_sent_a_cycle_never_gives_back_more_than_it_took(
    steps: list[tuple[Any, int, int]],
) -> None:
    order = Order()
    paid: dict[int, int] = {}
    ids: set[str] = set()
    for version, (status, refunded, lines) in enumerate(steps, 1):
        sent = state(version, status, (*LINES, *LINES)[: lines + 1], refunded_minor=refunded * 1_000)
        done = changed(order, sent)
        assert changed(done.order, sent).effects == ()
        order = done.order
        for effect in done.effects:
            assert effect.id not in ids
            ids.add(effect.id)
            sign = -1 if effect.what in {"refund", "cancellation"} else 1
            paid[effect.cycle] = paid.get(effect.cycle, 0) + sign * effect.amount_minor
            assert paid[effect.cycle] >= 0
        if not order.is_paid and order.cycle:
            assert paid[order.cycle] == 0
    assert replace(order) == order


def test_a_parked_refund_counts_in_the_currency_of_its_order() -> None:
    dollars = Parked("r1", day(1), 4_000, None, worth_of(4_000, "USD", 2_000, "EUR"))
    order, _ = refund_arrived(Order(), dollars)
    for currency, taken in (("EUR", ((None, 2_000),)), ("USD", ((None, 4_000),)), ("JPY", ())):
        (_, shares), *_ = unparked(adopted(order, "p", 10_000), currency)[1]
        assert shares == taken, currency
    # Without a rate it is worth nothing in another currency; of an order whose currency nobody knows it waits whole.
    no_rate = dollars._replace(worth=worth_of(4_000, "USD", None, "EUR"))
    assert no_rate.in_currency("EUR").amount_minor == 0
    assert no_rate.in_currency("USD") == no_rate.in_currency(None) == no_rate
    # What an earlier release parked counts as it is, and a cancellation is of everything.
    assert Parked("old", day(1), 4_000).in_currency("EUR").amount_minor == 4_000
    assert dollars._replace(amount_minor=None).in_currency("JPY").amount_minor is None
