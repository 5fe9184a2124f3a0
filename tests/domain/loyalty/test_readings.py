"""Balances at any time, statements, liability, what is due, and a chain that shows every change."""

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.domain.loyalty import crediting
from app.domain.loyalty.account import Entry, Movement, opened
from app.domain.loyalty.balances import as_of, balance, liability, statement
from app.domain.loyalty.chain import sealed, verify
from app.domain.loyalty.settling import expiring, next_due_at
from app.domain.problems import Conflict, Invalid
from tests.domain.loyalty.ledgers import DAY, Ledger, day, merge, unmerge


def ledger() -> Ledger:
    made = Ledger()
    made.earn(100, "o1", lives=30, pending=2)
    made.at(3).hold(40, ttl=86_400)
    made.at(3.5).capture(points=30)
    made.at(5).earn(50, "o2")
    made.at(6).spend(20)
    return made


def test_a_balance_as_of_a_time_is_what_it_was_then() -> None:
    made = ledger()
    rows = [(0.5, 0, 100, 0), (2, 100, 0, 0), (3.2, 60, 0, 40), (4, 70, 0, 0), (5, 120, 0, 0), (6, 100, 0, 0)]
    for at, available, pending, held in rows:
        then = balance(as_of(made.account, made.entries, day(at)), day(at))
        assert (then.available, then.pending, then.held) == (available, pending, held)


def test_an_account_of_the_past_knows_nothing_of_what_was_spent_and_earned_since() -> None:
    made = ledger()
    made.adjust(5)
    then = as_of(made.account, made.entries, day(4))
    assert (then.spends, then.earns, then.adjustments) == ({}, {}, {})
    assert then.seq == 2


def test_a_hold_is_away_from_the_merge_up_to_its_undo_and_counts_in_the_other_account_meanwhile() -> None:
    into, source = Ledger(), Ledger(opened(UUID(int=2)))
    source.earn(100)
    source.hold(40, ttl=6 * 86_400)
    done = merge(into.at(1), source.at(1))
    unmerge(into.at(3), source.at(3), done)
    rows = [(1 - 1e-9, 40, 0), (1, 0, 40), (3 - 1e-9, 0, 40), (3, 40, 0)]
    for at, own, others in rows:
        then = [balance(as_of(one.account, one.entries, day(at)), day(at)).held for one in (source, into)]
        assert then == [own, others]


def test_the_whole_schedule_is_told() -> None:
    made = Ledger()
    made.earn(10, "o1", lives=30, pending=2)
    made.earn(20, "o2", lives=30, pending=2)
    made.earn(5, "o3", lives=10)
    assert made.balance.next_expirations == ((5, day(10)), (30, day(30)))
    assert made.balance.next_activations == ((30, day(2)),)


def test_lifetime_sums() -> None:
    made = ledger()
    made.at(7).refund(5)
    made.at(31).settle()
    told = made.balance
    assert (told.lifetime_earned, told.lifetime_burned, told.lifetime_expired) == (150, 45, 55)


def test_a_statement_runs_from_sum_to_sum() -> None:
    made = ledger()
    told = statement(made.entries, day(3), day(6))
    assert (told.opening, told.closing) == (100, 120)
    assert [(line.kind, line.points, line.balance) for line in told.lines] == [
        ("spend", -30, 70),
        ("earn", 50, 120),
    ]


def test_liability_by_month_of_expiry_adds_up_to_what_is_left() -> None:
    made = ledger()
    told = liability(made.account.lots.values(), 7, day(6), ZoneInfo("Europe/Berlin"))
    assert told.by_month == {"2026-01": 50, None: 50}
    assert (told.points, told.debt) == (100, 7)
    assert liability(made.account.lots.values(), 0, day(31), ZoneInfo("UTC")).by_month == {None: 50}


def test_what_expires_soon_is_told_once_per_instant_without_what_is_held() -> None:
    made = Ledger()
    made.earn(100, lives=30)
    made.earn(50, "o2", lives=31)
    made.hold(30)
    assert expiring(made.account, day(0), 30 * DAY) == [(70, day(30))]
    assert expiring(made.account, day(1), 30 * DAY) == [(70, day(30)), (50, day(31))]
    assert expiring(made.account, day(30), DAY) == [(50, day(31))]


