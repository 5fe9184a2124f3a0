"""A merge for one who only reads."""

from uuid import UUID

import asyncpg

from app.domain.identifiers import Reference
from app.domain.merging import ids_in, merge_not_found
from app.storage import merges
from app.storage.merges import Merge
from app.usecases.find_customer import find_customer


async def find_merge(connection: asyncpg.Connection, public_id: str) -> Merge:
    """The merge with this id, standing or undone. Raises NotFound `merge_not_found`."""
    found = await merges.find(connection, *ids_in(public_id))
    if found is None:
        raise merge_not_found()
    return found


async def merges_of(
    connection: asyncpg.Connection, reference: Reference, limit: int, before: UUID
) -> list[Merge]:
    """The merges that made a customer who they are, newest first, undone ones included.

    Raises what `find_customer` raises.
    """
    identity = await find_customer(connection, reference)
    return await merges.newest(connection, identity.customer_id, limit, before)
