"""Small chores beside the requests: dropping what is only kept for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import structlog

from app.domain.problems import Unavailable
from app.domain.rates import MOST_DEBT_SECONDS
from app.storage import idempotency, rates
from app.storage.database import Database
from app.usecases.answer_once import KEPT_FOR

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 600.0
MOST_AT_ONCE: Final = 1000
# Longer than anybody can be in debt.
RATES_KEPT_FOR: Final = 2 * timedelta(seconds=MOST_DEBT_SECONDS)


async def keep_house(database: Database, now: datetime) -> int:
    """Drop kept answers that no retry may ask for any more, and rates that owe nothing; how many were dropped."""
    answers = await _all_of(database, idempotency.forget, now - KEPT_FOR)
    return answers + await _all_of(database, rates.forget, now - RATES_KEPT_FOR)


async def _all_of(
    database: Database,
    forget: Callable[[asyncpg.Connection, datetime, int], Awaitable[int]],
    before: datetime,
) -> int:
    dropped = 0
    while True:
        async with database.hot_reading() as connection:
            gone = await forget(connection, before, MOST_AT_ONCE)
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
