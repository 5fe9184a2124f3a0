"""What each key has used of its rate, summed over all processes: one row for each key."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import asyncpg


class Used(NamedTuple):
    """What one process let a key use: in seconds of its rate, and since when (Unix seconds)."""

    since: float
    seconds: float


async def merge(connection: asyncpg.Connection, used: Mapping[str, Used], now: datetime) -> dict[str, float]:
    """Add what keys have used to what is known of them; the arrivals that follow, with that of all processes."""
    ordered = sorted(used)  # rows are locked in one order, whoever merges
    rows = await connection.fetch(
        """
        WITH used AS (
          SELECT * FROM unnest($1::text[], $2::float8[], $3::float8[]) AS u (api_key, since, seconds)
        )
        INSERT INTO rate_usage AS known (api_key, arrival, updated_at)
        SELECT api_key, since + seconds, $4 FROM used ORDER BY api_key
        ON CONFLICT (api_key) DO UPDATE
        SET arrival = greatest(
            excluded.arrival,
            known.arrival + (SELECT seconds FROM used WHERE used.api_key = excluded.api_key)
          ),
          updated_at = excluded.updated_at
        RETURNING api_key, arrival
        """,
        ordered,
        [used[key].since for key in ordered],
        [used[key].seconds for key in ordered],
        now,
    )
    return dict(rows)


async def forget(connection: asyncpg.Connection, before: datetime, limit: int) -> int:
    """Drop at most `limit` rows that nobody has added to since `before`; how many were dropped."""
    status = await connection.execute(
        """
        DELETE FROM rate_usage
        WHERE updated_at < $1 AND api_key IN (
          SELECT api_key FROM rate_usage WHERE updated_at < $1 ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        before,
        limit,
    )
    return int(status.rpartition(" ")[2])
