"""One look at every customer a day, that can be killed at any time: for what goes because it is old."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.storage.database import Database
from app.storage.privacy import purging
from app.storage.privacy.purging import Run

PAGE: Final = 200
"""Customers that one step of a run looks at."""
EVERY: Final = timedelta(days=1)
"""From the end of one run to the beginning of the next."""


class Walked(NamedTuple):
    """What was taken: rows, of so many customers."""

    rows: int
    customers: int


async def walk(
    database: Database,
    name: str,
    now: datetime,
    look: Callable[[asyncpg.Connection, Sequence[UUID]], Awaitable[list[UUID]]],
    take: Callable[[UUID], Awaitable[int]],
    *,
    page: int = PAGE,
) -> Walked:
    """Go on with the run of this name, or begin one when the last ended a day ago; to its end.

    `look` picks those of a page of customers who have something old, `take` takes it from one of them in transactions
    of its own and says how many rows it were. Each step of the run is a transaction too, so whoever kills it loses
    nothing. Of several processes one walks. Raises what the database raises; what was taken stays so.
    """
    rows = customers = 0
    while True:
        async with database.hot_transaction() as connection:
            run = await purging.lock_run(connection, now, name)
            if run is None:
                return Walked(rows, customers)
            if run.finished_at is not None:
                if now - run.finished_at < EVERY:
                    return Walked(rows, customers)
                await purging.begin_anew(connection, now, name)
                run = Run(purging.FIRST_ID, 0, None)
            ids = await purging.customers_after(connection, run.after, page)
            old = await look(connection, ids) if ids else []
        gone = 0
        for customer_id in old:
            taken = await take(customer_id)
            gone, rows, customers = gone + taken, rows + taken, customers + bool(taken)
        async with database.hot_transaction() as connection:
            again = await purging.lock_run(connection, now, name)
            if again is None or again.after != run.after:
                # Another process took this page too, which did no harm, and was faster.
                return Walked(rows, customers)
            ended = len(ids) < page
            after = ids[-1] if ids else run.after
            done = Run(after, run.purged + gone, now if ended else None)
            await purging.advance(connection, done, now, name)
        if ended:
            return Walked(rows, customers)
