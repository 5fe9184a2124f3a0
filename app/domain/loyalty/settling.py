"""Clock work, done by whoever comes next: activation (which pays debts), expiry, holds that ran out.

Reads filter by time and never wait for this; writes do it first, in the order in which it fell due. So it does not
matter whether a sweeper came by in between.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from app.domain.loyalty.account import Account, Decision, Hold, HoldState, Lot, Movement
from app.domain.loyalty.book import Book, as_movements, taken_from, total

_ACTIVATE, _EXPIRE, _TIME_OUT = range(3)


class Released(NamedTuple):
    """What a hold gave back: `returned` to its lots, `lapsed` where a lot had run out meanwhile."""

    hold: Hold
    returned: int
    lapsed: int


class Expiring(NamedTuple):
    """Points that will lapse at one instant."""

    points: int
    expires_at: datetime


def settled(account: Account, now: datetime) -> Decision[None]:
    """The account with all clock work up to `now` done. Done twice it is done once."""
    book = Book(account, now)
    settle(book)
    return book.closed(None)


def is_quiet(account: Account, at: datetime) -> bool:
    """Whether nothing has fallen due by `at`, and no debt waits for points: `settle` would find nothing to do."""
    if account.debt:
        return False
    for lot in account.lots.values():
        if lot.expires_at is not None and lot.expires_at <= at:
            return False
    return all(hold.state != "open" or hold.expires_at > at for hold in account.holds.values())


def next_due_at(account: Account) -> datetime | None:
    """When the account next has clock work, None: never. What the index of the worker holds."""
    times = [lot.expires_at for lot in account.lots.values() if lot.expires_at and lot.free]
    times += [hold.expires_at for hold in account.holds.values() if hold.state == "open"]
    if account.debt:
        times += [lot.activates_at for lot in account.lots.values() if lot.free]
    return min(times, default=None)


def expiring(account: Account, now: datetime, within: timedelta) -> list[Expiring]:
    """What will lapse in (now, now + within], by instant: the text of "400 points expire in 30 days".

    Points that are held are not in: they are about to be spent.
    """
    sums: dict[datetime, int] = {}
    for lot in account.lots.values():
        if lot.free and lot.expires_at and now < lot.expires_at <= now + within:
            sums[lot.expires_at] = sums.get(lot.expires_at, 0) + lot.free
    return [Expiring(sums[at], at) for at in sorted(sums)]


def run_out(account: Account, now: datetime) -> Decision[int]:
    """The last run of a closed programme: holds are released and all points expire. The points that went."""
    book = Book(account, now)
    settle(book)
    release_all(book, "released")
    movements = [Movement(lot.id, "expire", lot.free) for lot in _by_id(book) if lot.free]
    if movements:
        book.write("expire", movements)
    return book.closed(total(movements))


def erased(account: Account, now: datetime) -> Decision[int]:
    """The account of somebody who was erased: open holds are released, every entry stays. The holds that went."""
    book = Book(account, now)
    settle(book)
    released = release_all(book, "released")
    settle(book)
    return book.closed(len(released))


def settle(book: Book) -> None:
    """Do in `book` what fell due up to its time; at one instant: activate, then expire, then holds."""
    for at, rank, key in sorted(_due(book)):
        if rank == _ACTIVATE:
            absorb(book, at)
        elif rank == _EXPIRE:
            expire(book, [book.lots[int(key)]], at)
        else:
            release(book, book.holds[key], "expired", at)
    absorb(book, book.at)


def release(book: Book, hold: Hold, state: HoldState, at: datetime) -> Released:
    """Free what an open hold locks; lots that have run out by `at` lapse at once. Debts are not paid here."""
    book.lock(hold.locks, -1)
    resolved = replace(hold, state=state, resolved_at=book.at)
    book.keep(resolved)
    before = [book.lots[lot] for lot, _ in hold.locks]
    lapsed = expire(book, [lot for lot in before if lot.is_lapsed(at)], at)
    recover(book)
    return Released(resolved, hold.points - lapsed, lapsed)


def release_all(book: Book, state: HoldState) -> list[Released]:
    """Free every open hold."""
    return [
        release(book, hold, state, book.at) for hold in tuple(book.holds.values()) if hold.state == "open"
    ]


def expire(book: Book, lots: Sequence[Lot], at: datetime) -> int:
    """Take the free points of lots that have run out; the points that went."""
    movements = [Movement(lot.id, "expire", lot.free) for lot in lots if lot.free > 0]
    if movements:
        book.write("expire", movements, effective_at=at)
    return total(movements)


def absorb(book: Book, at: datetime) -> None:
    """Let the free active points of `at` pay the debt: an entry of 0 points."""
    if not book.debt:
        return
    parts = taken_from(book.payers(at), book.debt)
    if parts:
        book.write("absorb", as_movements(parts, "absorb"), debt_change=-total(parts), effective_at=at)


def recover(book: Book) -> None:
    """Take from points that came back what an earlier refund of their order had to forgive.

    They were forgiven because they were spent or held. Once that is undone too, keeping them would make points of two
    refunds. The claim stays the same: what was forgiven is now clawed.
    """
    for earn in tuple(book.earns.values()):
        if not earn.recoverable:
            continue
        parts = taken_from((book.lots[lot] for lot in earn.lots if lot in book.lots), earn.recoverable)
        part = total(parts)
        if part:
            book.write("clawback", as_movements(parts, "revoke"), forgiven=-part, key=earn.key)
            kept, forgiven = earn.recoverable - part, earn.forgiven - part
            book.keep(replace(earn, clawed=earn.clawed + part, forgiven=forgiven, recoverable=kept))


def _due(book: Book) -> Iterator[tuple[datetime, int, str]]:
    for lot in book.lots.values():
        # Also of lots that are wholly held now: a hold that ran out before may have freed their points by then.
        if lot.expires_at and lot.is_lapsed(book.at) and lot.remaining:
            yield lot.expires_at, _EXPIRE, str(lot.id)
        if book.debt and lot.activates_at <= book.at and lot.remaining:
            yield lot.activates_at, _ACTIVATE, str(lot.id)
    for hold in book.holds.values():
        if hold.state == "open" and hold.expires_at <= book.at:
            yield hold.expires_at, _TIME_OUT, hold.id


def _by_id(book: Book) -> list[Lot]:
    return sorted(book.lots.values(), key=lambda lot: lot.id)
