"""The words of old answers and complaints go; what they came to stays. See walk_customers for how it can be killed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.storage import states
from app.storage.database import Database
from app.storage.privacy import old_texts, purging
from app.storage.privacy.role import as_privacy_role
from app.usecases.privacy.walk_customers import PAGE, Walked, walk

ROWS: Final = 1000
"""Rows of each table that one transaction blanks."""


async def purge_texts(
    database: Database, kept: timedelta, now: datetime, *, page: int = PAGE, rows: int = ROWS
) -> Walked:
    """Blank what was written so long ago: texts of answers, their follow-ups' notes, words of closed complaints.

    Once a day, to the end of the run. Raises what the database raises; what was blanked stays so.
    """
    until = now - kept

    async def look(connection: asyncpg.Connection, ids: Sequence[UUID]) -> list[UUID]:
        return await old_texts.with_old_words(connection, ids, until)

    async def take(customer_id: UUID) -> int:
        total = 0
        while True:
            count = await _blank_some(database, customer_id, until, rows)
            total += count
            if not count:
                return total

    return await walk(database, purging.TEXTS, now, look, take, page=page)


async def _blank_some(database: Database, customer_id: UUID, until: datetime, rows: int) -> int:
    async with database.hot_transaction() as connection:
        locked = (await states.lock(connection, [customer_id])).get(customer_id)
        # Of a merged customer everything is elsewhere, of an erased one it is gone.
        if locked is None or locked.merged_into is not None or locked.erased_at is not None:
            return 0
        async with as_privacy_role(connection):
            count = await old_texts.blank(connection, customer_id, until, rows)
        if count:
            await purging.touch_state(connection, customer_id)
        return count
