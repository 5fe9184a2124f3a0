"""What a shop owes in points: sums over all accounts of a programme, now or at a time in the past.

These read and never write (schema rule 7: aggregates). Now is read from the lots alone. The past is the present less
what was written since: entries are never changed, so the answer never does either, and it costs as much as it is old.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

# What ends with November expires in November: the last instant before the end says the month. Points of a lot whose
# time ran out are owed only while a hold keeps them.
NOW: Final = """
SELECT to_char((l.expires_at - interval '1 microsecond') AT TIME ZONE $3::text, 'YYYY-MM') AS month,
  sum(CASE WHEN l.expires_at <= $2 THEN l.held ELSE l.remaining END)::bigint AS points
FROM loyalty_lots l
WHERE l.program = $1 AND l.remaining > 0
GROUP BY 1
"""

_DEBT_NOW: Final = (
    "SELECT coalesce(sum(debt), 0)::bigint FROM loyalty_accounts WHERE program = $1 AND debt > 0"
)

# A lot that stood at $2 is one that stands now, or one from which points went since.
PAST: Final = """
WITH since AS (
  SELECT e.customer_id, (m.movement ->> 0)::integer AS lot,
    sum((m.movement ->> 2)::bigint * CASE WHEN m.movement ->> 1 IN ('grant', 'restore', 'move_back') THEN 1 ELSE -1 END)
      AS points
  FROM loyalty_entries e CROSS JOIN LATERAL jsonb_array_elements(e.movements) AS m (movement)
  WHERE e.program = $1 AND e.at > $2
  GROUP BY 1, 2
), held AS (
  SELECT h.customer_id, (k.lock ->> 0)::integer AS lot, sum((k.lock ->> 1)::bigint) AS points
  FROM loyalty_holds h CROSS JOIN LATERAL jsonb_array_elements(h.locks) AS k (lock)
  WHERE h.program = $1 AND h.opened_at <= $2 AND (h.resolved_at IS NULL OR h.resolved_at > $2)
  GROUP BY 1, 2
), lots AS (
  SELECT l.customer_id, l.lot, l.expires_at, l.remaining - coalesce(s.points, 0) AS remaining
  FROM loyalty_lots l LEFT JOIN since s ON s.customer_id = l.customer_id AND s.lot = l.lot
  WHERE l.program = $1 AND (l.remaining > 0 OR s.lot IS NOT NULL)
)
SELECT to_char((l.expires_at - interval '1 microsecond') AT TIME ZONE $3::text, 'YYYY-MM') AS month,
  sum(CASE WHEN l.expires_at <= $2 THEN least(coalesce(h.points, 0), l.remaining) ELSE l.remaining END)::bigint
    AS points
FROM lots l LEFT JOIN held h ON h.customer_id = l.customer_id AND h.lot = l.lot
GROUP BY 1
"""

_DEBT_SINCE: Final = """
SELECT coalesce(sum(debt_change), 0)::bigint FROM loyalty_entries WHERE program = $1 AND at > $2
"""


class Owed(NamedTuple):
    """Points by month of expiry (YYYY-MM, None: never) in the programme's zone, and what customers owe the shop."""

    by_month: Mapping[str | None, int]
    debt: int


async def owed(connection: asyncpg.Connection, program: str, now: datetime, zone: str) -> Owed:
    """What is owed at `now`, a time after all that is written."""
    rows = await connection.fetch(NOW, program, now, zone)
    return Owed(_months(rows), await connection.fetchval(_DEBT_NOW, program))


async def owed_at(connection: asyncpg.Connection, program: str, at: datetime, zone: str) -> Owed:
    """What was owed at `at`, by the time of entries. Needs one snapshot: a transaction that repeats its reads."""
    rows = await connection.fetch(PAST, program, at, zone)
    debt = await connection.fetchval(_DEBT_NOW, program)
    since = await connection.fetchval(_DEBT_SINCE, program, at)
    return Owed(_months(rows), debt - since)


def _months(rows: list[asyncpg.Record]) -> dict[str | None, int]:
    found = {month: points for month, points in rows if points}
    return {month: found[month] for month in sorted(found, key=lambda month: month or "9999-99")}
