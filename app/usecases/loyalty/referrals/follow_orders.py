"""What a friend's orders do to the referral they came by: the first one qualifies it, its refund reverses it.

Only the friend is locked where an order is written, so only the friend's row moves here. A worker brings the
referrer's row after, rewards and takes back (settle_referrals.py).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.loyalty.referrals import order_refunded as after_refund
from app.domain.loyalty.referrals import ordered
from app.storage.loyalty import referrals
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.referrals import StoredReferral
from app.usecases.loyalty.referrals.make_code import version_at
from app.usecases.record_touchpoints import LostRace


class Paid(NamedTuple):
    """An order that was paid. `key` is what it earned by; `amount_minor` in the programme's currency (0: no rate)."""

    customer_id: UUID
    key: str
    amount_minor: int
    occurred_at: datetime


class Refunded(NamedTuple):
    """Money of an order that went back; `amount_minor` None: all that was left."""

    customer_id: UUID
    key: str
    amount_minor: int | None


async def order_paid(
    connection: asyncpg.Connection, paid: Sequence[Paid], known: Mapping[str, Rules], now: datetime
) -> None:
    """Let orders of locked customers, in their order, qualify the referrals by which these came, or end them.

    Two statements however many there are; the second only where a referral moves. Raises LostRace.
    """
    if paid:
        await _moved(connection, await referrals.open_of(connection, _whose(paid)), paid, (), known, now)


async def order_refunded(
    connection: asyncpg.Connection, refunded: Sequence[Refunded], known: Mapping[str, Rules], now: datetime
) -> None:
    """Let refunds of locked customers reverse the referrals that their orders had qualified. As `order_paid`."""
    if refunded:
        await _moved(
            connection, await referrals.open_of(connection, _whose(refunded)), (), refunded, known, now
        )


def _whose(moves: Sequence[Paid | Refunded]) -> set[UUID]:
    return {one.customer_id for one in moves}


async def _moved(
    connection: asyncpg.Connection,
    found: Sequence[StoredReferral],
    paid: Sequence[Paid],
    refunded: Sequence[Refunded],
    known: Mapping[str, Rules],
    now: datetime,
) -> None:
    moved = []
    for before in found:
        rules = known.get(before.program)
        after = before
        for order in paid if rules is not None else ():
            if order.customer_id == before.customer_id and rules is not None:
                after = paid_for(after, order, rules, now)
        for refund in refunded if rules is not None else ():
            if refund.customer_id == before.customer_id and rules is not None:
                after = given_back(after, refund, rules, now)
        if after is not before:
            moved.append(after._replace(revision=before.revision + 1))
    if moved and not await referrals.step(connection, moved):
        raise LostRace


def paid_for(before: StoredReferral, order: Paid, rules: Rules, now: datetime) -> StoredReferral:
    """The friend's row after an order was paid; the same row where nothing changes. Due at once, for the referrer's."""
    version = version_at(rules, order.occurred_at)
    steps = ordered(
        before.referral,
        order_id=order.key,
        amount_minor=order.amount_minor,
        at=order.occurred_at,
        rules=version.referrals,
        pending_days=version.pending_days,
        zone=rules.programme.zone,
    )
    if not steps:
        return before
    return before.after(steps[-1], now)._replace(paid_minor=order.amount_minor)


def given_back(before: StoredReferral, refund: Refunded, rules: Rules, now: datetime) -> StoredReferral:
    """The friend's row after money of its order went back; the same row where it was another order's."""
    if (
        before.order_id != refund.key
        or before.state not in {"pending", "rewarded"}
        or refund.amount_minor == 0
    ):
        return before
    left = before.paid_minor - before.refunded_minor
    amount = left if refund.amount_minor is None else min(refund.amount_minor, left)
    before = before._replace(refunded_minor=before.refunded_minor + amount)
    step = after_refund(
        before.referral,
        refund.key,
        now,
        kept_minor=0 if refund.amount_minor is None else left - amount,
        least_minor=version_at(rules, before.at).referrals.least_minor,
    )
    # A part that went back is remembered too: the next one counts from it.
    return before.after(step, now if step.state == "reversed" else before.due_at)
