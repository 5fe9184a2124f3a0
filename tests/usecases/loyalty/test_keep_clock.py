"""The clock of loyalty beside the requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from app.api.metrics import Metrics
from app.storage.database import Database, unavailable
from app.usecases.loyalty.keep_clock import keep_clock
from app.usecases.loyalty.run_clock import Clocked
from app.usecases.models.active_model import ActiveModel
from tests.usecases.loyalty.clubs import Club


class Away(Database):
    """A database that refuses the first few times."""

    refusals = 3

    @asynccontextmanager
    async def hot_reading(self) -> AsyncIterator[Any]:
        self.refusals -= 1
        if self.refusals >= 0:
            raise unavailable(ConnectionError())
        async with super().hot_reading() as connection:
            yield connection


async def test_a_database_that_is_away_is_tried_again_and_what_was_done_is_counted(
    club: Club, database_url: str
) -> None:
    club.at(datetime.now(UTC) - timedelta(days=50))
    await club.open()
    (who,) = await club.members()
    await club.earn(who, 100, expires_at=club.now + timedelta(days=40))
    away = Away(database_url, pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=5)
    done: asyncio.Future[Clocked] = asyncio.get_running_loop().create_future()
    metrics = Metrics()

    def tell(clocked: Clocked) -> None:
        metrics.clocked(clocked)
        if not done.done():
            done.set_result(clocked)

    keeping = asyncio.create_task(keep_clock(away, ActiveModel(away), 0.01, tell))
    async with asyncio.timeout(60):
        assert await done == Clocked(looked=1, expired=1)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await away.close()
    assert away.refusals < 0
    text = metrics.render().decode()
    assert 'loyalty_clock_total{result="expired"} 1.0' in text
    assert "loyalty_clock_timestamp_seconds" in text
