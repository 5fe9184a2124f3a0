"""Small chores beside the requests: dropping what is only kept for a while."""

import asyncio
from datetime import UTC, datetime
from typing import Final

import structlog

from app.domain.problems import Unavailable
from app.storage import idempotency
from app.storage.database import Database
from app.usecases.answer_once import KEPT_FOR

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 600.0
MOST_AT_ONCE: Final = 1000


async def keep_house(database: Database, now: datetime) -> int:
    """Drop kept answers that no retry may ask for any more; how many were dropped."""
    dropped = 0
    while True:
        async with database.hot_reading() as connection:
            gone = await idempotency.forget(connection, now - KEPT_FOR, MOST_AT_ONCE)
        dropped += gone
        if gone < MOST_AT_ONCE:
            return dropped


async def keep_keeping_house(database: Database, pause_seconds: float = PAUSE_SECONDS) -> None:
    """`keep_house` now and then, until cancelled; a database that is away is tried again next time."""
    while True:
        await asyncio.sleep(pause_seconds)
        try:
            await keep_house(database, datetime.now(UTC))
        except Unavailable as problem:
            log.warning("house_not_kept", code=problem.code)
