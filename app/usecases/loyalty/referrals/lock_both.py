"""A friend and whoever brought them, both locked in customer order."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.admission import Admission
from app.domain.identifiers import Reference
from app.domain.loyalty.referral_codes import code_not_found
from app.domain.problems import Conflict, NotFound, Problem
from app.storage import states
from app.storage.customers import Identity
from app.storage.states import StateRow
from app.usecases.find_customer import find_customer
from app.usecases.resolve_customers import Raced, resolve_customers, until_settled


class Both(NamedTuple):
    """The locked rows; the same one twice for somebody who brings themselves."""

    referrer: StateRow
    referee: StateRow


async def lock_both(
    connection: asyncpg.Connection,
    referrer_id: UUID,
    referee: Reference,
    admission: Admission,
    now: datetime,
) -> Both:
    """Both customers; a friend whom nobody knows is created, unknown identifiers of one are added.

    Raises what stands against the friend, NotFound `referral_code_not_found` where the referrer is no more, and
    Unavailable `busy` when the reference keeps changing its meaning.
    """

    async def found_and_locked() -> Both:
        referrer = await living(connection, referrer_id)
        if referrer is None:
            raise code_not_found()
        known = await _known(connection, referee)
        wanted = {identity.customer_id: identity for identity in (referrer, known) if identity is not None}
        locked = await _locked(connection, wanted)
        # Whom nobody knows yet, nobody else can wait for: being locked after the referrer makes no circle.
        (resolution,) = await resolve_customers(connection, [referee], now, admission=admission)
        if isinstance(resolution, Problem):
            raise resolution
        if known is None and resolution.created:
            locked |= await states.lock(connection, [resolution.customer_id])
        if resolution.customer_id not in locked:
            raise Raced
        return Both(locked[referrer.customer_id], locked[resolution.customer_id])

    return await until_settled(connection, found_and_locked)


async def lock_pair(
    connection: asyncpg.Connection, one: UUID, other: UUID
) -> tuple[StateRow, StateRow] | None:
    """Both customers, or those they were merged into; None where one was erased."""

    async def found_and_locked() -> tuple[StateRow, StateRow] | None:
        first, second = await living(connection, one), await living(connection, other)
        if first is None or second is None:
            return None
        locked = await _locked(connection, {each.customer_id: each for each in (first, second)})
        return locked[first.customer_id], locked[second.customer_id]

    return await until_settled(connection, found_and_locked)


async def _locked(connection: asyncpg.Connection, wanted: Mapping[UUID, Identity]) -> dict[UUID, StateRow]:
    locked = await states.lock(connection, sorted(wanted))
    if any(
        customer_id not in locked or not identity.holds_for(locked[customer_id])
        for customer_id, identity in wanted.items()
    ):
        raise Raced
    return locked


async def _known(connection: asyncpg.Connection, reference: Reference) -> Identity | None:
    try:
        return await find_customer(connection, reference)
    except NotFound:
        # A UUID that nobody has is refused when it is resolved.
        return None


async def living(connection: asyncpg.Connection, customer_id: UUID) -> Identity | None:
    """Who this name leads to now; None where nobody is left."""
    try:
        return await find_customer(connection, Reference(customer_id, ()))
    except (NotFound, Conflict):
        return None
