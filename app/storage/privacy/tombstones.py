"""Who was erased: tombstones by the keyed hash of an identifier. A table without a customer's key (schema rule 4)."""

from collections.abc import Collection, Mapping
from uuid import UUID

import asyncpg


async def bury(connection: asyncpg.Connection, digests: Mapping[bytes, UUID]) -> int:
    """Keep these tombstones; how many are new."""
    status = await connection.execute(
        """
        INSERT INTO erased_identifiers (digest, customer_id)
        SELECT digest, customer_id FROM unnest($1::bytea[], $2::uuid[]) AS new (digest, customer_id)
        ORDER BY digest
        ON CONFLICT DO NOTHING
        """,
        list(digests),
        list(digests.values()),
    )
    return int(status.rpartition(" ")[2])


async def buried(connection: asyncpg.Connection, digests: Collection[bytes]) -> dict[bytes, UUID]:
    """Those of these tombstones that are kept, and whose they are."""
    if not digests:
        return {}
    rows = await connection.fetch(
        "SELECT digest, customer_id FROM erased_identifiers WHERE digest = ANY ($1::bytea[])", list(digests)
    )
    return {row[0]: row[1] for row in rows}


async def lift(connection: asyncpg.Connection, digests: Collection[bytes]) -> list[UUID]:
    """Take these tombstones away; whose each was that was there."""
    rows = await connection.fetch(
        "DELETE FROM erased_identifiers WHERE digest = ANY ($1::bytea[]) RETURNING customer_id", list(digests)
    )
    return [row[0] for row in rows]
