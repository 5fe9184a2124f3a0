"""Clock work by itself: what is due and when, which comes first, and what its entries say."""

from collections.abc import Callable
from uuid import UUID

import pytest

from app.domain.loyalty.account import Account, Entry, opened
from app.domain.loyalty.settling import is_quiet, next_due_at, settled
from tests.domain.loyalty.ledgers import Ledger, day

A_DAY = 86_400


def said(entry: Entry) -> tuple[object, ...]:
    return entry.kind, entry.key, entry.points, entry.effective_at


def with_lot() -> Account:
    made = Ledger()
    made.earn(10, lives=5)
    return made.account


def with_hold() -> Account:
    made = Ledger()
    made.earn(10)
    made.hold(4, ttl=5 * A_DAY)
    return made.account


def with_hold_that_is_over() -> Account:
    made = Ledger(with_hold())
    made.account = settled(made.account, day(6)).account
    return made.account


def with_debt() -> Account:
    made = Ledger()
    made.adjust(-10, allow_debt=True)
    return made.account


@pytest.mark.parametrize(
    "made, at, quiet",
    [
        (lambda: opened(UUID(int=1)), 0, True),
        (with_lot, 5 - 1e-9, True),
        (with_lot, 5, False),
        (with_lot, 6, False),
        (with_hold, 5 - 1e-9, True),
        (with_hold, 5, False),
        (with_hold, 6, False),
        (with_hold_that_is_over, 9, True),
        (with_debt, 0, False),
    ],
)
def test_an_account_is_quiet_until_the_very_moment_something_falls_due(
    made: Callable[[], Account], at: float, quiet: bool
) -> None:
    account = made()
    assert is_quiet(account, day(at)) is quiet
    assert next_due_at(account) == (day(5) if made in {with_lot, with_hold} else None)


def test_what_falls_due_first_is_due_next_whatever_else_waits() -> None:
    made = Ledger()
    made.earn(100)
    made.hold(60, ttl=3 * A_DAY)
    made.claw(policy="unlimited")
    made.earn(5, "later", pending=4, lives=9)
    assert made.account.debt == 60
    assert next_due_at(made.account) == day(3)
    made.release()
    made.at(0.5).adjust(-70, allow_debt=True)
    assert next_due_at(made.account) == day(4)
    assert next_due_at(settled(made.account, day(4)).account) is None


def test_points_that_activate_pay_before_those_that_a_hold_frees_at_the_same_instant() -> None:
    made = Ledger()
    made.earn(40, "held", lives=20)
    made.hold(40, ttl=5 * A_DAY)
    made.adjust(-15, allow_debt=True)
    made.earn(50, "activates", pending=5, lives=90)
    made.at(5).settle()
    assert (made.remaining("held"), made.remaining("activates")) == (40, 35)
    assert (made.account.debt, made.account.holds["h1"].state) == (0, "expired")


def test_a_debt_is_paid_when_the_points_became_active_however_late_somebody_looks() -> None:
    made = Ledger()
    made.adjust(-30, allow_debt=True)
    made.earn(20, "first", pending=2)
    made.earn(20, "second", pending=4)
    made.at(9).settle()
    assert [said(entry) for entry in made.entries[-2:]] == [
        ("absorb", "", 0, day(2)),
        ("absorb", "", 0, day(4)),
    ]
    assert [(entry.debt_change, entry.at) for entry in made.entries[-2:]] == [(-20, day(9)), (-10, day(9))]
    assert made.available == 10


def test_held_points_of_a_lot_that_has_run_out_lapse_when_their_hold_ends() -> None:
    for end, effective in (("settle", day(3)), ("release", day(2))):
        made = Ledger()
        made.earn(10, lives=1)
        made.hold(4, ttl=3 * A_DAY)
        made.at(9 if end == "settle" else 2)
        getattr(made, end)()
        assert [said(entry) for entry in made.entries[-2:]] == [
            ("expire", "", -6, day(1)),
            ("expire", "", -4, effective),
        ]


def test_what_a_refund_of_an_order_had_to_forgive_is_taken_as_its_points_come_back() -> None:
    made = Ledger()
    made.earn(100, "kept")
    made.earn(100, "returned")
    made.spend(200)
    assert made.claw(key="returned").forgiven == 100
    for points, clawed in ((60, 60), (140, 100)):
        made.at(1).refund(points, f"back {points}")
        earn = made.account.earns["returned"]
        left = 100 - clawed
        assert (earn.clawed, earn.forgiven, earn.recoverable) == (clawed, left, left)
        assert made.remaining("returned") == 0
    assert [said(entry) for entry in made.entries if entry.kind == "clawback"] == [
        ("clawback", "c1", 0, day(0)),
        ("clawback", "returned", -60, day(1)),
        ("clawback", "returned", -40, day(1)),
    ]
    assert [entry.forgiven for entry in made.entries if entry.kind == "clawback"] == [100, -60, -40]
    assert (made.available, made.remaining("kept")) == (100, 100)
