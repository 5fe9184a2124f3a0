"""What was recorded under the lock becomes rows of the log: the only place that adds any."""

from collections.abc import Collection

import asyncpg

from app.domain.recording import CustomerLog
from app.storage import touchpoints


class LostRace(Exception):
    """A row stood in the log that the locked read had not shown: somebody wrote without the lock."""


async def write_rows(connection: asyncpg.Connection, logs: Collection[CustomerLog]) -> int:
    """Add all that is fresh in `logs`, whose state rows are locked; returns how many rows. Raises LostRace."""
    rows = [(log.customer_id, point, kept.outcome) for log in logs for point, kept in log.fresh]
    if rows and await touchpoints.insert(connection, rows) != len(rows):
        raise LostRace
    return len(rows)
