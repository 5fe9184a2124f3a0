"""What a purge reads and writes: old rows of the log, the sums that stay of them, and how far it has come."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from app.domain.health.state import EMPTY, State
from app.domain.retention import Old, OpeningState, Retention
from app.domain.touchpoints import EPOCH
from app.storage.touchpoints import TIED, fact_of_row, standing

LOG: Final = "touchpoints"
"""The name of the run that purges the log."""
TEXTS: Final = "texts"
"""The name of the run that blanks words."""
FIRST_ID: Final = UUID(int=0)


class Run(NamedTuple):
    """Everybody up to `after` is done. `finished_at` is None while a run is under way."""

    after: UUID
    purged: int
    finished_at: datetime | None


# --- how far it has come --------------------------------------------------------------------------------------------


async def lock_run(connection: asyncpg.Connection, now: datetime, name: str = LOG) -> Run | None:
    """The run of this name, locked until the transaction ends; None while another process holds it."""
    await connection.execute(
        """
        INSERT INTO retention_runs (name, after_id, purged, started_at, updated_at)
        VALUES ($1, $2, 0, $3, $3)
        ON CONFLICT DO NOTHING
        """,
        name,
        FIRST_ID,
        now,
    )
    row = await connection.fetchrow(
        "SELECT after_id, purged, finished_at FROM retention_runs WHERE name = $1 FOR UPDATE SKIP LOCKED",
        name,
    )
    return None if row is None else Run(*row)


async def begin_anew(connection: asyncpg.Connection, now: datetime, name: str = LOG) -> None:
    """From the first customer again. The run is locked."""
    await connection.execute(
        """
        UPDATE retention_runs
        SET after_id = $2, purged = 0, started_at = $3, updated_at = $3, finished_at = NULL
        WHERE name = $1
        """,
        name,
        FIRST_ID,
        now,
    )


async def advance(connection: asyncpg.Connection, run: Run, now: datetime, name: str = LOG) -> None:
    """Write down how far it has come, in the transaction that made it so."""
    await connection.execute(
        """
        UPDATE retention_runs SET after_id = $2, purged = $3, updated_at = $4, finished_at = $5 WHERE name = $1
        """,
        name,
        run.after,
        run.purged,
        now,
        run.finished_at,
    )


# --- what is old ----------------------------------------------------------------------------------------------------


async def customers_after(connection: asyncpg.Connection, after: UUID, limit: int) -> list[UUID]:
    """The next customers in order."""
    rows = await connection.fetch(
        "SELECT customer_id FROM customer_states WHERE customer_id > $1 ORDER BY customer_id LIMIT $2",
        after,
        limit,
    )
    return [row[0] for row in rows]


_OLD: Final = """
FROM json_to_recordset($2::text::json) AS kept (kind text, until timestamptz)
JOIN touchpoints t ON t.kind = kept.kind AND t.occurred_at < kept.until AND t.received_at < kept.until
WHERE t.customer_id = ANY ($1::uuid[]) AND t.purged_at IS NULL
"""


async def with_old_rows(
    connection: asyncpg.Connection, customer_ids: Sequence[UUID], cutoffs: str
) -> list[UUID]:
    """Those of these customers who have anything old, in order. `cutoffs` as JSON: kind and until when it goes."""
    rows = await connection.fetch(
        f"SELECT DISTINCT t.customer_id {_OLD} ORDER BY t.customer_id",
        customer_ids,
        cutoffs,
    )
    return [row[0] for row in rows]


class Place(NamedTuple):
    """Where a row stands among a customer's old ones."""

    occurred_at: datetime
    source: str
    id: str
    origin_customer_id: UUID


BEFORE_ALL: Final = Place(EPOCH, "", "", FIRST_ID)

# What is tied to an old row comes along, however young it is.
_TIED_ROWS: Final = f"""
SELECT t.source, t.id, t.origin_customer_id, t.occurred_at, t.received_at, t.kind, t.value_minor, t.thread,
  t.own_component, t.own_weight, t.properties::text AS properties, {standing("t")} AS stands
FROM touchpoints t
WHERE t.customer_id = $1 AND t.purged_at IS NULL AND (
  (t.source, t.id, t.origin_customer_id) IN (SELECT * FROM unnest($2::text[], $3::text[], $4::uuid[]))
  OR t.thread = ANY ($5::text[]) AND {TIED}
)
"""  # noqa: S608 - constants of this package


class OldRow(NamedTuple):
    """A row and its natural key."""

    origin_customer_id: UUID
    row: Old


async def old_rows(
    connection: asyncpg.Connection, customer_id: UUID, cutoffs: str, after: Place, limit: int
) -> tuple[list[OldRow], Place | None]:
    """Up to `limit` old rows of a locked customer behind `after`, and all that are tied to them; and where the next
    ones begin, None: these were the last.
    """
    old = await connection.fetch(
        f"""
        SELECT t.occurred_at, t.source, t.id, t.origin_customer_id, t.thread {_OLD}
          AND (t.occurred_at, t.source, t.id, t.origin_customer_id) > ($3, $4, $5, $6)
        ORDER BY t.occurred_at, t.source, t.id, t.origin_customer_id
        LIMIT $7
        """,
        [customer_id],
        cutoffs,
        *after,
        limit,
    )
    rows = await connection.fetch(
        _TIED_ROWS,
        customer_id,
        [row["source"] for row in old],
        [row["id"] for row in old],
        [row["origin_customer_id"] for row in old],
        list({row["thread"] for row in old if row["thread"] is not None}),
    )
    following = Place(*tuple(old[-1])[:4]) if len(old) == limit else None
    return [_old_row(row) for row in rows], following


