"""A customer goes by one more name."""

from datetime import datetime

import asyncpg

from app.domain.admission import OPEN, Admission
from app.domain.customers import HeldIdentifier
from app.domain.identifiers import Identifier, Reference
from app.domain.problems import Problem
from app.storage import identifiers
from app.usecases.lock_customer import lock_customer
from app.usecases.resolve_customers import resolve_customers, until_settled


async def add_identifier(
    connection: asyncpg.Connection,
    reference: Reference,
    identifier: Identifier,
    now: datetime,
    admission: Admission = OPEN,
) -> tuple[HeldIdentifier, bool]:
    """The identifier as the customer holds it, and whether it is new to them.

    Raises what `find_customer` raises, and Conflict `identity_conflict` when another customer holds it, `erased` when
    one did who was erased.
    """
    locked = await lock_customer(connection, reference)
    customer_id = locked.customer_id
    held = await identifiers.held(connection, customer_id, identifier)
    if held is not None:
        return held, False
    wanted = [Reference(locked.origin, (identifier,))]
    resolution = (
        await until_settled(
            connection, lambda: resolve_customers(connection, wanted, now, admission=admission)
        )
    )[0]
    if isinstance(resolution, Problem):
        raise resolution
    return HeldIdentifier(identifier.type, identifier.value, now), True
