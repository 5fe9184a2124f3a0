"""The bands of customers of whom nothing is heard: drawn anew when their time has come, and each change told once.

Reads who is due from an index, and writes by customer: rows that somebody else holds are left to them or to the next
sweep, so any number of workers may sweep at once. What changed, the row that says so, and the time of the next look are
one transaction: a worker that is killed leaves all of it or nothing, and the row is due until it is done.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.problems import Unavailable
from app.domain.silence import draw_exactly
from app.domain.touchpoints import seconds
from app.storage import models, states
from app.storage.database import Database, is_canceled, is_retryable
from app.storage.states import FIRST_DUE
from app.usecases.models.active_model import ActiveModel
from app.usecases.tell_silence import tell_silence

log = structlog.get_logger(__name__)

PAGE: Final = 100
"""Customers in one transaction: some tens of milliseconds."""
MOST_REDRAWN: Final = 10_000
"""Customers of another model who are drawn anew in one sweep; the others wait for the next."""


SETTLED: Final = timedelta(minutes=1)
"""After a publication: by then every process has seen it, and nobody writes states of the earlier model any more."""


@dataclass(slots=True)
class Swept:
    """What a sweep did: bands that changed, bands that were looked at and hold, bands of another model drawn anew.

    `failed`: customers who could not be drawn and stay due; the log says why.
    """

    changed: int = 0
    held: int = 0
    redrawn: int = 0
    failed: int = 0

    def add(self, other: "Swept") -> None:
        """Count what another page did."""
        self.changed += other.changed
        self.held += other.held
        self.redrawn += other.redrawn
        self.failed += other.failed


async def sweep_bands(database: Database, model: Model, now: datetime, page: int = PAGE) -> Swept:
    """Draw the band of everybody who is due at `now`, then of those whom another model scored.

    Raises what the database raises when it is away; what was swept by then stays so.
    """
    swept = Swept()
    for version in model.versions:
        after, full = FIRST_DUE, True
        while full:
            async with database.hot_reading() as connection:
                due = await states.due(connection, version, now, page, after)
            swept.add(await _swept(database, [one.customer_id for one in due], model, now))
            full = len(due) == page
            after = due[-1] if due else after
    while swept.redrawn < MOST_REDRAWN:
        async with database.hot_reading() as connection:
            outdated = await states.outdated(connection, model.versions, page)
        done = await _swept(database, outdated, model, now)
        swept.add(done)
        # Nothing done: what is left is held by others, or cannot be drawn.
        if len(outdated) < page or not done.redrawn:
            break
    if model.earlier:
        async with database.hot_transaction() as connection:
            retired = await models.retire_unused(connection, now - SETTLED)
        if retired:
            log.info("models_retired", versions=retired)
    return swept


async def keep_sweeping(
    database: Database,
    model: ActiveModel,
    pause_seconds: float,
    watch: Callable[[Swept], None] = lambda _swept: None,
) -> None:
    """`sweep_bands` every `pause_seconds`, the first after one pause, until cancelled.

    A database that is away is tried again next time. `watch` is told of each sweep that came to its end.
    """
    away = False
    while True:
        await asyncio.sleep(pause_seconds)
        try:
            swept = await sweep_bands(database, model.current, datetime.now(UTC))
        except Exception as error:
            if not _passes(error):
                log.exception("bands_not_swept")
            elif not away:
                log.warning("bands_not_swept", error=type(error).__name__)
            away = True
        else:
            away = False
            watch(swept)
            if swept != Swept():
                log.info(
                    "bands_swept",
                    changed=swept.changed,
                    held=swept.held,
                    redrawn=swept.redrawn,
                    failed=swept.failed,
                )


def _passes(error: BaseException) -> bool:
    return isinstance(error, Unavailable) or is_retryable(error) or is_canceled(error)


async def _swept(database: Database, customer_ids: Sequence[UUID], model: Model, now: datetime) -> Swept:
    """One page in one transaction; if something in it cannot be drawn, each customer alone."""
    if not customer_ids:
        return Swept()
    try:
        async with database.hot_transaction() as connection:
            return await _draw(connection, customer_ids, model, now)
    except Exception as error:
        if _passes(error):
            raise
        if len(customer_ids) == 1:
            log.exception("band_not_drawn", customer_id=str(customer_ids[0]))
            return Swept(failed=1)
    swept = Swept()
    for customer_id in customer_ids:
        swept.add(await _swept(database, [customer_id], model, now))
    return swept


async def _draw(
    connection: asyncpg.Connection, customer_ids: Sequence[UUID], model: Model, now: datetime
) -> Swept:
    swept = Swept()
    locked = await states.lock_free(connection, customer_ids)
    # Whose half-lives this process has not heard of yet, those somebody else looks after.
    locked = {who: row for who, row in locked.items() if row.state.is_empty or model.reading(row.state.form)}
    alive = [row for row in locked.values() if row.merged_into is None and row.erased_at is None]
    changed = await tell_silence(connection, alive, model, now)
    # Nobody looks at the others any more.
    drawn = {row.customer_id: row.drawn._replace(model=None, until=None) for row in locked.values()}
    swept.held = len(locked) - len(alive)
    for row in alive:
        await asyncio.sleep(0)
        own = model.of(row.state)
        health = score(row.state, seconds(now), own)
        drawn[row.customer_id] = draw_exactly(row.state, health, now, own)
        if row.drawn.model != own.version:
            swept.redrawn += 1
        elif row.customer_id in changed:
            swept.changed += 1
        else:
            swept.held += 1
    await states.redraw(connection, drawn)
    return swept
