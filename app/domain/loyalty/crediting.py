"""Points that come in: earned, brought along, given."""

from datetime import datetime
from typing import NamedTuple

from app.domain.loyalty.account import Account, Adjusted, Decision, Earn, Entry, Lot, Movement
from app.domain.loyalty.book import Book, as_movements, taken_from, total
from app.domain.loyalty.chain import sealed
from app.domain.loyalty.points import MOST_POINTS, points_of
from app.domain.loyalty.settling import is_quiet, settle
from app.domain.problems import Conflict, refused


class Earning(NamedTuple):
    """What is to be recorded as earned: the outcome of the rules, with the times of the version in force.

    `key` is the natural key, one per (order, cycle) or occasion, for ever. `paid_minor` is what refunds are a share of.
    """

    key: str
    points: int
    occurred_at: datetime
    activates_at: datetime
    expires_at: datetime | None
    paid_minor: int = 0
    qualifying: int = 0


def earned(account: Account, earning: Earning, now: datetime) -> Decision[Earn]:
    """The account after an earn; with a key that earned before, nothing new and what was recorded then.

    Zero points leave an entry that can be explained, and no lot. A late one may have lapsed already: then the earn and
    its expiry are both visible. Raises Invalid `invalid_points`.
    """
    known = account.earns.get(earning.key)
    if known is not None:
        return Decision(account, (), known)
    if not 0 <= earning.points <= MOST_POINTS:
        raise refused("#/points", "invalid_points", f"must be a whole number up to {MOST_POINTS}")
    at = max(now, account.last_at)
    if is_quiet(account, at) and (earning.expires_at is None or earning.expires_at > at):
        return _earned_quietly(account, earning, at)
    return earned_by_the_book(account, earning, now)


def earned_by_the_book(account: Account, earning: Earning, now: datetime) -> Decision[Earn]:
    """The same for any account, with the clock work before and after it; the key must be new."""
    book = Book(account, now)
    settle(book)
    times = {"effective_at": earning.occurred_at, "qualified_at": earning.occurred_at}
    said = {"key": earning.key, "qualifying": earning.qualifying, **times}
    lots: tuple[int, ...] = ()
    if earning.points:
        lots = (book.next_seq,)
        activates_at, expires_at = earning.activates_at, earning.expires_at
        book.credit("earn", earning.points, activates_at, expires_at, earn_key=earning.key, **said)
    else:
        book.write("earn", (), **said)
    earn = Earn(
        key=earning.key,
        points=earning.points,
        paid_minor=earning.paid_minor,
        occurred_at=earning.occurred_at,
        lots=lots,
        qualifying=earning.qualifying,
    )
    book.keep(earn)
    settle(book)
    return book.closed(earn)


def earn_entry(seq: int, head: bytes, earning: Earning, at: datetime) -> Entry:
    """The entry of an earn after the entry `seq` with the hash `head`, written at `at`."""
    points, seq = earning.points, seq + 1
    activates_at, expires_at = (earning.activates_at, earning.expires_at) if points else (None, None)
    return sealed(
        Entry(
            seq=seq,
            kind="earn",
            points=points,
            at=at,
            effective_at=earning.occurred_at,
            movements=(Movement(seq, "grant", points),) if points else (),
            previous=head,
            hash=b"",
            key=earning.key,
            qualifying=earning.qualifying,
            qualified_at=earning.occurred_at,
            activates_at=activates_at,
            expires_at=expires_at,
        )
    )


