"""What the clock of loyalty has to do, and what a look at a tier needs. Sweeps read here, and write by customer."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.loyalty.account import Entry
from app.domain.loyalty.tiers import Pause
from app.storage.loyalty.entries import COLUMNS, entry_of
from app.storage.touchpoints import standing


class Place(NamedTuple):
    """Where an account stands in the workers' index."""

    due_at: datetime
    customer_id: UUID
    program: str


FIRST_PLACE: Final = Place(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0), "")
"""Before everybody."""


async def due(
    connection: asyncpg.Connection, now: datetime, limit: int, after: Place = FIRST_PLACE
) -> list[Place]:
    """The accounts whose clock has something to do at `now`."""
    rows = await connection.fetch(
        """
        SELECT due_at, customer_id, program FROM loyalty_accounts
        WHERE due_at <= $1 AND (due_at, customer_id, program) > ($2, $3, $4)
        ORDER BY due_at, customer_id, program
        LIMIT $5
        """,
        now,
        *after,
        limit,
    )
    return [Place(*row) for row in rows]


# Two ranges of the index; `<>` would read all of it.
_OUTDATED: Final = """
(SELECT customer_id FROM loyalty_accounts WHERE program = $1 AND ruled_by < $2 LIMIT $3)
UNION ALL
(SELECT customer_id FROM loyalty_accounts WHERE program = $1 AND ruled_by > $2 LIMIT $3)
LIMIT $3
"""


async def outdated(connection: asyncpg.Connection, program: str, version: int, limit: int) -> list[UUID]:
    """Members whose tier was drawn by another version than this one, in no order."""
    return [row[0] for row in await connection.fetch(_OUTDATED, program, version, limit)]


async def still_holding(connection: asyncpg.Connection, program: str, limit: int) -> list[UUID]:
    """Some of those who have points left in a programme, in no order."""
    rows = await connection.fetch(
        "SELECT customer_id FROM loyalty_lots WHERE program = $1 AND remaining > 0 LIMIT $2", program, limit
    )
    return list({row[0] for row in rows})


async def celebrating(
    connection: asyncpg.Connection,
    program: str,
    born: Collection[str],
    key: str,
    until: datetime,
    after: UUID,
    limit: int,
) -> list[UUID]:
    """Members born on one of these days (MM-DD) whose birthday `key` did not earn yet, in their order.

    `until`: they were members before.
    """
    rows = await connection.fetch(
        """
        SELECT c.id
        FROM customers c
        JOIN loyalty_accounts a ON a.customer_id = c.id AND a.program = $1
        JOIN customer_states s ON s.customer_id = c.id
        WHERE c.traits ->> 'birthday' IS NOT NULL AND right(c.traits ->> 'birthday', 5) = ANY ($2::text[])
          AND c.id > $5 AND a.opened_at < $4 AND s.merged_into IS NULL AND s.erased_at IS NULL
          AND NOT EXISTS (
            SELECT FROM loyalty_earns e WHERE e.customer_id = c.id AND e.program = $1 AND e.key = $3
          )
        ORDER BY c.id
        LIMIT $6
        """,
        program,
        list(born),
        key,
        until,
        after,
        limit,
    )
    return [row[0] for row in rows]


async def tier_entries(
    connection: asyncpg.Connection,
    customer_id: UUID,
    program: str,
    until: datetime,
    limit: int | None = None,
) -> list[Entry]:
    """What makes or moves a tier, up to the time `until` of entries: the first entry, what qualifies, manual moves.

    At most `limit` of them (None: all). What they say of the hash before is empty.
    """
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM loyalty_entries
        WHERE customer_id = $1 AND program = $2 AND at <= $3 AND (qualifying <> 0 OR tier IS NOT NULL OR seq = 1)
        ORDER BY seq
        LIMIT $4
        """,  # noqa: S608 - our own columns
        customer_id,
        program,
        until,
        limit,
    )
    return [entry_of(row, b"") for row in rows]


# The nth opening of a complaint is answered by its nth resolution (timeline.openings), by when each was told: what is
# told later changes no tier of before.
_PAUSES: Final = f"""
SELECT c.customer_id, c.thread, c.nth, min(c.received_at) FILTER (WHERE c.kind = 'complaint_opened') AS since,
  min(c.received_at) FILTER (WHERE c.kind = 'complaint_resolved') AS until
FROM (
  SELECT t.customer_id, t.thread, t.kind, t.received_at, row_number() OVER (
    PARTITION BY t.customer_id, t.thread, t.kind ORDER BY t.received_at, t.source, t.id, t.origin_customer_id
  ) AS nth
  FROM touchpoints t
  WHERE t.customer_id = ANY ($1::uuid[]) AND t.kind IN ('complaint_opened', 'complaint_resolved')
    AND t.received_at <= $2 AND {standing("t")}
) c
GROUP BY c.customer_id, c.thread, c.nth
HAVING bool_or(c.kind = 'complaint_opened')
"""  # noqa: S608 - constants of this package


async def pauses(
    connection: asyncpg.Connection, customer_ids: Sequence[UUID], until: datetime
) -> Mapping[UUID, list[Pause]]:
    """When each of these customers had an open complaint, as far as was known at `until`."""
    found: dict[UUID, list[Pause]] = {}
    for row in await connection.fetch(_PAUSES, list(customer_ids), until):
        found.setdefault(row["customer_id"], []).append(Pause(row["since"], row["until"]))
    return found


async def ended(connection: asyncpg.Connection, now: datetime) -> list[str]:
    """The programmes that are over and whose last run is not through."""
    rows = await connection.fetch(
        "SELECT code FROM loyalty_programs WHERE ends_at <= $1 AND wound_up_at IS NULL ORDER BY code", now
    )
    return [row[0] for row in rows]


async def wind_up(connection: asyncpg.Connection, program: str, now: datetime) -> bool:
    """Note that the last run of a programme is through; False while somebody has points left, or when it was."""
    status = await connection.execute(
        """
        UPDATE loyalty_programs SET wound_up_at = $2
        WHERE code = $1 AND wound_up_at IS NULL
          AND NOT EXISTS (SELECT FROM loyalty_lots l WHERE l.program = $1 AND l.remaining > 0)
        """,
        program,
        now,
    )
    return bool(status == "UPDATE 1")
