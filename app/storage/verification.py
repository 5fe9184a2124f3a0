"""What `rapport verify` reads: the log beside the states, identifiers beside their claims, the server's promises.

Sweeps that only read, by ranges of keys (schema rule 7). Whatever is compared is read in one snapshot, so a writer who
commits meanwhile is seen whole or not at all; a snapshot is one page, so it never keeps vacuum waiting for long.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.storage.database import Database
from app.storage.identifiers import Key
from app.storage.touchpoints import standing

FIRST_ID: Final = UUID(int=0)
LAST_ID: Final = UUID(int=2**128 - 1)

# Rows a cursor brings at once: large enough that round trips do not count, small enough for any row.
PREFETCH_ROWS: Final = 2000


class Holder(NamedTuple):
    """An identifier and who holds it, as one of the two tables says.

    `origin` is who claims it: the customer, or one of their aliases.
    """

    customer_id: UUID
    type: str
    value_key: str
    origin: UUID

    @property
    def key(self) -> Key:
        """What is unique in the shop."""
        return self.type, self.value_key


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection to which the database stands still."""
    async with (
        database.hot_reading() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection


# --- the log and the states -----------------------------------------------------------------------------------------

_STATES = """
SELECT customer_id, state FROM customer_states WHERE customer_id > $1 ORDER BY customer_id LIMIT $2
"""

# By the primary key, so that the rows of one customer come together and no sort is needed.
_LOG = f"""
SELECT t.customer_id, t.source, t.id, t.origin_customer_id, t.kind, t.occurred_at, t.value_minor, t.thread,
  t.own_component, t.own_weight, t.properties::text AS properties
FROM touchpoints t
WHERE t.customer_id = ANY ($1::uuid[]) AND {standing("t")}
ORDER BY t.customer_id
"""  # noqa: S608 - a condition of this package

_IDS_IN_RANGE = {
    "customers": "SELECT id FROM customers WHERE id > $1 AND id <= $2",
    "customer_states": "SELECT customer_id FROM customer_states WHERE customer_id > $1 AND customer_id <= $2",
} | {
    table: f"SELECT DISTINCT customer_id FROM {table} WHERE customer_id > $1 AND customer_id <= $2"  # noqa: S608 - named here
    for table in ("touchpoints", "loyalty_entries", "orders")
}


async def count(connection: asyncpg.Connection, table: str) -> int:
    """How many rows one of our tables has: the length of a progress bar."""
    rows: int = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name from this code
    return rows


async def states_after(connection: asyncpg.Connection, after: UUID, limit: int) -> list[tuple[UUID, bytes]]:
    """The next stored states in customer order."""
    return [(row[0], row[1]) for row in await connection.fetch(_STATES, after, limit)]


async def states_of(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> list[tuple[UUID, bytes]]:
    """The stored states of these customers."""
    rows = await connection.fetch(
        "SELECT customer_id, state FROM customer_states WHERE customer_id = ANY ($1::uuid[])", customer_ids
    )
    return [(row[0], row[1]) for row in rows]


async def logs_of(
    connection: asyncpg.Connection, customer_ids: Sequence[UUID]
) -> AsyncIterator[tuple[UUID, list[Mapping[str, Any]]]]:
    """What counts of the log of each of these customers, customer by customer; one at a time is in memory."""
    gathered: list[Mapping[str, Any]] = []
    async for row in connection.cursor(_LOG, customer_ids, prefetch=PREFETCH_ROWS):
        if gathered and gathered[0]["customer_id"] != row["customer_id"]:
            yield gathered[0]["customer_id"], gathered
            gathered = []
        gathered.append(row)
    if gathered:
        yield gathered[0]["customer_id"], gathered


async def customers_after(connection: asyncpg.Connection, after: UUID, limit: int) -> list[UUID]:
    """The next customers in order."""
    rows = await connection.fetch("SELECT id FROM customers WHERE id > $1 ORDER BY id LIMIT $2", after, limit)
    return [row[0] for row in rows]


async def ids_in_range(connection: asyncpg.Connection, table: str, after: UUID, last: UUID) -> set[UUID]:
    """Who has rows in `table` (one of `_IDS_IN_RANGE`), above `after` and up to `last`."""
    return {row[0] for row in await connection.fetch(_IDS_IN_RANGE[table], after, last)}


# --- identifiers and claims -----------------------------------------------------------------------------------------

_HELD_AFTER = """
SELECT customer_id, type, value_key, origin_customer_id
FROM customer_identifiers
WHERE (customer_id, type, value_key) > ($1, $2, $3)
ORDER BY customer_id, type, value_key
LIMIT $4
"""

_CLAIMED_AFTER = """
SELECT customer_id, type, value_key, customer_id AS origin
FROM identifier_claims
WHERE (type, value_key) > ($1, $2)
ORDER BY type, value_key
LIMIT $3
"""

_HELD = """
SELECT held.customer_id, held.type, held.value_key, held.origin_customer_id
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS wanted (customer_id, type, value_key)
JOIN customer_identifiers held
  ON held.customer_id = wanted.customer_id AND held.type = wanted.type AND held.value_key = wanted.value_key
WHERE held.customer_id = ANY ($1::uuid[])
"""


async def held_after(connection: asyncpg.Connection, after: Holder, limit: int) -> list[Holder]:
    """The next identifiers as they stand beside their customers."""
    return [Holder(*row) for row in await connection.fetch(_HELD_AFTER, *after[:3], limit)]


async def claimed_after(connection: asyncpg.Connection, after: Holder, limit: int) -> list[Holder]:
    """The next claims, in the order of what is claimed."""
    return [Holder(*row) for row in await connection.fetch(_CLAIMED_AFTER, *after.key, limit)]


async def held(connection: asyncpg.Connection, claims: Collection[Holder]) -> set[Holder]:
    """Those of these claims that also stand beside their customer."""
    columns = [list(column) for column in zip(*claims, strict=True)][:3]
    return {Holder(*row) for row in await connection.fetch(_HELD, *columns)}


# --- what the server promises ---------------------------------------------------------------------------------------

# Any column counts: UPDATE of one column of the log is a change of the log.
_MAY = """
SELECT r.rolname, t.name, p.privilege
FROM pg_roles r
CROSS JOIN unnest($2::text[]) AS t (name)
CROSS JOIN unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS p (privilege)
WHERE r.rolname = ANY ($1::text[])
  AND CASE p.privilege
    WHEN 'UPDATE' THEN has_any_column_privilege(r.oid, t.name, 'UPDATE')
    ELSE has_table_privilege(r.oid, t.name, p.privilege)
  END
ORDER BY 1, 2, 3
"""

_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[])"

# Set for this database, for all, or for one of these roles, in this database or everywhere.
_OVERRIDES = """
SELECT coalesce(d.datname, 'every database'), coalesce(r.rolname, 'every role'), item
FROM pg_db_role_setting s
LEFT JOIN pg_database d ON d.oid = s.setdatabase
LEFT JOIN pg_roles r ON r.oid = s.setrole
CROSS JOIN unnest(s.setconfig) AS item
WHERE (s.setdatabase = 0 OR d.datname = current_database())
  AND (s.setrole = 0 OR r.rolname = ANY ($1::text[]))
  AND split_part(item, '=', 1) = ANY ($2::text[])
"""

_UNLOGGED = "SELECT relname FROM pg_class WHERE oid = ANY ($1::text[]::regclass[]) AND relpersistence <> 'p'"


class Override(NamedTuple):
    """A setting that a role or a database has of its own."""

    database: str
    role: str
    name: str
    value: str


async def login(connection: asyncpg.Connection) -> str:
    """Who the service is to this database."""
    name: str = await connection.fetchval("SELECT session_user")
    return name


async def role_exists(connection: asyncpg.Connection, role: str) -> bool:
    """Whether the server has such a role."""
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role)
    return found


async def rights_to_change(
    connection: asyncpg.Connection, role: str, tables: Collection[str]
) -> list[tuple[str, str]]:
    """(table, privilege) for each right of `role`, own or inherited, to change rows of these tables."""
    return [(row[1], row[2]) for row in await connection.fetch(_MAY, [role], list(tables))]


async def settings(connection: asyncpg.Connection, names: Collection[str]) -> dict[str, str]:
    """These server settings, as they are for this login."""
    return {row[0]: row[1] for row in await connection.fetch(_SETTINGS, list(names))}


async def overrides(
    connection: asyncpg.Connection, roles: Collection[str], names: Collection[str]
) -> list[Override]:
    """These settings where a database or one of these roles has a value of its own: it counts from the next login."""
    rows = await connection.fetch(_OVERRIDES, list(roles), list(names))
    return [Override(row[0], row[1], *row[2].split("=", 1)) for row in rows]


async def unlogged(connection: asyncpg.Connection, tables: Collection[str]) -> list[str]:
    """Those of these tables that a crash would empty."""
    return [row[0] for row in await connection.fetch(_UNLOGGED, list(tables))]