def test_an_account_is_due_when_a_hold_or_a_lot_runs_out_or_a_debt_can_be_paid() -> None:
    made = Ledger()
    assert next_due_at(made.account) is None
    made.earn(100, lives=30, pending=10)
    assert next_due_at(made.account) == day(30)
    made.adjust(-5, allow_debt=True)
    assert next_due_at(made.account) == day(10)
    made.at(10).settle()
    made.hold(10)
    assert next_due_at(made.account) == day(10) + timedelta(seconds=900)


def test_opening_balances_keep_their_expiry_and_come_once() -> None:
    made = Ledger()
    said: dict[str, Any] = {"id": "csv:1", "points": 80, "expires_at": day(9), "now": made.now}
    made.take(crediting.opening(made.account, **said))
    made.take(crediting.opening(made.account, **said))
    assert made.balance.next_expirations == ((80, day(9)),)
    with pytest.raises(Conflict):
        crediting.opening(made.account, **{**said, "points": 81})
    with pytest.raises(Invalid) as refusal:
        crediting.opening(made.account, **{**said, "id": "csv:2", "expires_at": day(0)})
    assert refusal.value.code == "already_expired"


def test_what_was_forgiven_because_it_was_spent_is_taken_when_it_comes_back() -> None:
    made = Ledger()
    made.earn(100)
    made.spend(80)
    assert made.claw().forgiven == 80
    assert made.refund().restored == 80
    assert (made.available, made.account.earns["o1"].clawed, made.account.earns["o1"].forgiven) == (0, 100, 0)


def test_points_that_expired_unspent_are_owed_by_nobody() -> None:
    made = Ledger()
    made.earn(100, lives=10)
    made.earn(100, "o2")
    made.at(9).spend(60)
    done = made.at(11).claw(policy="unlimited")
    assert (done.taken, done.forgiven, done.indebted) == (60, 40, 0)


@pytest.mark.parametrize(
    "change, faults",
    [
        ({"points": 41}, {"wrong_hash", "wrong_points", "wrong_cache"}),
        ({"seq": 9}, {"gap", "wrong_hash"}),
        ({"forgiven": 1}, {"wrong_hash"}),
        ({"qualifying": 5}, {"wrong_hash"}),
        ({"movements": (Movement(1, "draw", 29),)}, {"wrong_hash", "wrong_points", "wrong_cache"}),
        ({"at": day(-1)}, {"wrong_hash", "time_went_back"}),
        ({"kind": "absorb"}, {"wrong_hash"}),
        ({"key": "other"}, set()),
    ],
)
def test_a_changed_entry_shows(change: dict[str, Any], faults: set[str]) -> None:
    made = ledger()
    number = 1
    assert made.entries[number].kind == "spend"
    made.entries[number] = made.entries[number]._replace(**change)
    found = {one.fault for one in verify(made.account.id, made.entries, made.account)}
    assert faults - {"wrong_cache"} <= found
    assert (not faults) == (not found)


def test_a_changed_entry_with_a_new_hash_breaks_the_chain_after_it() -> None:
    made = ledger()
    made.entries[1] = sealed(made.entries[1]._replace(forgiven=3))
    assert [one.fault for one in verify(made.account.id, made.entries)] == ["broken_chain"]


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_a_missing_entry_shows(cut: int) -> None:
    made = ledger()
    del made.entries[cut]
    assert verify(made.account.id, made.entries, made.account)


def test_chains_of_two_accounts_cannot_be_exchanged() -> None:
    made = ledger()
    assert [one.fault for one in verify(UUID(int=7), made.entries)] == ["broken_chain"]
    assert opened(UUID(int=7)).head != opened(UUID(int=8)).head


def test_points_from_nothing_show() -> None:
    made = ledger()
    last = made.entries[-1]
    forged = Entry(last.seq + 1, "spend", 5, last.at, last.at, (Movement(1, "restore", 5),), last.hash, b"")
    assert [one.fault for one in verify(made.account.id, [*made.entries, sealed(forged)])] == [
        "created_from_nothing"
    ]


def test_a_free_order_is_clawed_once_whatever_comes_after() -> None:
    made = Ledger()
    made.earn(5, paid_minor=0)
    assert made.claw(0, "c1").due == 0
    assert made.claw(None, "c2").due == 5
    assert made.claw(0, "c3").due == 0
    assert made.available == 0
