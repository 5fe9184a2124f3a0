"""Two customers who are one: points move with their lots, expiry, holds and history, and can move back."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from app.domain.loyalty.account import BEGINNING, Account, Earn, Entry, Lock, Lot, Movement, Spend, What
from app.domain.loyalty.book import Book
from app.domain.loyalty.settling import settle
from app.domain.problems import Conflict

_IN_ORDER: Final[tuple[tuple[What, str], ...]] = (
    ("grant", "granted"),
    ("restore", "restored"),
    ("draw", "drawn"),
    ("revoke", "revoked"),
    ("expire", "expired"),
    ("absorb", "absorbed"),
    ("move", "moved"),
)
_SPENT: Final = ("drawn", "restored", "revoked", "absorbed", "moved")


class Merge(NamedTuple):
    """What an undo needs: under which name each thing lives now, the lots as they came, and the debt that came.

    `qualified`: the points that count towards the tier now, by the new name of their earn.
    """

    id: str
    lots: Mapping[int, int]
    arrived: Mapping[int, Lot]
    holds: Mapping[str, str]
    spends: Mapping[str, str]
    earns: Mapping[str, str]
    debt: int
    qualified: Mapping[str, int] = {}


class Pair(NamedTuple):
    """Both accounts after a paired transfer, with the entries of each. The points of both together stay the same."""

    into: Account
    into_entries: tuple[Entry, ...]
    source: Account
    source_entries: tuple[Entry, ...]
    merge: Merge


def merged(into: Account, source: Account, merge_id: str, now: datetime) -> Pair:
    """`source` moved into `into`: every lot becomes one there, with its expiry and counters; so do holds and history.

    What qualified for a tier counts there from now on, in the window of its purchase. `source` keeps its own, asleep.
    Ids that both know get the merge's id in front, since neither may answer for the other. Both accounts must be
    loaded whole.
    """
    at = max(now, into.last_at, source.last_at)
    to, out = Book(into, at), Book(source, at)
    settle(out)
    settle(to)
    moving = [hold for hold in out.holds.values() if hold.state == "open"]
    spends = {spend: _name(spend, {**to.spends, **to.holds}, merge_id) for spend in out.spends}
    holds = {hold: spends.get(hold) or _name(hold, to.holds, merge_id) for hold in out.holds}
    earns = {earn: _name(earn, to.earns, merge_id) for earn in out.earns}
    qualifying = [earn for earn in out.earns.values() if earn.qualifying > earn.disqualified]
    first_lots = {earn.lots[0]: earn for earn in qualifying if earn.lots}
    lots = {
        lot.id: _copy(to, lot, merge_id, earns, first_lots.get(lot.id))
        for lot in sorted(out.lots.values(), key=_id)
    }
    for earn in qualifying:
        if not earn.lots:
            to.write("transfer_in", (), key=merge_id, **_counting(earn))
    for hold in out.holds.values():
        locks = tuple(Lock(lots[lock.lot], lock.points) for lock in hold.locks if lock.lot in lots)
        away = (*hold.away, (BEGINNING, at))
        to.keep(replace(hold, id=holds[hold.id], locks=locks, away=away))
    for spend in out.spends.values():
        to.keep(_moved_spend(spend, spends[spend.id], lots))
    for earn in out.earns.values():
        to.keep(_moved_earn(earn, earns[earn.key], lots))
    for hold in moving:
        out.lock(hold.locks, -1)
        out.keep(replace(hold, state="moved", resolved_at=at))
    for lot in sorted(out.lots.values(), key=_id):
        if lot.remaining:
            out.write("transfer_out", [Movement(lot.id, "move", lot.remaining)], key=merge_id)
    debt = _move_debt(out, to, out.debt, merge_id)
    arrived = {new: to.lots[new] for new in lots.values()}
    counts = {earns[earn.key]: earn.qualifying - earn.disqualified for earn in qualifying}
    merge = Merge(merge_id, lots, arrived, holds, spends, earns, debt, counts)
    settle(to)
    came, left = to.closed(None), out.closed(None)
    return Pair(came.account, came.entries, left.account, left.entries, merge)


def unmerged(into: Account, source: Account, merge: Merge, now: datetime) -> Pair:
    """Both accounts as if they had never been one; what lapsed meanwhile would have lapsed anyway.

    Raises Conflict `undo_blocked` with what happened to the moved points since: `lots` (their new numbers), `spends`,
    `earns`, and `debt` when it was paid.
    """
    at = max(now, into.last_at, source.last_at)
    back, out = Book(source, at), Book(into, at)
    settle(out)
    _check_untouched(out, source, merge)
    _return_holds(out, back, merge)
    for origin, copy in merge.lots.items():
        points = out.lots[copy].remaining
        if points:
            out.write("transfer_out", [Movement(copy, "move", points)], key=merge.id)
            back.write("transfer_in", [Movement(origin, "move_back", points)], key=merge.id)
    for hold in back.holds.values():
        back.lock(hold.locks if hold.state == "open" else (), 1)
    _move_debt(out, back, merge.debt, merge.id)
    for name, points in merge.qualified.items():
        at_its_time = out.earns[name].occurred_at
        out.write("transfer_out", (), key=merge.id, qualifying=-points, qualified_at=at_its_time)
    for spend in merge.spends.values():
        del out.spends[spend]
    for earn in merge.earns.values():
        for lot in out.earns.pop(earn).lots:
            out.lots[lot] = out.lots[lot]._replace(earn_key=None)
    settle(back)
    settle(out)
    left, came = out.closed(None), back.closed(None)
    return Pair(left.account, left.entries, came.account, came.entries, merge)


def _return_holds(out: Book, back: Book, merge: Merge) -> None:
    """Holds that are still open go home; what became of the others meanwhile, they keep."""
    for old, new in merge.holds.items():
        was, hold = back.holds[old], out.holds[new]
        if hold.state == "open":
            out.lock(hold.locks, -1)
            out.keep(replace(hold, state="moved", resolved_at=out.at))
        elif hold.state == "captured":
            del out.holds[new]
        if was.state == "moved" and was.resolved_at is not None:
            away = (*was.away, (was.resolved_at, out.at))
            back.keep(replace(was, state=hold.state, resolved_at=hold.resolved_at, away=away))


def _check_untouched(out: Book, source: Account, merge: Merge) -> None:
    moved_holds = frozenset(merge.holds.values())
    locked = {
        lock.lot
        for hold in out.holds.values()
        if hold.state == "open" and hold.id not in moved_holds
        for lock in hold.locks
    }
    lots = [
        new
        for new, lot in merge.arrived.items()
        if new in locked
        or any(getattr(out.lots[new], counter) != getattr(lot, counter) for counter in _SPENT)
    ]
    spends = [
        new
        for old, new in merge.spends.items()
        if out.spends[new].refundable != source.spends[old].refundable
    ]
    earns = [
        new
        for old, new in merge.earns.items()
        if out.earns[new].refunded_minor != source.earns[old].refunded_minor
        or out.earns[new].settled != source.earns[old].settled
    ]
    debt = max(merge.debt - out.debt, 0)
    if lots or spends or earns or debt:
        raise Conflict(
            "undo_blocked",
            "Moved points were used since the merge.",
            lots=lots,
            spends=spends,
            earns=earns,
            debt=debt,
        )


def _copy(to: Book, lot: Lot, merge_id: str, earns: Mapping[str, str], qualifying: Earn | None) -> int:
    new = to.next_seq
    key = earns.get(lot.earn_key or "")
    to.lots[new] = Lot(new, lot.activates_at, lot.expires_at, key)
    counted = ((what, getattr(lot, counter)) for what, counter in _IN_ORDER)
    movements = [Movement(new, what, points) for what, points in counted if points]
    said = {} if qualifying is None else _counting(qualifying)
    times = {"activates_at": lot.activates_at, "expires_at": lot.expires_at}
    to.write("transfer_in", movements, key=merge_id, **times, **said)
    to.lock([Lock(new, lot.held)], 1)
    return new


def _counting(earn: Earn) -> dict[str, Any]:
    """What of an earn counts towards the tier, and when."""
    return {"qualifying": earn.qualifying - earn.disqualified, "qualified_at": earn.occurred_at}


def _move_debt(out: Book, to: Book, debt: int, merge_id: str) -> int:
    if debt:
        out.write("transfer_out", (), debt_change=-debt, key=merge_id)
        to.write("transfer_in", (), debt_change=debt, key=merge_id)
    return debt


def _name(name: str, taken: Collection[str], merge_id: str) -> str:
    return f"{merge_id}:{name}" if name in taken else name


def _moved_spend(spend: Spend, name: str, lots: Mapping[int, int]) -> Spend:
    return replace(spend, id=name, draws=tuple(draw._replace(lot=lots[draw.lot]) for draw in spend.draws))


def _moved_earn(earn: Earn, name: str, lots: Mapping[int, int]) -> Earn:
    return replace(earn, key=name, lots=tuple(lots[lot] for lot in earn.lots if lot in lots))


def _id(lot: Lot) -> int:
    return lot.id
