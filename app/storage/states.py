"""The state row of each customer: the lock that every writer takes first, and the score's integers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from app.domain.health.state import State

# Rows are locked in customer order: two writers that share customers wait for each other, and never in a circle.
_LOCK = """
SELECT customer_id, state, identity_revision, merged_into, erased_at
FROM customer_states
WHERE customer_id = ANY ($1::uuid[])
ORDER BY customer_id
FOR UPDATE
"""

_SAVE = """
UPDATE customer_states s
SET state = new.state, band = new.band, score = new.score, scored_at = $5
FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::float8[]) AS new (customer_id, state, band, score)
WHERE s.customer_id = new.customer_id AND s.customer_id = ANY ($1::uuid[])
"""


@dataclass(frozen=True, slots=True)
class LockedState:
    """What a writer finds under the lock; a cached identity of another `identity_revision` is not to be trusted."""

    customer_id: UUID
    state: State
    identity_revision: int
    merged_into: UUID | None
    erased_at: datetime | None


@dataclass(frozen=True, slots=True)
class SavedState:
    """A state and what lists show of it."""

    customer_id: UUID
    state: State
    band: str
    score: float | None


async def lock(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> dict[UUID, LockedState]:
    """Lock these customers' rows until the transaction ends; those that do not exist are missing from the answer."""
    rows = await connection.fetch(_LOCK, customer_ids)
    return {
        row["customer_id"]: LockedState(
            row["customer_id"],
            State.decode(row["state"]),
            row["identity_revision"],
            row["merged_into"],
            row["erased_at"],
        )
        for row in rows
    }


async def save(connection: asyncpg.Connection, states: Sequence[SavedState], scored_at: datetime) -> None:
    """Write the states of locked customers in one statement."""
    await connection.execute(
        _SAVE,
        [saved.customer_id for saved in states],
        [saved.state.encode() for saved in states],
        [saved.band for saved in states],
        [saved.score for saved in states],
        scored_at,
    )


async def living_after(connection: asyncpg.Connection, after: UUID, limit: int) -> list[tuple[UUID, bytes]]:
    """The stored states of the next customers in order, the merged and the erased left out. Reads only."""
    rows = await connection.fetch(
        """
        SELECT customer_id, state
        FROM customer_states
        WHERE customer_id > $1 AND merged_into IS NULL AND erased_at IS NULL
        ORDER BY customer_id
        LIMIT $2
        """,
        after,
        limit,
    )
    return [(row[0], row[1]) for row in rows]
