"""Two accounts that become one and part again, compared whole: entries, lots, holds, spends, earns and names."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from app.domain.loyalty import merging
from app.domain.loyalty.account import BEGINNING, Account, opened
from app.domain.problems import Conflict
from tests.domain.loyalty.ledgers import Ledger, day, merge, unmerge

HELD_FOR = 6 * 86_400


def pair() -> tuple[Ledger, Ledger]:
    """Both know an order, a spend and a hold by the same names."""
    into, source = Ledger(), Ledger(opened(UUID(int=2)))
    for one, points in ((into, 100), (source, 50)):
        one.earn(points, lives=60)
        one.spend(points // 10)
        one.hold(points // 5, ttl=HELD_FOR)
    source.earn(30, "own", pending=5, lives=90)
    source.spend(5, "of-source")
    source.hold(4, "hold-of-source", ttl=HELD_FOR)
    source.refund(2, spend="of-source", id_="back")
    return into, source


def said(account: Account) -> tuple[Any, ...]:
    """What an account comes to, whatever numbers its lots have."""
    lots = sorted(
        (lot.activates_at, lot.remaining, lot.held, lot.earn_key or "") for lot in account.lots.values()
    )
    return [one for one in lots if one[1]], account.debt


def test_all_that_moves_has_its_name_its_lots_and_its_entries() -> None:
    into, source = pair()
    before = source.account
    done = merge(into.at(1), source.at(2))
    assert done.id == "m1"
    assert (done.spends, done.holds, done.earns) == (
        {"s1": "m1:s1", "of-source": "of-source"},
        {"h1": "m1:h1", "hold-of-source": "hold-of-source"},
        {"o1": "m1:o1", "own": "own"},
    )
    assert done.lots == {1: 3, 3: 4}
    assert done.arrived == {new: into.account.lots[new] for new in (3, 4)}
    at = day(2)
    came, left = into.entries[2:], source.entries[-2:]
    assert [(one.kind, one.key, one.at, one.points) for one in came] == [
        ("transfer_in", "m1", at, 42),
        ("transfer_in", "m1", at, 30),
    ]
    assert [(one.kind, one.key, one.at, one.points) for one in left] == [
        ("transfer_out", "m1", at, -42),
        ("transfer_out", "m1", at, -30),
    ]
    assert [(one.activates_at, one.expires_at) for one in came] == [(day(0), day(60)), (day(5), day(90))]
    lots = into.account.lots
    for old, new in done.lots.items():
        assert before.lots[old]._replace(id=new, earn_key=lots[new].earn_key) == lots[new]
    assert (lots[3].earn_key, lots[4].earn_key) == ("m1:o1", "own")


def test_holds_spends_and_earns_move_whole() -> None:
    into, source = pair()
    before = source.account
    done = merge(into.at(1), source.at(2))
    for old, name in done.holds.items():
        was, now = before.holds[old], into.account.holds[name]
        locks = tuple(lock._replace(lot=done.lots[lock.lot]) for lock in was.locks)
        assert now == replace(was, id=name, locks=locks, away=((BEGINNING, day(2)),))
        gone = source.account.holds[old]
        assert gone == replace(was, state="moved", resolved_at=day(2))
    for old, name in done.spends.items():
        draws = tuple(draw._replace(lot=done.lots[draw.lot]) for draw in before.spends[old].draws)
        assert into.account.spends[name] == replace(before.spends[old], id=name, draws=draws)
    for old, name in done.earns.items():
        lots = tuple(done.lots[lot] for lot in before.earns[old].lots)
        assert into.account.earns[name] == replace(before.earns[old], key=name, lots=lots)


def test_a_debt_moves_and_goes_back_with_an_entry_on_both_sides() -> None:
    into, source = Ledger(), Ledger(opened(UUID(int=2)))
    source.adjust(-30, allow_debt=True)
    done = merge(into, source)
    assert (done.debt, into.account.debt, source.account.debt) == (30, 30, 0)
    moved = [
        (one.kind, one.key, one.debt_change, one.movements) for one in (*into.entries, source.entries[-1])
    ]
    assert moved == [("transfer_in", "m1", 30, ()), ("transfer_out", "m1", -30, ())]
    unmerge(into.at(1), source.at(1), done)
    assert (into.account.debt, source.account.debt) == (0, 30)
    assert [(one.kind, one.key, one.debt_change) for one in (into.entries[-1], source.entries[-1])] == [
        ("transfer_out", "m1", -30),
        ("transfer_in", "m1", 30),
    ]


def test_an_undo_gives_everything_back_under_its_own_name() -> None:
    into, source = pair()
    mine, theirs = said(into.account), said(source.account)
    known = source.account
    done = merge(into.at(1), source.at(1))
    again = unmerge(into.at(3), source.at(2), done)
    assert again == done
    assert (said(into.account), said(source.account)) == (mine, theirs)
    assert {one.at for one in (into.entries[-1], source.entries[-1])} == {day(3)}
    back = [(one.kind, one.key) for one in (into.entries[-1], source.entries[-1])]
    assert back == [("transfer_out", "m1"), ("transfer_in", "m1")]
    for name, was in known.holds.items():
        assert source.account.holds[name] == replace(was, away=((day(1), day(3)),))
    assert (source.account.spends, source.account.earns) == (known.spends, known.earns)
    assert set(into.account.spends) == {"s1"}
    assert set(into.account.earns) == {"o1"}
    moved = into.account.holds["m1:h1"]
    assert (moved.state, moved.resolved_at) == ("moved", day(3))
    assert not any(lot.earn_key for lot in into.account.lots.values() if lot.id > 1)


def test_what_became_of_a_hold_while_they_were_one_it_keeps() -> None:
    into, source = pair()
    done = merge(into.at(1), source.at(1))
    into.at(2).release("m1:h1")
    unmerge(into.at(3), source.at(3), done)
    hold = source.account.holds["h1"]
    assert (hold.state, hold.resolved_at, hold.away) == ("released", day(2), ((day(1), day(3)),))
    assert sum(lot.held for lot in source.account.lots.values()) == 4
    assert source.account.holds["hold-of-source"].state == "open"
    source.release("hold-of-source")


def test_a_hold_that_was_over_before_stays_as_it_was() -> None:
    into, source = Ledger(), Ledger(opened(UUID(int=2)))
    source.earn(50)
    source.hold(10, "gone")
    source.release("gone")
    source.hold(10, "spent")
    source.capture("spent")
    known = source.account.holds
    done = merge(into.at(1), source.at(1))
    assert source.account.holds == known
    assert {name: hold.state for name, hold in into.account.holds.items()} == {
        "gone": "released",
        "spent": "captured",
    }
    unmerge(into.at(2), source.at(2), done)
    assert source.account.holds == known
    assert set(into.account.holds) == {"gone"}


@pytest.mark.parametrize("latest", ["now", "into", "source"])
def test_both_accounts_go_on_from_the_latest_of_three_times(latest: str) -> None:
    into, source = Ledger(), Ledger(opened(UUID(int=2)))
    into.at(5 if latest == "into" else 1).earn(10)
    source.at(5 if latest == "source" else 1).earn(10)
    now = day(5) if latest == "now" else day(2)
    made = merging.merged(into.account, source.account, "m", now)
    assert {one.at for one in (*made.into_entries, *made.source_entries)} == {day(5)}
    later = {"now": day(5), "into": day(2), "source": day(2)}[latest]
    parted = merging.unmerged(made.into, made.source, made.merge, later)
    assert {one.at for one in (*parted.into_entries, *parted.source_entries)} == {day(5)}


def blocked(into: Ledger, source: Ledger, done: merging.Merge) -> dict[str, Any]:
    with pytest.raises(Conflict) as refusal:
        unmerge(into, source, done)
    assert (refusal.value.code, bool(refusal.value.detail)) == ("undo_blocked", True)
    return refusal.value.members


NONE_: dict[str, Any] = {"lots": [], "spends": [], "earns": [], "debt": 0}


def test_an_undo_says_what_was_used_since() -> None:
    into, source = pair()
    done = merge(into.at(1), source.at(1))
    into.hold(80, "since", ttl=HELD_FOR)
    assert blocked(into, source, done) == NONE_ | {"lots": [3]}
    into.release("since")
    unmerge(into, source, done)

    into, source = pair()
    done = merge(into.at(1), source.at(1))
    into.refund(1, spend="m1:s1", id_="since")
    assert blocked(into, source, done) == NONE_ | {"lots": [3], "spends": ["m1:s1"]}


def test_an_undo_is_refused_for_a_refund_that_found_nothing_left_to_take() -> None:
    into, source = Ledger(), Ledger(opened(UUID(int=2)))
    source.earn(50)
    source.spend(50)
    done = merge(into.at(1), source.at(1))
    into.claw(5_000)
    assert blocked(into, source, done) == NONE_ | {"earns": ["o1"]}
    small, other = Ledger(), Ledger(opened(UUID(int=2)))
    other.earn(50)
    done = merge(small.at(1), other.at(1))
    small.claw(10)
    assert blocked(small, other, done) == NONE_ | {"earns": ["o1"]}


def test_an_undo_is_refused_once_a_debt_was_paid() -> None:
    into, source = Ledger(), Ledger(opened(UUID(int=2)))
    source.adjust(-30, allow_debt=True)
    done = merge(into, source)
    into.earn(10, "pays")
    assert blocked(into, source, done) == NONE_ | {"debt": 10}


def test_more_debt_than_came_blocks_nothing() -> None:
    into, source = Ledger(), Ledger(opened(UUID(int=2)))
    source.adjust(-30, allow_debt=True)
    done = merge(into, source)
    into.adjust(-5, "more", allow_debt=True)
    unmerge(into, source, done)
    assert (into.account.debt, source.account.debt) == (5, 30)


def test_a_spend_and_the_hold_it_was_captured_from_keep_one_name_between_them() -> None:
    into, source = Ledger(), Ledger(opened(UUID(int=2)))
    into.earn(20)
    into.spend(5, "x")
    source.earn(20, "other")
    source.hold(4, "x")
    source.capture("x")
    done = merge(into.at(1), source.at(1))
    assert (done.holds, done.spends) == ({"x": "m1:x"}, {"x": "m1:x"})
    assert into.capture("m1:x").spend.points == 4
    assert into.account.spends["x"].points == 5


def test_what_qualified_without_points_moves_and_what_never_qualified_does_not() -> None:
    into, source = Ledger(), Ledger(opened(UUID(int=2)))
    source.earn(0, "only-the-tier", qualifying=40)
    source.earn(0, "nothing", qualifying=0)
    source.earn(10, "only-points", qualifying=0)
    done = merge(into.at(1), source.at(1))
    assert done.qualified == {"only-the-tier": 40}
    assert [(one.kind, one.key, one.points, one.qualifying, one.qualified_at) for one in into.entries] == [
        ("transfer_in", "m1", 10, 0, None),
        ("transfer_in", "m1", 0, 40, day(0)),
    ]


def test_every_entry_of_an_undo_names_the_merge() -> None:
    into, source = pair()
    done = merge(into.at(1), source.at(1))
    merged_into, merged_source = len(into.entries), len(source.entries)
    unmerge(into.at(2), source.at(2), done)
    assert [(one.kind, one.key, one.points, one.qualifying) for one in into.entries[merged_into:]] == [
        ("transfer_out", "m1", -42, 0),
        ("transfer_out", "m1", -30, 0),
        ("transfer_out", "m1", 0, -50),
        ("transfer_out", "m1", 0, -30),
    ]
    assert [(one.kind, one.key, one.points) for one in source.entries[merged_source:]] == [
        ("transfer_in", "m1", 42),
        ("transfer_in", "m1", 30),
    ]


@pytest.mark.parametrize("later", ["into", "source"])
def test_an_undo_is_not_before_what_either_account_wrote_since(later: str) -> None:
    into, source = Ledger(), Ledger(opened(UUID(int=2)))
    source.earn(10)
    done = merge(into.at(1), source.at(1))
    {"into": into, "source": source}[later].at(7).earn(5, "since")
    parted = merging.unmerged(into.account, source.account, done, day(6))
    assert {one.at for one in (*parted.into_entries, *parted.source_entries)} == {day(7)}
