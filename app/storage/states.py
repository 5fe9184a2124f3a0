"""The state row of each customer: the lock that every writer takes first, and the score's integers."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from app.domain.health.state import State
from app.domain.silence import Drawn
from app.storage.row_shape import RowShape

# Rows are locked in customer order: two writers that share customers wait for each other, and never in a circle.
_LOCK = """
SELECT customer_id, state, identity_revision, merged_into, erased_at, band, score, scored_at, scored_by, band_until,
  xmin::text AS version
FROM customer_states
WHERE customer_id = ANY ($1::uuid[])
ORDER BY customer_id
FOR UPDATE
"""

_LOCK_FREE = f"{_LOCK.rstrip()} SKIP LOCKED"


def holds(member: str, column: str = "s.state") -> str:
    """SQL that says whether a member of a stored state is other than 0: its bit in the mask (State.encode)."""
    bit = State._fields.index(member)
    return f"get_byte({column}, {1 + bit // 8}) & {1 << bit % 8} <> 0"


STATES: Final = RowShape(
    {
        "customer_id": "uuid",
        "state": "text",
        "version": "text",
        "band": "text",
        "score": "float8",
        "scored_at": "timestamptz",
        "scored_by": "text",
        "band_until": "timestamptz",
    }
)
"""The rows that `save_from` takes."""


def save_from(states: str, customers: str) -> str:
    """The UPDATE that writes states. `states` is SQL: a FROM item with the columns of STATES, named `new`; `customers`
    an array of their customers.
    """
    return f"""
UPDATE customer_states s
SET state = decode(new.state, 'hex'), band = new.band, score = new.score, scored_at = new.scored_at,
  scored_by = new.scored_by, band_until = new.band_until
FROM {states}
WHERE s.customer_id = new.customer_id AND s.customer_id = ANY ({customers})
"""  # noqa: S608 - this package's constants


_SAVE = save_from(STATES.of_json("$1::text::json", "new"), "$2::uuid[]")

_REDRAW = """
UPDATE customer_states s
SET band = new.band, score = new.score, scored_at = new.scored_at, scored_by = new.scored_by,
  band_until = new.band_until
FROM json_to_recordset($1::text::json) AS new (
  customer_id uuid, band text, score float8, scored_at timestamptz, scored_by text, band_until timestamptz
)
WHERE s.customer_id = new.customer_id AND s.customer_id = ANY ($2::uuid[])
"""

_NO_VERSIONS: Final[Mapping[UUID, str]] = MappingProxyType({})


class StateRow(NamedTuple):
    """A state row; a cached identity of another `identity_revision` is not to be trusted.

    `version` is another one after every change of the row. `named_as` is the alias by which the caller named the
    customer, None without a merge.
    """

    customer_id: UUID
    state: State
    identity_revision: int
    merged_into: UUID | None
    erased_at: datetime | None
    drawn: Drawn
    version: str
    named_as: UUID | None = None

    @property
    def origin(self) -> UUID:
        """Whose a new row is should the merge be undone."""
        return self.customer_id if self.named_as is None else self.named_as


class SavedState(NamedTuple):
    """A state and what lists show of it."""

    customer_id: UUID
    state: State
    drawn: Drawn


class Due(NamedTuple):
    """Whose band may change with time alone, and from when on."""

    until: datetime
    customer_id: UUID


async def lock(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> dict[UUID, StateRow]:
    """Lock these customers' rows until the transaction ends; those that do not exist are missing from the answer."""
    return _locked(await connection.fetch(_LOCK, customer_ids))