def _old_row(row: asyncpg.Record) -> OldRow:
    return OldRow(
        row["origin_customer_id"],
        Old(
            row["source"],
            row["id"],
            row["occurred_at"],
            row["received_at"],
            row["kind"],
            row["stands"],
            fact_of_row(row),
        ),
    )


def cutoffs_json(retention: Retention, now: datetime) -> str:
    """Until when each kind goes."""
    return to_json([{"kind": kind, "until": now - kept} for kind, kept in retention.items()]).decode()


# --- what stays -----------------------------------------------------------------------------------------------------


async def openings(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> dict[UUID, OpeningState]:
    """The sums of what was purged of these customers' logs; of whom nothing was, there is none."""
    found: dict[UUID, OpeningState] = {}
    for row in await _openings(connection, customer_ids):
        one, known = _opening(row), found.get(row["customer_id"])
        found[row["customer_id"]] = one if known is None else known.plus(one)
    return found


async def openings_by_origin(connection: asyncpg.Connection, customer_id: UUID) -> dict[UUID, OpeningState]:
    """Those of one customer, apart by whose touchpoints they were first."""
    rows = await _openings(connection, [customer_id])
    return {row["origin_customer_id"]: _opening(row) for row in rows}


async def _openings(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> Sequence[asyncpg.Record]:
    rows: Sequence[asyncpg.Record] = await connection.fetch(
        """
        SELECT customer_id, origin_customer_id, state, until, known_until, touchpoints
        FROM opening_states
        WHERE customer_id = ANY ($1::uuid[])
        """,
        customer_ids,
    )
    return rows


def _opening(row: asyncpg.Record) -> OpeningState:
    return OpeningState(State.decode(row["state"]), row["until"], row["known_until"], row["touchpoints"])


async def opening(connection: asyncpg.Connection, customer_id: UUID) -> OpeningState | None:
    """That of one customer."""
    return (await openings(connection, [customer_id])).get(customer_id)


def opening_state(opening: OpeningState | None) -> State:
    """What to fold on from."""
    return EMPTY if opening is None else opening.state


async def hollow(
    connection: asyncpg.Connection, customer_id: UUID, gone: Sequence[OldRow], now: datetime
) -> None:
    """Leave nothing of these rows but their natural keys, kinds, times and the hashes of their bodies.

    The connection may change append-only tables. A void's marker goes: what it took back counts nowhere any more.
    """
    keys: list[Any] = [
        customer_id,
        [one.row.source for one in gone],
        [one.row.id for one in gone],
        [one.origin_customer_id for one in gone],
    ]
    wanted = "unnest($2::text[], $3::text[], $4::uuid[]) AS gone (source, id, origin_customer_id)"
    same = """x.customer_id = $1 AND x.source = gone.source AND x.id = gone.id
          AND x.origin_customer_id = gone.origin_customer_id"""
    await connection.execute(
        f"""
        UPDATE touchpoints x
        SET purged_at = $5, channel = NULL, amount_minor = NULL, currency = NULL, exchange_rate = NULL,
          value_minor = NULL, thread = NULL, description = NULL, items = NULL, properties = NULL,
          own_component = NULL, own_weight = NULL, outcome = 'null'
        FROM {wanted}
        WHERE {same}
        """,  # noqa: S608 - our own words
        *keys,
        now,
    )
    await connection.execute(
        f"DELETE FROM touchpoint_voids x USING {wanted} WHERE {same}",  # noqa: S608 - our own words
        *keys,
    )


async def keep_sum(
    connection: asyncpg.Connection, customer_id: UUID, sums: Mapping[UUID, OpeningState], now: datetime
) -> None:
    """Write what the purged part of a locked customer's log comes to, by whose touchpoints they were first."""
    for origin, opening in sums.items():
        await connection.execute(
            """
            INSERT INTO opening_states (
              customer_id, origin_customer_id, state, until, known_until, touchpoints, updated_at
            )
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (customer_id, origin_customer_id) DO UPDATE
            SET state = excluded.state, until = excluded.until, known_until = excluded.known_until,
              touchpoints = excluded.touchpoints, updated_at = excluded.updated_at
            """,
            customer_id,
            origin,
            opening.state.encode(),
            *opening[1:],
            now,
        )
    await touch_state(connection, customer_id)


async def touch_state(connection: asyncpg.Connection, customer_id: UUID) -> None:
    """Every writer of a log rewrites the state row: who read it before looks again (storage/recording.py)."""
    await connection.execute("UPDATE customer_states SET state = state WHERE customer_id = $1", customer_id)