def _earned_quietly(account: Account, earning: Earning, at: datetime) -> Decision[Earn]:
    """The same for an account without clock work, which nearly every one is: a fraction of the time."""
    key, points = earning.key, earning.points
    entry = earn_entry(account.seq, account.head, earning, at)
    seq = entry.seq
    lots = dict(account.lots)
    if points:
        lots[seq] = Lot(seq, earning.activates_at, earning.expires_at, key, points)
    earn = Earn(
        key=key,
        points=points,
        paid_minor=earning.paid_minor,
        occurred_at=earning.occurred_at,
        lots=(seq,) if points else (),
        qualifying=earning.qualifying,
    )
    after = Account(
        id=account.id,
        seq=seq,
        head=entry.hash,
        last_at=at,
        debt=account.debt,
        lifetime_earned=account.lifetime_earned + points,
        lifetime_burned=account.lifetime_burned,
        lifetime_expired=account.lifetime_expired,
        lots=lots,
        holds=account.holds,
        spends=account.spends,
        earns={**account.earns, key: earn},
        adjustments=account.adjustments,
    )
    return Decision(after, (entry,), earn)


def opening(
    account: Account,
    *,
    id: str,  # noqa: A002 - the wire's own name
    points: int,
    expires_at: datetime | None,
    now: datetime,
) -> Decision[Adjusted]:
    """Points brought along from another programme, active at once, with the expiry they had there.

    Raises Invalid `invalid_points`, `already_expired`; Conflict `id_reused`.
    """
    return _credited(
        account, "opening", id, points_of(points), ("opening", points, expires_at), expires_at, now
    )


def adjusted(
    account: Account,
    *,
    id: str,  # noqa: A002 - the wire's own name
    points: int,
    reason_code: str,
    allow_debt: bool,
    expires_at: datetime | None,
    now: datetime,
) -> Decision[Adjusted]:
    """Points given or taken by somebody, active at once.

    Taking more than there is free leaves a debt with `allow_debt`, else raises Conflict `insufficient_points` with
    `missing`. Raises Invalid `invalid_points`, `already_expired`; Conflict `id_reused`.
    """
    amount = points_of(-points if points < 0 else points)
    terms = ("adjust", points, reason_code, allow_debt, expires_at)
    if points > 0:
        return _credited(account, "adjust", id, amount, terms, expires_at, now)
    known = _known(account, id, terms)
    if known is not None:
        return Decision(account, (), known)
    book = Book(account, now)
    settle(book)
    parts = taken_from(book.payers(book.at), amount)
    missing = amount - total(parts)
    if missing and not allow_debt:
        raise Conflict("insufficient_points", "There are not enough points to take.", missing=missing)
    entry = book.write("adjust", as_movements(parts, "revoke"), debt_change=missing, key=id)
    done = Adjusted(id, points, missing, entry.seq, terms)
    book.keep(done)
    return book.closed(done)


def tier_moved(account: Account, *, id: str, tier: str, now: datetime) -> Decision[Adjusted]:  # noqa: A002 - as above
    """A manual move to a tier: an entry of 0 points, so that the tier stays a function of the entries.

    Raises Conflict `id_reused`.
    """
    terms = ("tier_move", tier)
    known = _known(account, id, terms)
    if known is not None:
        return Decision(account, (), known)
    book = Book(account, now)
    settle(book)
    entry = book.write("tier_move", (), key=id, tier=tier)
    done = Adjusted(id, 0, 0, entry.seq, terms)
    book.keep(done)
    return book.closed(done)


def _credited(
    account: Account,
    kind: str,
    key: str,
    points: int,
    terms: tuple[object, ...],
    expires_at: datetime | None,
    now: datetime,
) -> Decision[Adjusted]:
    known = _known(account, key, terms)
    if known is not None:
        return Decision(account, (), known)
    book = Book(account, now)
    if expires_at is not None and expires_at <= book.at:
        raise refused("#/expires_at", "already_expired", "must be in the future")
    settle(book)
    entry = book.credit("opening" if kind == "opening" else "adjust", points, book.at, expires_at, key=key)
    done = Adjusted(key, points, 0, entry.seq, terms)
    book.keep(done)
    settle(book)
    return book.closed(done)


def _known(account: Account, key: str, terms: tuple[object, ...]) -> Adjusted | None:
    known = account.adjustments.get(key)
    if known is not None and known.terms != terms:
        raise Conflict("id_reused", "This id stands for another adjustment.")
    return known
