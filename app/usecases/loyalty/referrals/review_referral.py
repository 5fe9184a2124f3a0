"""Somebody looks at a referral that is on hold, and says whether the friend is real."""

from collections.abc import Callable
from datetime import datetime

import asyncpg

from app.domain.health.model import Model
from app.domain.ids import parse_opaque_id
from app.domain.loyalty.referrals import reviewed
from app.domain.problems import Conflict, NotFound
from app.storage import states
from app.storage.loyalty import referrals
from app.storage.loyalty.referrals import StoredReferral
from app.usecases.loyalty.referrals.lock_both import living, lock_pair
from app.usecases.loyalty.referrals.refer import tell


async def review_referral(
    connection: asyncpg.Connection,
    public_id: str,
    *,
    genuine: bool,
    note: str | None,
    by: str,
    check: Callable[[StoredReferral], None],
    model: Model,
    now: datetime,
) -> StoredReferral:
    """The referral after it was looked at; the same answer again changes nothing.

    `check` raises Stale for one that was changed since. Raises NotFound `referral_not_found`, Conflict
    `illegal_transition`.
    """
    seen = await existing_referral(connection, public_id)
    pair = await lock_pair(connection, seen.customer_id, seen.other_customer_id)
    if pair is None:
        raise referral_not_found()
    found = await existing_referral(connection, public_id)
    check(found)
    if found.reviewed_by is not None and (found.reason == "not_genuine") is not genuine:
        return found
    step = reviewed(found.referral, genuine=genuine, now=now)
    stored = found.after(step, None)._replace(reviewed_by=by, note=note)
    friend, referrer = pair
    await referrals.write(connection, stored, referrer.customer_id)
    if stored.state == "attributed":
        await states.renew(connection, friend.customer_id)
        await tell(connection, stored, referrer.customer_id, model, now)
    return stored


async def existing_referral(connection: asyncpg.Connection, public_id: str) -> StoredReferral:
    """The referral with this id. Raises NotFound `referral_not_found`."""
    ids = parse_opaque_id("referral", public_id)
    if ids is None:
        raise referral_not_found()
    found = await referrals.find(connection, *ids)
    if found is None:
        # A merge has moved the row to whom the friend's name leads now.
        known = await living(connection, ids[0])
        found = None if known is None else await referrals.find(connection, known.customer_id, ids[1])
    if found is None:
        raise referral_not_found()
    return found


def referral_not_found() -> NotFound:
    """No referral has this id."""
    return NotFound("referral_not_found", "There is no such referral.")


def not_on_hold() -> Conflict:
    """An example: only what is on hold is looked at."""
    return Conflict("illegal_transition", "Only a referral on hold is reviewed.", state="rewarded")