async def lock_free(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> dict[UUID, StateRow]:
    """The same, but rows that somebody else holds are left out instead of waited for."""
    return _locked(await connection.fetch(_LOCK_FREE, customer_ids))


def _locked(rows: Sequence[asyncpg.Record]) -> dict[UUID, StateRow]:
    return {row["customer_id"]: state_row(row) for row in rows}


def state_row(row: Mapping[str, Any]) -> StateRow:
    """A row with the columns of `_LOCK`."""
    return StateRow(
        row["customer_id"],
        State.decode(row["state"]),
        row["identity_revision"],
        row["merged_into"],
        row["erased_at"],
        Drawn(row["band"], row["score"], row["scored_at"], row["scored_by"], row["band_until"]),
        row["version"],
    )


def states_json(states: Iterable[SavedState], versions: Mapping[UUID, str] = _NO_VERSIONS) -> str:
    """The states for `save_from`. `versions`: those of the rows they replace, for who wants to compare."""
    return to_json([row_of(saved, versions.get(saved.customer_id)) for saved in states]).decode()


def row_of(saved: SavedState, version: str | None) -> dict[str, Any]:
    """A row for `save_from`, by the columns of STATES."""
    return {
        "customer_id": saved.customer_id,
        "state": saved.state.encode().hex(),
        "version": version,
        **_drawn(saved.drawn),
    }


def _drawn(drawn: Drawn) -> dict[str, Any]:
    return {
        "band": drawn.band,
        "score": drawn.score,
        "scored_at": drawn.at,
        "scored_by": drawn.model,
        "band_until": drawn.until,
    }


async def save(connection: asyncpg.Connection, states: Sequence[SavedState]) -> None:
    """Write the states of locked customers in one statement."""
    await connection.execute(_SAVE, states_json(states), [saved.customer_id for saved in states])


async def redraw(connection: asyncpg.Connection, drawn: Mapping[UUID, Drawn]) -> None:
    """Write what lists show of locked customers whose states stay as they are."""
    rows = [{"customer_id": customer_id, **_drawn(one)} for customer_id, one in drawn.items()]
    await connection.execute(_REDRAW, to_json(rows).decode(), list(drawn))


async def lead_on(connection: asyncpg.Connection, customer_ids: Sequence[UUID], to: UUID | None) -> None:
    """Let these locked customers be aliases of another one; with None: themselves again."""
    await connection.execute(
        "UPDATE customer_states SET merged_into = $2 WHERE customer_id = ANY ($1::uuid[])", customer_ids, to
    )


async def renew(connection: asyncpg.Connection, customer_id: UUID) -> None:
    """Give a locked customer's row a new version: who decided by what was read before has to look again."""
    await connection.execute(
        "UPDATE customer_states SET identity_revision = identity_revision WHERE customer_id = $1", customer_id
    )


# --- what is due: sweeps read, and write by customer ----------------------------------------------------------------

_DUE = """
SELECT band_until, customer_id
FROM customer_states
WHERE scored_by = $1 AND band_until <= $2 AND (band_until, customer_id) > ($3, $4)
ORDER BY band_until, customer_id
LIMIT $5
"""


@lru_cache(maxsize=8)
def _outdated(versions: int) -> str:
    """The ranges of the index below, between and above so many versions; `<>` would read all of it.

    The database puts them in order: only it knows by which rules it compares texts.
    """
    edges = [f"(SELECT versions[{place}] FROM known)" for place in range(1, versions + 1)]  # noqa: S608 - numbers
    between = (f"scored_by > {low} AND scored_by < {high}" for low, high in pairwise(edges))
    selects = [
        f"(SELECT customer_id FROM customer_states WHERE {one} LIMIT $2)"  # noqa: S608 - our own conditions
        for one in (f"scored_by < {edges[0]}", *between, f"scored_by > {edges[-1]}")
    ]
    known = "WITH known AS MATERIALIZED (SELECT array_agg(one ORDER BY one) AS versions FROM unnest($1::text[]) AS one)"
    return "\n".join((known, "\nUNION ALL\n".join(selects), "LIMIT $2"))


FIRST_DUE: Final = Due(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
"""Before everybody."""


async def due(
    connection: asyncpg.Connection, model: str, now: datetime, limit: int, after: Due = FIRST_DUE
) -> list[Due]:
    """Customers scored by the model of this version whose band was only certain until `now` or before."""
    rows = await connection.fetch(_DUE, model, now, after.until, after.customer_id, limit)
    return [Due(*row) for row in rows]


async def outdated(connection: asyncpg.Connection, models: Sequence[str], limit: int) -> list[UUID]:
    """Customers whose band was drawn by a model of none of these versions."""
    return [row[0] for row in await connection.fetch(_outdated(len(models)), list(models), limit)]


async def scored_by_others(connection: asyncpg.Connection, model: str, after: UUID, limit: int) -> list[UUID]:
    """The next customers in order whose band was drawn by another model than this one."""
    rows = await connection.fetch(
        """
        SELECT customer_id FROM customer_states
        WHERE scored_by <> $1 AND customer_id > $2
        ORDER BY customer_id
        LIMIT $3
        """,
        model,
        after,
        limit,
    )
    return [row[0] for row in rows]


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
