"""Who a reference means, for one who writes: found, and locked as the one that was found."""

from datetime import datetime

import asyncpg

from app.domain.admission import Admission
from app.domain.identifiers import Reference
from app.domain.problems import Problem
from app.storage import states
from app.storage.states import StateRow
from app.usecases.find_customer import find_customer
from app.usecases.resolve_customers import Raced, resolve_customers, until_settled


async def lock_customer(connection: asyncpg.Connection, reference: Reference) -> StateRow:
    """The customer who is meant, their state row locked until the caller's transaction ends.

    Raises what `find_customer` raises, and Unavailable `busy` when the reference keeps changing its meaning.
    """

    async def found_and_locked() -> StateRow:
        identity = await find_customer(connection, reference)
        locked = (await states.lock(connection, [identity.customer_id])).get(identity.customer_id)
        if locked is None or not identity.holds_for(locked):
            raise Raced
        return locked._replace(named_as=identity.named_as)

    return await until_settled(connection, found_and_locked)


async def lock_or_create_customer(
    connection: asyncpg.Connection,
    reference: Reference,
    now: datetime,
    admission: Admission,
    *,
    may_create: bool = True,
) -> StateRow:
    """The same for a reference in a body: unknown identifiers are added, and when none is known a customer is created.

    Raises what stands against the reference, and Unavailable `busy`.
    """

    async def resolved_and_locked() -> StateRow:
        (resolution,) = await resolve_customers(
            connection, [reference], now, may_create=may_create, admission=admission
        )
        if isinstance(resolution, Problem):
            raise resolution
        locked = (await states.lock(connection, [resolution.customer_id])).get(resolution.customer_id)
        if (
            locked is None
            or locked.identity_revision != resolution.identity_revision
            or locked.merged_into is not None
            or locked.erased_at is not None
        ):
            raise Raced
        return locked._replace(named_as=resolution.named_as)

    return await until_settled(connection, resolved_and_locked)
