"""What a simulation reads: the purchases of some customers, what was given back of them, and what they stood at."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.storage.touchpoints import standing

_PREFETCH: Final = 1_000

# Each customer's own, in order of time: along ix_touchpoints_timeline.
_MONEY: Final = f"""
SELECT t.customer_id, t.source, t.id, t.kind, t.occurred_at, t.amount_minor, t.currency, t.exchange_rate, t.channel,
  t.items::text AS items, t.thread
FROM unnest($1::uuid[]) WITH ORDINALITY AS c (id, place)
CROSS JOIN LATERAL (
  SELECT * FROM touchpoints x
  WHERE x.customer_id = c.id AND x.kind IN ('purchase', 'refund', 'order_cancelled')
    AND x.occurred_at >= $2 AND x.occurred_at < $3
  ORDER BY x.occurred_at, x.id
) AS t
WHERE t.customer_id = ANY ($1::uuid[]) AND {standing("t")}
ORDER BY c.place, t.occurred_at, t.id
"""  # noqa: S608 - a condition of this package

_BUYERS: Final = f"""
SELECT c.id, a.tier, c.tags, (
    SELECT t.occurred_at FROM touchpoints t
    WHERE t.customer_id = c.id AND t.kind = 'purchase' AND {standing("t")}
    ORDER BY t.occurred_at LIMIT 1
  ) AS first_purchase_at, (
    SELECT coalesce(sum(e.points - e.clawed - e.forgiven - e.indebted), 0)::bigint FROM loyalty_earns e
    WHERE e.customer_id = c.id AND e.program = $2 AND e.occurred_at >= $3 AND e.occurred_at < $4
      AND (e.key LIKE 'order:%' OR e.key LIKE 'purchase:%')
  ) AS recorded_points
FROM customers c LEFT JOIN loyalty_accounts a ON a.customer_id = c.id AND a.program = $2
WHERE c.id = ANY ($1::uuid[])
"""  # noqa: S608 - a condition of this package

# By the day: a customer has no more rows than days, however much they bought.
_QUALIFYING: Final = """
SELECT customer_id, min(qualified_at), sum(qualifying)::bigint FROM loyalty_entries
WHERE customer_id = ANY ($1::uuid[]) AND program = $2 AND qualifying <> 0
  AND qualified_at >= $3 AND qualified_at < $4
GROUP BY customer_id, date_trunc('day', qualified_at AT TIME ZONE 'UTC')
ORDER BY 1, 2
"""


class Money(NamedTuple):
    """A row of the log that moves money."""

    customer_id: UUID
    source: str
    id: str
    kind: str
    occurred_at: datetime
    amount_minor: int
    currency: str | None
    exchange_rate: Decimal | None
    channel: str | None
    items: list[dict[str, Any]]
    thread: str | None


class KnownBuyer(NamedTuple):
    """What is recorded of a customer: `recorded_points` of purchases of the time that is asked about, less refunds."""

    customer_id: UUID
    tier: str | None
    tags: Sequence[str]
    first_purchase_at: datetime | None
    recorded_points: int


async def money_of(
    connection: asyncpg.Connection,
    customer_ids: Sequence[UUID],
    since: datetime,
    until: datetime,
    most: int,
) -> AsyncIterator[tuple[list[Money], bool]]:
    """The rows in [since, until) of each of these customers who has any, in order of time, at most `most` of one, and
    whether these are all. Needs a transaction: it reads in chunks.
    """
    gathered: list[Money] = []
    is_whole = True
    async for row in connection.cursor(_MONEY, customer_ids, since, until, prefetch=_PREFETCH):
        if gathered and row["customer_id"] != gathered[0].customer_id:
            yield gathered, is_whole
            gathered, is_whole = [], True
        if len(gathered) < most:
            gathered.append(_money(row))
        else:
            is_whole = False
    if gathered:
        yield gathered, is_whole


def _money(row: asyncpg.Record) -> Money:
    items = [] if row["items"] is None else json.loads(row["items"])
    return Money._make((*row[:5], row["amount_minor"] or 0, *row[6:9], items, row["thread"]))


async def buyers(
    connection: asyncpg.Connection,
    customer_ids: Sequence[UUID],
    program: str,
    since: datetime,
    until: datetime,
) -> dict[UUID, KnownBuyer]:
    """What is recorded of these customers."""
    rows = await connection.fetch(_BUYERS, customer_ids, program, since, until)
    return {row[0]: KnownBuyer(*row) for row in rows}


async def qualified(
    connection: asyncpg.Connection,
    customer_ids: Sequence[UUID],
    program: str,
    since: datetime,
    until: datetime,
) -> dict[UUID, list[tuple[datetime, int]]]:
    """What counted towards the tiers of these customers in [since, until), day by day."""
    found: dict[UUID, list[tuple[datetime, int]]] = {}
    for customer_id, at, points in await connection.fetch(_QUALIFYING, customer_ids, program, since, until):
        found.setdefault(customer_id, []).append((at, points))
    return found
