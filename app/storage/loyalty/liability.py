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

# Three sums over lots whose time had not run out by then: what is left now, less what was written since, and what open
# holds kept of the others. Held points are never more than a lot has, so no lot need be looked at as a whole.
PAST: Final = """
SELECT to_char((expires_at - interval '1 microsecond') AT TIME ZONE $3::text, 'YYYY-MM') AS month,
  sum(points)::bigint AS points
FROM (
  SELECT expires_at, sum(remaining) AS points FROM loyalty_lots
  WHERE program = $1 AND remaining > 0 AND (expires_at IS NULL OR expires_at > $2)
  GROUP BY expires_at
  UNION ALL
  SELECT l.expires_at, (m.movement ->> 2)::bigint
    * CASE WHEN m.movement ->> 1 IN ('grant', 'restore', 'move_back') THEN -1 ELSE 1 END
  FROM loyalty_entries e
  CROSS JOIN LATERAL jsonb_array_elements(e.movements) AS m (movement)
  JOIN loyalty_lots l ON l.customer_id = e.customer_id AND l.program = e.program
    AND l.lot = (m.movement ->> 0)::integer
  WHERE e.program = $1 AND e.at > $2 AND (l.expires_at IS NULL OR l.expires_at > $2)
  UNION ALL
  SELECT l.expires_at, (k.lock ->> 1)::bigint
  FROM loyalty_holds h
  CROSS JOIN LATERAL jsonb_array_elements(h.locks) AS k (lock)
  JOIN loyalty_lots l ON l.customer_id = h.customer_id AND l.program = h.program
    AND l.lot = (k.lock ->> 0)::integer
  WHERE h.program = $1 AND h.opened_at <= $2 AND (h.resolved_at IS NULL OR h.resolved_at > $2)
    AND l.expires_at <= $2
) AS parts
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
