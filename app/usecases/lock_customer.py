"""Who a reference means, for one who writes: found, and locked as the one that was found."""

import asyncpg

from app.domain.identifiers import Reference
from app.storage import states
from app.storage.states import StateRow
from app.usecases.find_customer import find_customer
from app.usecases.resolve_customers import Raced, until_settled


async def lock_customer(connection: asyncpg.Connection, reference: Reference) -> StateRow:
    """The customer who is meant, their state row locked until the caller's transaction ends.

    Raises what `find_customer` raises, and Unavailable `busy` when the reference keeps changing its meaning.
    """

    async def found_and_locked() -> StateRow:
        identity = await find_customer(connection, reference)
        locked = (await states.lock(connection, [identity.customer_id])).get(identity.customer_id)
        if locked is None or not identity.holds_for(locked):
            raise Raced
        return locked

    return await until_settled(connection, found_and_locked)
