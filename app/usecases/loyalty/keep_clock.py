"""The clock of loyalty, again and again beside the requests."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from app.storage.database import Database
from app.usecases.loyalty.run_clock import Clocked, passes, run_clock
from app.usecases.models.active_model import ActiveModel

log = structlog.get_logger(__name__)


async def keep_clock(
    database: Database,
    model: ActiveModel,
    pause_seconds: float,
    tell: Callable[[Clocked], None] = lambda _done: None,
) -> None:
    """`run_clock` every `pause_seconds`, the first after one pause, until cancelled.

    A database that is away is tried again next time. `tell` is told of each run that came to its end.
    """
    away = False
    while True:
        await asyncio.sleep(pause_seconds)
        try:
            done = await run_clock(database, model.current, datetime.now(UTC))
        except Exception as error:
            if not passes(error):
                log.exception("loyalty_not_clocked")
            elif not away:
                log.warning("loyalty_not_clocked", error=type(error).__name__)
            away = True
        else:
            away = False
            tell(done)
            if done != Clocked():
                log.info("loyalty_clocked", **done.counts())
