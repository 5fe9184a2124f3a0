"""A customer no longer goes by a name."""

from datetime import datetime

import asyncpg

from app.domain.identifiers import Identifier, Reference
from app.domain.problems import Conflict, NotFound
from app.storage import customers, identifiers
from app.usecases.lock_customer import lock_customer


async def remove_identifier(
    connection: asyncpg.Connection, reference: Reference, identifier: Identifier, now: datetime
) -> None:
    """Take the identifier away from the customer; it is free for anybody afterwards.

    Raises what `find_customer` raises, NotFound `identifier_not_found`, Conflict `last_identifier`: a customer whom
    no system can name would be lost to everybody but us.
    """
    customer_id = (await lock_customer(connection, reference)).customer_id
    if await identifiers.held(connection, customer_id, identifier) is None:
        raise NotFound("identifier_not_found", "This customer does not have that identifier.")
    if await identifiers.count(connection, customer_id) == 1:
        raise Conflict("last_identifier", "A customer keeps at least one identifier. Add another one first.")
    await identifiers.release(connection, customer_id, identifier)
    await customers.revise_identity(connection, customer_id)
    await customers.touch(connection, [customer_id], now)
