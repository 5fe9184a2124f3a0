"""What one order, or its refund, does to the referral by which the friend came: the friend's row alone moves."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from app.domain.loyalty.referrals import order_refunded, ordered
from app.domain.loyalty.versions import Programme, Published, Version, in_force
from app.storage.loyalty.referrals import StoredReferral


class Paid(NamedTuple):
    """An order that was paid. `key` is what it earned by; `counted_minor`: the amount in the programme's currency."""

    key: str
    amount_minor: int
    counted_minor: int
    occurred_at: datetime


class Refunded(NamedTuple):
    """Money of an order that went back, in its own currency; `amount_minor` None: all that was left."""

    key: str
    amount_minor: int | None


def followed(
    before: StoredReferral,
    moves: Sequence[Paid | Refunded],
    published: Sequence[Published],
    programme: Programme,
    now: datetime,
) -> StoredReferral | None:
    """The friend's row after all of this happened, in this order; None where nothing changes."""
    after = before
    for move in moves:
        if isinstance(move, Paid):
            after = _paid(after, move, published, programme, now)
        else:
            after = _given_back(after, move, published, now)
    return None if after is before else after._replace(revision=before.revision + 1)


def _version(published: Sequence[Published], at: datetime) -> Version:
    found = in_force(published, at)
    return Version() if found is None else found.version


def _paid(
    before: StoredReferral,
    order: Paid,
    published: Sequence[Published],
    programme: Programme,
    now: datetime,
) -> StoredReferral:
    version = _version(published, order.occurred_at)
    steps = ordered(
        before.referral,
        order_id=order.key,
        amount_minor=order.counted_minor,
        at=order.occurred_at,
        rules=version.referrals,
        pending_days=version.pending_days,
        zone=programme.zone,
    )
    # Due at once: a worker tells the referrer's row, and looks again when the window is over.
    return before.after(steps[-1], now)._replace(paid_minor=order.amount_minor) if steps else before


def _given_back(
    before: StoredReferral, refund: Refunded, published: Sequence[Published], now: datetime
) -> StoredReferral:
    is_ours = before.order_id == refund.key and before.state in {"pending", "rewarded"}
    if not is_ours or refund.amount_minor == 0:
        return before
    left = before.paid_minor - before.refunded_minor
    amount = left if refund.amount_minor is None else min(refund.amount_minor, left)
    before = before._replace(refunded_minor=before.refunded_minor + amount)
    step = order_refunded(
        before.referral,
        refund.key,
        now,
        kept_minor=0 if refund.amount_minor is None else left - amount,
        least_minor=_version(published, before.at).referrals.least_minor,
    )
    # A part that went back is remembered too: the next one counts from it.
    return before.after(step, now if step.state == "reversed" else before.due_at)
