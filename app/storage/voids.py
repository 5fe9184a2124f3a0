"""Taking a touchpoint back: its row in the log stays as it is, and a marker beside it says that it counts no more."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from app.domain.health.facts import Fact
from app.domain.recording import COUNTED
from app.domain.silence import SOURCE
from app.domain.touchpoints import Touchpoint
from app.storage.timeline import Logged
from app.storage.touchpoints import TIED, fact_of_row, standing


async def mark(
    connection: asyncpg.Connection,
    row: Logged,
    now: datetime,
    by: str,
    reason: str | None,
    outcome: dict[str, Any],
) -> None:
    """Write the marker. The customer's state row is locked."""
    await connection.execute(
        """
        INSERT INTO touchpoint_voids (
          customer_id, source, id, origin_customer_id, voided_at, voided_by, reason, outcome
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json)
        """,
        row.customer_id,
        row.source,
        row.id,
        row.origin_customer_id,
        now,
        by,
        reason,
        json.dumps(outcome, ensure_ascii=False, separators=(",", ":")),
    )


async def mark_counted(connection: asyncpg.Connection, rows: Sequence[tuple[UUID, Touchpoint, str]]) -> None:
    """Mark purchases as taken back that come in although their whole order has counted them: (customer_id, touchpoint,
    what is told of it). Their customers are locked, and the rows are new.
    """
    await connection.executemany(
        """
        INSERT INTO touchpoint_voids (
          customer_id, source, id, origin_customer_id, voided_at, voided_by, reason, outcome
        )
        VALUES ($1, $2, $3, $1, $4, $5, $6, $7::text::json)
        """,
        [
            (who, point.source, point.id, point.received_at, SOURCE, COUNTED, told)
            for who, point, told in rows
        ],
    )


async def others_of_thread(connection: asyncpg.Connection, row: Logged) -> list[Fact]:
    """The facts that stand in the thread of this row, itself left out."""
    if row.fact.thread is None:
        return []
    rows = await connection.fetch(
        f"""
        SELECT t.source, t.id, t.kind, t.occurred_at, t.value_minor, t.thread, t.own_component, t.own_weight,
          t.properties::text AS properties
        FROM touchpoints t
        WHERE t.customer_id = $1 AND t.thread = $2 AND {TIED} AND {standing("t")}
          AND (t.source, t.id, t.origin_customer_id) <> ($3, $4, $5)
        """,  # noqa: S608 - a condition of this package
        row.customer_id,
        row.fact.thread,
        row.source,
        row.id,
        row.origin_customer_id,
    )
    return [fact_of_row(found) for found in rows]


async def purchase_span(
    connection: asyncpg.Connection, row: Logged
) -> tuple[datetime | None, datetime | None]:
    """When the customer bought first and last, but for this row; each look ends at the first purchase that it meets."""
    ends = [
        await connection.fetchval(
            f"""
            SELECT t.occurred_at
            FROM touchpoints t
            WHERE t.customer_id = $1 AND t.kind = 'purchase' AND {standing("t")}
              AND (t.source, t.id, t.origin_customer_id) <> ($2, $3, $4)
            ORDER BY t.occurred_at {order}
            LIMIT 1
            """,  # noqa: S608 - a condition of this package and two fixed words
            row.customer_id,
            row.source,
            row.id,
            row.origin_customer_id,
        )
        for order in ("ASC", "DESC")
    ]
    return ends[0], ends[1]
