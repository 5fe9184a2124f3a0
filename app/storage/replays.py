"""How far a replay of all states has come, and the states as bytes: a replay must not need to read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.storage.verification import FIRST_ID

_STATES: Final = "states"

# Rows are locked in customer order, as by every writer.
_LOCK = """
SELECT customer_id, state
FROM customer_states
WHERE customer_id = ANY ($1::uuid[])
ORDER BY customer_id
FOR UPDATE
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """Everybody up to `after` is done: so many `replayed`, so many of them `changed`."""

    after: UUID
    replayed: int
    changed: int


async def begin(connection: asyncpg.Connection, now: datetime, *, restart: bool) -> None:
    """Remember that a replay is under way; one that is goes on, unless it is to begin again."""
    if restart:
        await connection.execute("DELETE FROM state_replays WHERE name = $1", _STATES)
    await connection.execute(
        """
        INSERT INTO state_replays (name, after_id, replayed, changed, started_at, updated_at)
        VALUES ($1, $2, 0, 0, $3, $3)
        ON CONFLICT DO NOTHING
        """,
        _STATES,
        FIRST_ID,
        now,
    )


async def lock(connection: asyncpg.Connection) -> Progress | None:
    """How far it has come, locked: of two who replay at once each takes the next page. None: somebody has ended it."""
    row = await connection.fetchrow(
        "SELECT after_id, replayed, changed FROM state_replays WHERE name = $1 FOR UPDATE", _STATES
    )
    return None if row is None else Progress(*row)


async def advance(connection: asyncpg.Connection, progress: Progress, now: datetime) -> None:
    """Write down how far it has come, in the transaction that made it so."""
    await connection.execute(
        "UPDATE state_replays SET after_id = $2, replayed = $3, changed = $4, updated_at = $5 WHERE name = $1",
        _STATES,
        progress.after,
        progress.replayed,
        progress.changed,
        now,
    )


async def end(connection: asyncpg.Connection) -> None:
    """Everybody is done."""
    await connection.execute("DELETE FROM state_replays WHERE name = $1", _STATES)


async def lock_stored(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """The stored states of these customers, their rows locked until the transaction ends."""
    return {row[0]: row[1] for row in await connection.fetch(_LOCK, customer_ids)}
