"""What learning reads of the log: purchases and what became of them, customer by customer."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.domain.health.facts import Fact
from app.storage.touchpoints import fact_of_row, standing

_PREFETCH: Final = 2_000

# By the primary key, so that the rows of one customer come together and no sort is needed.
_ORDERS: Final = f"""
SELECT t.customer_id, t.source, t.id, t.kind, t.occurred_at, t.value_minor, t.thread, NULL AS own_component,
  NULL AS own_weight, NULL AS properties
FROM touchpoints t
WHERE t.customer_id = ANY ($1::uuid[]) AND t.kind IN ('purchase', 'refund', 'order_cancelled')
  AND t.occurred_at <= $2 AND {standing("t")}
ORDER BY t.customer_id
"""  # noqa: S608 - a condition of this package


async def orders_of(
    connection: asyncpg.Connection, customer_ids: Sequence[UUID], until: datetime
) -> AsyncIterator[list[Fact]]:
    """Purchases, refunds and cancellations up to `until`: a list for each of these customers who has any.

    Needs a transaction: it reads in chunks.
    """
    gathered, whose = list[Fact](), None
    async for row in connection.cursor(_ORDERS, customer_ids, until, prefetch=_PREFETCH):
        if row["customer_id"] != whose:
            if gathered:
                yield gathered
            gathered, whose = [], row["customer_id"]
        gathered.append(fact_of_row(row))
    if gathered:
        yield gathered


async def with_closed_complaints(connection: asyncpg.Connection, before: UUID, limit: int) -> list[UUID]:
    """The next customers with a resolved complaint below `before`, the highest id first."""
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT t.customer_id
        FROM touchpoints t
        WHERE t.kind = 'complaint_resolved' AND t.thread IS NOT NULL AND t.customer_id < $1 AND {standing("t")}
        ORDER BY t.customer_id DESC
        LIMIT $2
        """,  # noqa: S608 - a condition of this package
        before,
        limit,
    )
    return [row[0] for row in rows]
