"""What a refund of an order takes back: a share of what was recorded as earned, exact to the point.

due after each refund = floor(points x refunded / paid) - what was claimed before; the refund that completes the order
takes the rest. So three thirds of 33.33 of 99.99 are 11 + 11 + 11 of 33 points, and a full refund in any split takes
exactly what was earned. Today's rules are never asked.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from app.domain.loyalty.account import (
    Account,
    Clawback,
    Clawed,
    Decision,
    Earn,
    Lot,
    Movement,
    spending_order,
)
from app.domain.loyalty.book import Book, as_movements, taken_from, total
from app.domain.loyalty.settling import settle
from app.domain.problems import Conflict, NotFound, refused


class _Taken(NamedTuple):
    movements: list[Movement]
    lapsed: int
    forgiven: int
    recoverable: int
    indebted: int


def clawed_back(
    account: Account,
    earn_key: str,
    *,
    id: str,  # noqa: A002 - the wire's own name
    amount_minor: int | None,
    policy: Clawback,
    now: datetime,
) -> Decision[Clawed]:
    """The account after `amount_minor` of the order was refunded; None: all that is left, as for a cancellation.

    More than was paid counts as all. Points that expired unspent are forgiven under every policy: they are gone
    already. Raises NotFound `earn_not_found`; Invalid `invalid_amount`; Conflict `id_reused`.
    """
    earn = account.earns.get(earn_key)
    if earn is None:
        raise NotFound("earn_not_found", "Nothing was recorded as earned for this order.")
    if amount_minor is not None and amount_minor < 0:
        raise refused("#/amount_minor", "invalid_amount", "must not be negative")
    known = earn.clawbacks.get(id)
    if known is not None:
        if known.asked != amount_minor:
            raise Conflict("id_reused", "This id stands for another refund.")
        return Decision(account, (), known)
    left = earn.paid_minor - earn.refunded_minor
    amount = left if amount_minor is None else min(amount_minor, left)
    refunded_minor = earn.refunded_minor + amount
    complete = refunded_minor >= earn.paid_minor and (amount_minor is None or earn.paid_minor > 0)
    # A free order is claimed whole by its cancellation; a refund of 0 that comes after it claims nothing back.
    due = max(claim(earn.points, refunded_minor, earn.paid_minor, complete=complete) - earn.settled, 0)
    lost = max(
        claim(earn.qualifying, refunded_minor, earn.paid_minor, complete=complete) - earn.disqualified, 0
    )
    book = Book(account, now)
    settle(book)
    taken = _taken(book, earn, due, policy)
    done = Clawed(id, amount_minor, amount, due, total(taken.movements), taken.forgiven, taken.indebted)
    _write(book, earn, done, lost, taken)
    settle(book)
    return book.closed(done)


def claim(points: int, refunded_minor: int, paid_minor: int, *, complete: bool) -> int:
    """Points that refunds of `refunded_minor` claim in all."""
    return points if complete else points * refunded_minor // max(paid_minor, 1)


def _taken(book: Book, earn: Earn, due: int, policy: Clawback) -> _Taken:
    own = sorted((book.lots[lot] for lot in earn.lots if lot in book.lots), key=spending_order, reverse=True)
    reachable = [lot for lot in own if policy != "only_pending" or lot.activates_at > book.at]
    parts = taken_from(reachable, due)
    rest = due - total(parts)
    lapsed = min(rest, sum(lot.expired for lot in own) - earn.lapsed)
    rest -= lapsed
    if policy != "only_pending":
        others = taken_from(_others(book, own), rest)
        parts += others
        rest -= total(others)
    movements = as_movements(parts, "revoke")
    if policy == "unlimited":
        return _Taken(movements, lapsed, lapsed, 0, rest)
    return _Taken(movements, lapsed, lapsed + rest, rest if policy == "within_balance" else 0, 0)


def _others(book: Book, own: Iterable[Lot]) -> list[Lot]:
    mine = {lot.id for lot in own}
    return [lot for lot in book.payers(book.at) if lot.id not in mine]


def _write(book: Book, earn: Earn, done: Clawed, lost: int, taken: _Taken) -> None:
    if done.due or lost:
        book.write(
            "clawback",
            taken.movements,
            debt_change=done.indebted,
            forgiven=done.forgiven,
            qualifying=-lost,
            qualified_at=earn.occurred_at,
            key=done.id,
        )
    changed = replace(
        earn,
        refunded_minor=earn.refunded_minor + done.amount_minor,
        clawed=earn.clawed + done.taken,
        forgiven=earn.forgiven + done.forgiven,
        indebted=earn.indebted + done.indebted,
        lapsed=earn.lapsed + taken.lapsed,
        recoverable=earn.recoverable + taken.recoverable,
        disqualified=earn.disqualified + lost,
        clawbacks={**earn.clawbacks, done.id: done},
    )
    book.keep(changed)
