"""What a balance is: a reading of the ledger at one time, never a number of its own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.domain.loyalty.account import Account, Entry, Hold, Kind, Lot, opened
from app.domain.loyalty.book import apply_entry
from app.domain.loyalty.periods import local_month
from app.domain.loyalty.settling import settled


class Due(NamedTuple):
    """Points that change their state at one instant."""

    points: int
    at: datetime


class Balance(NamedTuple):
    """An account at one time. `available` = free active points - debt, so it may be negative.

    `held` counts holds that have not run out by then. The whole schedule is given, in order of time. It is as of entry
    `account.seq`.
    """

    available: int
    pending: int
    held: int
    debt: int
    lifetime_earned: int
    lifetime_burned: int
    lifetime_expired: int
    next_expirations: tuple[Due, ...]
    next_activations: tuple[Due, ...]


class Line(NamedTuple):
    """One line of a statement, with the sum of all entries after it."""

    seq: int
    at: datetime
    kind: Kind
    points: int
    balance: int


class Statement(NamedTuple):
    """Entries written in [since, until), between the sums before and after them."""

    opening: int
    lines: tuple[Line, ...]
    closing: int


class Liability(NamedTuple):
    """Points a shop owes: by month of expiry in its zone (YYYY-MM, None never), and what customers owe it."""

    by_month: Mapping[str | None, int]
    points: int
    debt: int


def balance(account: Account, at: datetime) -> Balance:
    """The account as it stands at `at`: the clock work up to then is done on paper, so no sweeper is waited for."""
    account = settled(account, at).account
    active = [lot for lot in account.lots.values() if lot.is_active(at)]
    coming = [lot for lot in account.lots.values() if lot.activates_at > at and not lot.is_lapsed(at)]
    lapsing = [Due(lot.free, lot.expires_at) for lot in (*active, *coming) if lot.expires_at]
    return Balance(
        available=sum(lot.free for lot in active) - account.debt,
        pending=sum(lot.remaining for lot in coming),
        held=sum(hold.points for hold in account.holds.values() if hold.state == "open"),
        debt=account.debt,
        lifetime_earned=account.lifetime_earned,
        lifetime_burned=account.lifetime_burned,
        lifetime_expired=account.lifetime_expired,
        next_expirations=_schedule(lapsing),
        next_activations=_schedule(Due(lot.remaining, lot.activates_at) for lot in coming),
    )


def available_and_pending(account: Account, now: datetime) -> tuple[int, int]:
    """The same two numbers of an account whose clock work is done up to `now`: what the write path tells."""
    at = max(now, account.last_at)
    available, pending = -account.debt, 0
    for lot in account.lots.values():
        if lot.activates_at > at:
            pending += lot.remaining
        elif not lot.is_lapsed(at):
            available += lot.free
    return available, pending


def rebuilt(account: Account, entries: Iterable[Entry]) -> Account:
    """The account with its lots, sums and chain made from its entries alone; only holds and records are kept.

    Equal to the account as cached, or the cache is wrong. Lots that were used up are there too.
    """
    made = opened(account.id)._replace(
        holds=account.holds,
        spends=account.spends,
        earns=account.earns,
        adjustments=account.adjustments,
    )
    for entry in entries:
        made = apply_entry(made, entry)
    locked: dict[int, int] = {}
    for hold in account.holds.values():
        for lot, points in hold.locks if hold.state == "open" else ():
            locked[lot] = locked.get(lot, 0) + points
    keys = {lot: earn.key for earn in account.earns.values() for lot in earn.lots}
    lots = {
        lot.id: lot._replace(held=locked.get(lot.id, 0), earn_key=keys.get(lot.id))
        for lot in made.lots.values()
    }
    return made._replace(lots=lots)


def as_of(account: Account, entries: Iterable[Entry], at: datetime) -> Account:
    """The account as it was at `at`, a time before the present, by the time of its entries (all of them, in order).

    Entries that are written later are after `at`, so the answer never changes.
    """
    holds = {hold.id: _then(hold, at) for hold in account.holds.values() if _was_here(hold, at)}
    # Spends and earns are as they are now; what they were then no balance asks for.
    past = account._replace(holds=holds, spends={}, earns={}, adjustments={})
    return rebuilt(past, (entry for entry in entries if entry.at <= at))


def statement(entries: Sequence[Entry], since: datetime, until: datetime) -> Statement:
    """The entries of an account (all of them, in order) written in [since, until)."""
    running = start = sum(entry.points for entry in entries if entry.at < since)
    lines = []
    for entry in entries:
        if since <= entry.at < until:
            running += entry.points
            lines.append(Line(entry.seq, entry.at, entry.kind, entry.points, running))
    return Statement(start, tuple(lines), running)


def liability(lots: Iterable[Lot], debt: int, at: datetime, zone: ZoneInfo) -> Liability:
    """What is owed at `at` over any lots: pending and held points too, lapsed ones only while a hold keeps them.

    `debt` is the sum of what the same customers owe.
    """
    months: dict[str | None, int] = {}
    for lot in lots:
        points = lot.held if lot.is_lapsed(at) else lot.remaining
        if points:
            month = local_month(lot.expires_at, zone) if lot.expires_at else None
            months[month] = months.get(month, 0) + points
    in_order = {month: months[month] for month in sorted(months, key=lambda month: month or "9999-99")}
    return Liability(in_order, sum(in_order.values()), debt)


def _was_here(hold: Hold, at: datetime) -> bool:
    return hold.opened_at <= at and not any(since <= at < until for since, until in hold.away)


def _then(hold: Hold, at: datetime) -> Hold:
    if hold.resolved_at is None or hold.resolved_at <= at:
        return hold
    return replace(hold, state="open", captured=0, resolved_at=None)


def _schedule(dues: Iterable[Due]) -> tuple[Due, ...]:
    sums: dict[datetime, int] = {}
    for due in dues:
        if due.points:
            sums[due.at] = sums.get(due.at, 0) + due.points
    return tuple(Due(sums[at], at) for at in sorted(sums))
