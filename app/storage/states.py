"""The state row of each customer: the lock that every writer takes first, and the score's integers."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from app.domain.health.state import State

# Rows are locked in customer order: two writers that share customers wait for each other, and never in a circle.
_LOCK = """
SELECT customer_id, state, identity_revision, merged_into, erased_at, xmin::text AS version
FROM customer_states
WHERE customer_id = ANY ($1::uuid[])
ORDER BY customer_id
FOR UPDATE
"""


def holds(member: str, column: str = "s.state") -> str:
    """SQL that says whether a member of a stored state is other than 0: its bit in the mask (State.encode)."""
    bit = State._fields.index(member)
    return f"get_byte({column}, {1 + bit // 8}) & {1 << bit % 8} <> 0"


SAVE = """
UPDATE customer_states s
SET state = decode(new.state, 'hex'), band = new.band, score = new.score, scored_at = $3::timestamptz
FROM json_to_recordset($2::text::json) AS new (customer_id uuid, state text, band text, score float8, version text)
WHERE s.customer_id = new.customer_id AND s.customer_id = ANY ($4::uuid[])
"""
"""The UPDATE that writes states: they come as `states_json` in $2, $3 is when they were scored, $4 whose they are."""


class StateRow(NamedTuple):
    """A state row; a cached identity of another `identity_revision` is not to be trusted.

    `version` is another one after every change of the row; empty where nobody asked for it.
    """

    customer_id: UUID
    state: State
    identity_revision: int
    merged_into: UUID | None
    erased_at: datetime | None
    version: str = ""


class SavedState(NamedTuple):
    """A state and what lists show of it."""

    customer_id: UUID
    state: State
    band: str
    score: float | None


async def lock(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> dict[UUID, StateRow]:
    """Lock these customers' rows until the transaction ends; those that do not exist are missing from the answer."""
    rows = await connection.fetch(_LOCK, customer_ids)
    return {row["customer_id"]: state_row(row) for row in rows}


def state_row(row: Mapping[str, Any]) -> StateRow:
    """A row with the columns of StateRow."""
    return StateRow(
        row["customer_id"],
        State.decode(row["state"]),
        row["identity_revision"],
        row["merged_into"],
        row["erased_at"],
        row["version"],
    )


def states_json(states: Iterable[SavedState], versions: Mapping[UUID, str]) -> str:
    """The states for SAVE. `versions`: those of the rows they replace, for who wants to compare."""
    return to_json(
        [
            {
                "customer_id": saved.customer_id,
                "state": saved.state.encode().hex(),
                "band": saved.band,
                "score": saved.score,
                "version": versions.get(saved.customer_id),
            }
            for saved in states
        ]
    ).decode()
