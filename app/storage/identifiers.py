"""Who holds which identifier. Said on a bare connection: resolving customers is part of the write path."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.customers import HeldIdentifier
from app.domain.identifiers import Identifier

Key = tuple[str, str]
"""(type, value_key): what makes an identifier unique in the shop."""


class Holding(NamedTuple):
    """An identifier that a customer is to hold from now on.

    `origin` claims it: the customer themselves, or the one of their aliases whom it came with.
    """

    customer_id: UUID
    identifier: Identifier
    origin: UUID


_HOLDERS = """
SELECT claims.type, claims.value_key, claims.customer_id
FROM unnest($1::text[], $2::text[]) AS wanted (type, value_key)
JOIN identifier_claims claims ON claims.type = wanted.type AND claims.value_key = wanted.value_key
"""

_HOLDER = "SELECT type, value_key, customer_id FROM identifier_claims WHERE type = $1 AND value_key = $2"

_HOLDERS_OF_VALUES = """
SELECT type, value_key, customer_id FROM identifier_claims WHERE value_key = ANY ($1::text[])
"""

_CLAIM = """
INSERT INTO identifier_claims (type, value_key, customer_id)
SELECT type, value_key, customer_id
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS new (type, value_key, customer_id)
ON CONFLICT DO NOTHING
"""

_ATTACH = """
INSERT INTO customer_identifiers (customer_id, type, value_key, value, created_at, origin_customer_id)
SELECT customer_id, type, value_key, value, $5, origin
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $6::uuid[]) AS new (
  customer_id, type, value_key, value, origin
)
ON CONFLICT DO NOTHING
"""


async def holders(connection: asyncpg.Connection, keys: Collection[Key]) -> dict[Key, UUID]:
    """The customers who claim these identifiers, whoever they were merged into; one that nobody holds is absent."""
    if not keys:
        return {}
    if len(keys) == 1:
        # Who asks alone waits for the answer; arrays would cost as much as the look-up.
        rows = await connection.fetch(_HOLDER, *next(iter(keys)))
    else:
        rows = await connection.fetch(_HOLDERS, [key[0] for key in keys], [key[1] for key in keys])
    return {(row[0], row[1]): row[2] for row in rows}


class ReadIdentifier(NamedTuple):
    """An identifier, whose it is, and the revision of that customer's identity under which it was read."""

    customer_id: UUID
    type: str
    key: str
    identity_revision: int


# Customers without identifiers are told too, so that whoever reads on knows from where.
_NEWEST = """
SELECT s.customer_id, i.type, i.value_key, s.identity_revision
FROM (
  SELECT customer_id, identity_revision, merged_into, erased_at
  FROM customer_states
  WHERE customer_id < $1
  ORDER BY customer_id DESC
  LIMIT $2
) s
LEFT JOIN customer_identifiers i ON i.customer_id = s.customer_id AND i.origin_customer_id = s.customer_id
  AND s.merged_into IS NULL AND s.erased_at IS NULL
ORDER BY s.customer_id DESC
"""


async def newest(
    connection: asyncpg.Connection, before: UUID, limit: int
) -> tuple[list[ReadIdentifier], UUID | None]:
    """The identifiers of so many customers, the newest first, from below `before`; and below whom to read on, None at
    the end. What came with an alias is left out, and so are the merged and the erased.
    """
    rows = await connection.fetch(_NEWEST, before, limit)
    held = [ReadIdentifier(*row) for row in rows if row[1] is not None]
    return held, rows[-1][0] if len({row[0] for row in rows}) == limit else None


async def holders_of_values(connection: asyncpg.Connection, value_keys: Collection[str]) -> dict[Key, UUID]:
    """The customers who claim an identifier, of whatever type, with one of these keys, merged ones included."""
    rows = await connection.fetch(_HOLDERS_OF_VALUES, list(value_keys))
    return {(row[0], row[1]): row[2] for row in rows}


async def queue_up(connection: asyncpg.Connection) -> None:
    """Wait for everybody else who queued up to end their transaction.

    For fairness alone: who is right is decided by the keys of the claims. The caller holds no other lock yet, so
    nobody can wait for the queue and be waited for by it.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('identifier_claims', 0))")


async def claim(connection: asyncpg.Connection, holdings: Iterable[Holding]) -> bool:
    """Take these identifiers, or say False when somebody else took one meanwhile (the caller then rolls back).

    Waits for concurrent transactions that claim the same ones. All claim in the order of the keys, so that two lists
    which share identifiers wait for each other in one direction only and never deadlock.
    """
    ordered = sorted(holdings, key=lambda holding: (holding.identifier.type, holding.identifier.key))
    status = await connection.execute(
        _CLAIM,
        [holding.identifier.type for holding in ordered],
        [holding.identifier.key for holding in ordered],
        [holding.origin for holding in ordered],
    )
    return int(status.rpartition(" ")[2]) == len(ordered)


async def attach(connection: asyncpg.Connection, holdings: Iterable[Holding], now: datetime) -> None:
    """Write claimed identifiers beside their customers, where reads of one customer find them."""
    ordered = sorted(
        holdings, key=lambda holding: (holding.customer_id, holding.identifier.type, holding.identifier.key)
    )
    await connection.execute(
        _ATTACH,
        [holding.customer_id for holding in ordered],
        [holding.identifier.type for holding in ordered],
        [holding.identifier.key for holding in ordered],
        [holding.identifier.value for holding in ordered],
        now,
        [holding.origin for holding in ordered],
    )


async def held(
    connection: asyncpg.Connection, customer_id: UUID, identifier: Identifier
) -> HeldIdentifier | None:
    """This identifier as the customer holds it: as it was first sent, which may be spelled differently."""
    row = await connection.fetchrow(
        """
        SELECT type, value, created_at
        FROM customer_identifiers
        WHERE customer_id = $1 AND type = $2 AND value_key = $3
        """,
        customer_id,
        identifier.type,
        identifier.key,
    )
    return None if row is None else HeldIdentifier(*row)


async def count(connection: asyncpg.Connection, customer_id: UUID) -> int:
    """How many identifiers a customer holds."""
    number: int = await connection.fetchval(
        "SELECT count(*) FROM customer_identifiers WHERE customer_id = $1", customer_id
    )
    return number


async def counts(connection: asyncpg.Connection, customer_ids: Collection[UUID]) -> dict[UUID, int]:
    """How many identifiers each of these customers holds; who has none is absent."""
    rows = await connection.fetch(
        """
        SELECT customer_id, count(*) FROM customer_identifiers WHERE customer_id = ANY ($1::uuid[]) GROUP BY 1
        """,
        list(customer_ids),
    )
    return {row[0]: row[1] for row in rows}


async def release(connection: asyncpg.Connection, customer_id: UUID, identifier: Identifier) -> None:
    """Let go of an identifier, first beside the customer, then for everybody."""
    origin = await connection.fetchval(
        """
        DELETE FROM customer_identifiers
        WHERE customer_id = $1 AND type = $2 AND value_key = $3
        RETURNING origin_customer_id
        """,
        customer_id,
        identifier.type,
        identifier.key,
    )
    await connection.execute(
        "DELETE FROM identifier_claims WHERE type = $1 AND value_key = $2 AND customer_id = $3",
        identifier.type,
        identifier.key,
        origin,
    )
