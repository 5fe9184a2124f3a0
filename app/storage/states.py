"""The state row of each customer: the lock that every writer takes first, and the score's integers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.health.state import State
from app.domain.silence import Drawn

# Rows are locked in customer order: two writers that share customers wait for each other, and never in a circle.
_LOCK = """
SELECT customer_id, state, identity_revision, merged_into, erased_at, band, score, scored_at, scored_by, band_until
FROM customer_states
WHERE customer_id = ANY ($1::uuid[])
ORDER BY customer_id
FOR UPDATE
"""

_LOCK_FREE = f"{_LOCK.rstrip()} SKIP LOCKED"


def save_from(first: int) -> str:
    """The UPDATE that writes locked states; its seven arguments begin at number `first`."""
    ids, encoded, bands, scores, times, models, untils = range(first, first + 7)
    return f"""
UPDATE customer_states s
SET state = new.state, band = new.band, score = new.score, scored_at = new.scored_at, scored_by = new.scored_by,
  band_until = new.band_until
FROM unnest(
  ${ids}::uuid[], ${encoded}::bytea[], ${bands}::text[], ${scores}::float8[], ${times}::timestamptz[],
  ${models}::text[], ${untils}::timestamptz[]
) AS new (customer_id, state, band, score, scored_at, scored_by, band_until)
WHERE s.customer_id = new.customer_id AND s.customer_id = ANY (${ids}::uuid[])
"""  # noqa: S608 - numbers of arguments


_SAVE = save_from(1)

_REDRAW = """
UPDATE customer_states s
SET band = new.band, score = new.score, scored_at = new.scored_at, scored_by = new.scored_by,
  band_until = new.band_until
FROM unnest($1::uuid[], $2::text[], $3::float8[], $4::timestamptz[], $5::text[], $6::timestamptz[])
  AS new (customer_id, band, score, scored_at, scored_by, band_until)
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
    drawn: Drawn


@dataclass(frozen=True, slots=True)
class SavedState:
    """A state and what lists show of it."""

    customer_id: UUID
    state: State
    drawn: Drawn


class Due(NamedTuple):
    """Whose band may change with time alone, and from when on."""

    until: datetime
    customer_id: UUID


async def lock(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> dict[UUID, LockedState]:
    """Lock these customers' rows until the transaction ends; those that do not exist are missing from the answer."""
    return _locked(await connection.fetch(_LOCK, customer_ids))


async def lock_free(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> dict[UUID, LockedState]:
    """The same, but rows that somebody else holds are left out instead of waited for."""
    return _locked(await connection.fetch(_LOCK_FREE, customer_ids))


def _locked(rows: Sequence[asyncpg.Record]) -> dict[UUID, LockedState]:
    return {row["customer_id"]: locked_state(row) for row in rows}


def locked_state(row: Mapping[str, Any]) -> LockedState:
    """A locked row."""
    return LockedState(
        row["customer_id"],
        State.decode(row["state"]),
        row["identity_revision"],
        row["merged_into"],
        row["erased_at"],
        Drawn(row["band"], row["score"], row["scored_at"], row["scored_by"], row["band_until"]),
    )


def columns(states: Sequence[SavedState]) -> tuple[list[Any], ...]:
    """The seven arguments of `save_from`."""
    return (
        [saved.customer_id for saved in states],
        [saved.state.encode() for saved in states],
        *_columns([saved.drawn for saved in states]),
    )


async def save(connection: asyncpg.Connection, states: Sequence[SavedState]) -> None:
    """Write the states of locked customers in one statement."""
    await connection.execute(_SAVE, *columns(states))


async def redraw(connection: asyncpg.Connection, drawn: Mapping[UUID, Drawn]) -> None:
    """Write what lists show of locked customers whose states stay as they are."""
    await connection.execute(_REDRAW, list(drawn), *_columns(list(drawn.values())))


def _columns(drawn: Sequence[Drawn]) -> tuple[list[Any], ...]:
    return (
        [one.band for one in drawn],
        [one.score for one in drawn],
        [one.at for one in drawn],
        [one.model for one in drawn],
        [one.until for one in drawn],
    )


# --- what is due: sweeps read, and write by customer ----------------------------------------------------------------

_DUE = """
SELECT band_until, customer_id
FROM customer_states
WHERE scored_by = $1 AND band_until <= $2 AND (band_until, customer_id) > ($3, $4)
ORDER BY band_until, customer_id
LIMIT $5
"""

# Two ranges of the index; `<>` would read all of it.
_OUTDATED = """
(SELECT customer_id FROM customer_states WHERE scored_by < $1 LIMIT $2)
UNION ALL
(SELECT customer_id FROM customer_states WHERE scored_by > $1 LIMIT $2)
LIMIT $2
"""

FIRST_DUE: Final = Due(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
"""Before everybody."""


async def due(
    connection: asyncpg.Connection, model: str, now: datetime, limit: int, after: Due = FIRST_DUE
) -> list[Due]:
    """Customers scored by the model of this version whose band was only certain until `now` or before."""
    rows = await connection.fetch(_DUE, model, now, after.until, after.customer_id, limit)
    return [Due(*row) for row in rows]


async def outdated(connection: asyncpg.Connection, model: str, limit: int) -> list[UUID]:
    """Customers whose band was drawn by a model of another version."""
    return [row[0] for row in await connection.fetch(_OUTDATED, model, limit)]


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
