"""Orders in a passbook: posted as touchpoints or sent whole, refunded in parts, early, late and by others."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.loyalty.known_orders import KnownOrder, OrderStep, found_order, gathered, keys_named
from app.domain.loyalty.orders import Chunk, Effect, Order, OrderLine, OrderState, Parked
from app.domain.loyalty.passbook import Draft
from app.domain.loyalty.versions import Published, version_of
from tests.domain.loyalty.ledgers import START, day
from tests.domain.loyalty.passbooks import LONG_AGO, Customer, draft, touchpoint
from tests.domain.loyalty.programmes import AT, BASE, CLUB


def state(version: int, status: Any = "paid", net: int = 10_000, **said: Any) -> OrderState:
    line = OrderLine("1", net, sku="A", category="hats")
    return OrderState("A", version, status, AT, "EUR", (line,), **said)


# --- orders posted as touchpoints ------------------------------------------------------------------------------------


def test_an_order_earns_once_under_its_cycle_whoever_tells_of_it_again() -> None:
    ada = Customer()
    assert ada.buys(10_000, "p", "A")["points_earned"] == 100
    assert ada.buys(10_000, "again", "A")["points_earned"] == 0
    assert ada.earns() == [("order:shop/A:1", 100)]
    known = ada.order()
    assert (known.order.cycle, known.order.is_paid, known.order.adopted) == (1, True, "p")
    assert known.order.chunks == (Chunk(None, 10_000),)
    assert (known.touchpoints, known.currency, known.is_changed) == (
        [("shop", "p"), ("shop", "again")],
        "EUR",
        True,
    )


def test_parts_of_an_order_come_back_to_the_point_and_the_last_takes_the_rest() -> None:
    ada = Customer(draft(clawback="unlimited"))
    ada.buys(9_999, "p", "A")
    taken = [ada.returns(3_333, f"r{number}", at=day(number))["points_clawed"] for number in range(4)]
    assert taken == [33, 33, 33, 0]
    assert ada.clawbacks() == [(f"shop/r{number}", 33) for number in range(3)]
    assert ada.order().order.refunded_minor == 9_999


def test_a_cancellation_takes_all_that_is_left_and_a_new_payment_is_another_cycle() -> None:
    ada = Customer()
    ada.buys(10_000, "p", "A")
    ada.returns(2_500)
    assert ada.cancels()["points_clawed"] == 75
    assert not ada.order().order.is_paid
    assert ada.cancels("c2")["points_clawed"] == 0
    assert ada.returns(10, "r2")["points_clawed"] == 0
    assert ada.buys(8_000, "p2", "A")["points_earned"] == 80
    assert ada.earns() == [("order:shop/A:1", 100), ("order:shop/A:2", 80)]
    assert ada.order().touchpoints == [("shop", one) for one in ("p", "r", "c", "c2", "r2", "p2")]


def test_an_order_that_cost_nothing_gives_back_its_points_when_it_is_cancelled() -> None:
    ada = Customer(draft(earning_rules=[{"code": "gift", "points": 40}]))
    assert ada.buys(0, "p", "A")["points_earned"] == 40
    assert ada.returns(0, "r")["points_clawed"] == 0
    assert ada.cancels()["points_clawed"] == 40
    assert ada.draft.account.debt == 0


def test_a_refund_before_its_order_waits_for_it_and_is_taken_once() -> None:
    ada = Customer()
    assert ada.returns(2_500, "r") == ada.returns(2_500, "r")
    (waiting,) = ada.order().order.parked
    assert waiting[:4] == Parked("r", START, 2_500)[:4]
    assert ada.book.moves == []
    told = ada.buys(10_000, "p", "A")
    assert (told["points_earned"], told["points_clawed"], told["available"]) == (100, 25, 75)
    assert ada.clawbacks() == [("shop/r", 25)]
    assert ada.order().order.parked == ()


def test_a_refund_without_an_order_or_of_one_from_before_the_programme_moves_nothing() -> None:
    ada = Customer()
    assert ada.returns(2_500, order=None)["points_clawed"] == 0
    assert ada.returns(2_500, "r", is_bought=True)["points_clawed"] == 0
    assert (ada.book.orders, ada.book.moves, ada.draft.entries) == ({}, [], [])


def test_a_support_desk_refunds_what_the_shop_has_sold() -> None:
    ada = Customer()
    ada.buys(10_000, "p", "A")
    assert ada.returns(5_000, "r", source="desk")["points_clawed"] == 50
    assert ada.clawbacks() == [("desk/r", 50)]
    assert [known.source for known in ada.book.orders["A"]] == ["shop"]


def test_refunds_that_wait_under_other_names_find_the_order_when_it_comes() -> None:
    ada = Customer()
    ada.returns(1_000, "r", source="desk")
    ada.returns(2_000, "r", source="app", at=day(1))
    told = ada.buys(10_000, "p", "A", at=day(2))
    assert told["points_clawed"] == 30
    assert [known.order.parked for known in ada.book.orders["A"]] == [(), (), ()]
    assert all(known.is_changed for known in ada.book.orders["A"])
    assert ada.clawbacks() == [("desk/r", 10), ("app/r", 20)]


def test_two_shops_may_use_one_order_number() -> None:
    ada = Customer()
    ada.buys(10_000, "p", "A")
    ada.buys(5_000, "p", "A", source="kiosk")
    assert ada.earns() == [("order:shop/A:1", 100), ("order:kiosk/A:1", 50)]
    assert ada.returns(5_000, "r", source="kiosk")["points_clawed"] == 50
    assert ada.order(source="shop").order.refunded_minor == 0


@given(st.lists(st.integers(0, 6_000), max_size=5), st.integers(0, 12_000), st.integers(0, 5))
def test_whenever_an_order_comes_its_refunds_take_the_same(parts: list[int], paid: int, before: int) -> None:
    ada = Customer(draft(clawback="unlimited"))
    came = 0
    for number, part in enumerate(parts):
        if number == before:
            came += ada.buys(paid, "p", "A")["points_clawed"]
        came += ada.returns(part, f"r{number}", at=day(number), received_at=START)["points_clawed"]
    if before >= len(parts):
        came += ada.buys(paid, "p", "A")["points_clawed"]
    refunded = min(sum(parts), paid)
    assert came == (paid // 100) * refunded // max(paid, 1)


# --- which account pays ----------------------------------------------------------------------------------------------


def test_a_refund_claws_wherever_the_order_has_earned_and_tells_of_the_first() -> None:
    old, new = draft(CLUB._replace(code="old"), 2), draft()
    before = Customer(old)
    before.buys(10_000, "p", "A")
    both = Customer(new, old, orders=before.book.orders["A"])
    told = both.returns(5_000)
    assert (told["points_clawed"], told["available"]) == (50, 0)
    assert (old.account.earns["order:shop/A:1"].clawed, new.entries) == (50, [])


@pytest.mark.parametrize(
    "policy, clawed, available, debt",
    [("only_pending", 0, 30, 0), ("within_balance", 30, 0, 0), ("unlimited", 100, -70, 70)],
)
def test_a_refund_of_points_that_were_spent_follows_the_policy_in_force(
    policy: str, clawed: int, available: int, debt: int
) -> None:
    ada = Customer(draft(clawback=policy))
    ada.buys(10_000, "p", "A")
    poor = ada.draft.account._replace(lots={1: ada.draft.account.lots[1]._replace(drawn=70)})
    ada.draft.account = poor
    told = ada.cancels()
    assert (told["points_clawed"], told["available"]) == (clawed, available)
    assert ada.draft.account.debt == debt


def test_the_policy_is_that_of_the_day_of_the_refund() -> None:
    kind, hard = version_of({"clawback": "only_pending"}), version_of({"clawback": "unlimited"})
    earning = version_of({"earning_rules": [BASE], "pending_days": 0})
    published = [Published(1, earning, LONG_AGO), Published(2, kind, day(1)), Published(3, hard, day(5))]
    for at, clawed in ((2, 0), (6, 100)):
        ada = Customer(Draft(CLUB, published, draft().account, None, 0, {}))
        ada.buys(10_000, "p", "A")
        assert ada.at(at).cancels()["points_clawed"] == clawed


def test_a_refund_of_less_than_a_point_is_remembered_for_the_next() -> None:
    ada = Customer()
    ada.buys(10_000, "p", "A")
    assert [ada.returns(60, f"r{number}")["points_clawed"] for number in range(5)] == [0, 1, 0, 1, 1]


# --- whole orders ----------------------------------------------------------------------------------------------------


def test_a_whole_order_earns_grows_shrinks_and_ends() -> None:
    ada = Customer(draft(clawback="unlimited", earning_rules=[BASE, {"code": "thanks", "points": 5}]))
    order, told = ada.sends(Order(), state(1))
    assert [one["points_earned"] for one in told] == [105]
    order, told = ada.sends(order, state(2, net=14_000))
    assert [one["points_earned"] for one in told] == [40]
    order, told = ada.sends(order, state(3, net=14_000, refunded_minor=5_000))
    assert [one["points_clawed"] for one in told] == [40, 10]
    order, told = ada.sends(order, state(4, "cancelled", net=14_000))
    assert [one["points_clawed"] for one in told] == [95]
    order, told = ada.sends(order, state(5))
    assert [one["points_earned"] for one in told] == [105]
    assert ada.earns() == [("order:shop/A:1", 105), ("order:shop/A:1:2", 40), ("order:shop/A:2", 105)]
    assert [key for key, _ in ada.clawbacks()] == [
        "shop/order:A:3:refund",
        "shop/order:A:3:refund:0",
        "shop/order:A:4:cancellation",
    ]
    assert {move.occurred_at for move in ada.book.moves} == {AT, START}
    assert [(move.kind, move.key, move.amount_minor) for move in ada.book.moves] == [
        ("paid", "order:shop/A:1", 10_000),
        ("given_back", "order:shop/A:1:2", 4_000),
        ("given_back", "order:shop/A:1", 1_000),
        ("given_back", "order:shop/A:1", 9_000),
        ("paid", "order:shop/A:2", 10_000),
    ]


def test_a_posted_refund_takes_from_what_was_added_last() -> None:
    ada = Customer(draft(clawback="unlimited"))
    order, _ = ada.sends(Order(), state(1))
    order, _ = ada.sends(order, state(2, net=14_000))
    ada.order().take(order)
    assert ada.returns(6_000)["points_clawed"] == 60
    assert [(move.key, move.amount_minor) for move in ada.book.moves[1:]] == [
        ("order:shop/A:1:2", 4_000),
        ("order:shop/A:1", 2_000),
    ]
    earns = ada.draft.account.earns
    assert (earns["order:shop/A:1"].clawed, earns["order:shop/A:1:2"].clawed) == (20, 40)


def test_a_refund_that_is_told_twice_is_told_as_nothing_the_second_time() -> None:
    ada = Customer()
    ada.buys(10_000, "p", "A")
    assert [ada.returns(2_000, "r")["points_clawed"] for _ in range(2)] == [20, 0]


def test_points_from_before_any_rules_are_clawed_as_a_rule() -> None:
    before = Customer()
    before.buys(10_000, "p", "A")
    unruled = Draft(CLUB, [], before.draft.account, None, 0, {})
    ada = Customer(unruled, orders=before.book.orders["A"])
    assert ada.returns(2_500)["points_clawed"] == 25


def test_the_first_purchase_is_the_order_and_not_what_was_added_to_it() -> None:
    new = {"code": "new", "multiplier": "2", "when": {"first_purchase": True}}
    ada = Customer(draft(earning_rules=[BASE, new]))
    order, told = ada.sends(Order(), state(1), first=True)
    assert told[0]["points_earned"] == 200
    _, told = ada.sends(order, state(2, net=12_000), first=True)
    assert told[0]["points_earned"] == 20


def test_a_free_order_that_is_cancelled_loses_all_it_earned() -> None:
    ada = Customer(draft(earning_rules=[{"code": "gift", "points": 40}]))
    order, _ = ada.sends(Order(), state(1, net=0))
    _, told = ada.sends(order, state(2, "cancelled", net=0))
    assert [one["points_clawed"] for one in told] == [40]


def test_refunds_that_waited_are_taken_when_the_order_is_paid() -> None:
    ada = Customer()
    waiting = Order(parked=(Parked("r1", day(-2), 1_000), Parked("r2", day(-1), 500)))
    _, told = ada.sends(waiting, state(1))
    assert [(one["points_earned"], one["points_clawed"]) for one in told] == [(100, 15)]
    assert ada.clawbacks() == [("shop/r1", 10), ("shop/r2", 5)]
    assert [move.occurred_at for move in ada.book.moves] == [AT, day(-2), day(-1)]


def test_a_free_purchase_is_no_first_step_of_the_next_order() -> None:
    ada = Customer()
    ada.sends(Order(), state(1), source="kiosk")
    assert ada.earns() == [("order:kiosk/A:1", 100)]


# --- which orders and which keys -------------------------------------------------------------------------------------


def known(source: str, **said: Any) -> KnownOrder:
    return KnownOrder(source, "A", Order(**said))


PAID: dict[str, Any] = {"cycle": 2, "is_paid": True, "chunks": (Chunk(None, 100), Chunk(9, 50))}


def test_the_order_meant_is_the_own_one_that_was_paid_else_one_that_is() -> None:
    own, waiting, sold = known("shop", **PAID), known("shop"), known("kiosk", **PAID)
    over = known("shop", cycle=1)
    assert found_order([sold, own], "shop") is own
    assert found_order([over, sold], "shop") is over
    assert found_order([waiting, sold], "shop") is sold
    assert found_order([waiting], "shop") is waiting
    assert found_order([known("kiosk")], "shop") is None
    assert found_order([], "shop") is None


def test_only_what_waits_for_an_order_that_nobody_paid_is_gathered() -> None:
    park = (Parked("r", START, 5),)
    mine, other, paid, idle = (
        known("shop"),
        known("a", parked=park),
        known("b", parked=park, cycle=1),
        known("c"),
    )
    order = gathered(Order(parked=(Parked("own", START, 1),)), mine, [mine, other, paid, idle])
    assert [one.id for one in order.parked] == ["own", "r"]
    assert (other.order.parked, other.is_changed) == ((), True)
    assert (paid.order.parked, paid.is_changed, idle.is_changed, mine.is_changed) == (
        park,
        False,
        False,
        False,
    )


@pytest.mark.parametrize(
    "kind, order, orders, keys",
    [
        ("purchase", None, [], ["purchase:shop/x"]),
        ("purchase", "A", [], ["order:shop/A:1"]),
        ("purchase", "A", [known("kiosk", **PAID)], ["order:shop/A:1"]),
        ("purchase", "A", [known("kiosk"), known("shop", **PAID)], ["order:shop/A:3"]),
        ("refund", "A", [known("kiosk", **PAID)], ["order:kiosk/A:2", "order:kiosk/A:2:9"]),
        ("refund", "A", [], []),
        ("order_cancelled", "A", [known("shop")], []),
        (
            "refund",
            "A",
            [known("kiosk", **PAID), known("shop", cycle=1, chunks=(Chunk(None, 9),))],
            ["order:shop/A:1"],
        ),
    ],
)
def test_the_earns_that_a_touchpoint_may_concern_are_known_before(
    kind: str, order: str | None, orders: list[KnownOrder], keys: list[str]
) -> None:
    assert list(keys_named(touchpoint(kind, "x", 5, order), orders, None)) == keys


def test_the_earn_that_a_whole_order_concerns_is_its_part() -> None:
    step = OrderStep("kiosk", "B", Effect("e", "refund", 5, 4, 8))
    assert list(keys_named(touchpoint("refund", "x", 5, "A"), [], step)) == ["order:kiosk/B:4:8"]
