"""The clocks of complaints, looked at when their time has come: warnings, breaches, and offers that nobody answered.

As with the bands (usecases/sweep_bands.py): who is due comes from an index, customers that somebody else holds are left
to them or to the next look, and what is found, the row that says so and the time of the next look are one transaction.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.domain.feedback.calendars import Calendar
from app.domain.feedback.complaint_records import Change, Complaint, Doing, after
from app.domain.feedback.complaints import closes_itself_at, looked, moved
from app.domain.health.model import Model
from app.domain.problems import Unavailable
from app.domain.silence import SOURCE
from app.storage import calendars, complaints, states
from app.storage.complaints import FIRST_PLACE, Place
from app.storage.database import Database, is_canceled, is_retryable
from app.usecases.complaints.writing import Writing, write_all
from app.usecases.models.active_model import ActiveModel

log = structlog.get_logger(__name__)

PAGE: Final = 100


@dataclass(slots=True)
class Watched:
    """What a look at the clocks found. `failed`: complaints that stay due; the log says why."""

    warned: int = 0
    breached: int = 0
    closed: int = 0
    failed: int = 0

    def add(self, other: "Watched") -> None:
        """Count what another page did."""
        self.warned += other.warned
        self.breached += other.breached
        self.closed += other.closed
        self.failed += other.failed


async def watch_complaints(database: Database, model: Model, now: datetime, page: int = PAGE) -> Watched:
    """Tell what the clocks of all complaints that are due have to say at `now`.

    Raises what the database raises when it is away; what was told by then stays so.
    """
    watched = Watched()
    after_place, full = FIRST_PLACE, True
    while full:
        async with database.hot_reading() as connection:
            due = await complaints.due(connection, now, page, after_place)
        watched.add(await _watched(database, due, model, now))
        full = len(due) == page
        after_place = due[-1] if due else after_place
    return watched


async def keep_watching(
    database: Database,
    model: ActiveModel,
    pause_seconds: float,
    tell: Callable[[Watched], None] = lambda _watched: None,
) -> None:
    """`watch_complaints` every `pause_seconds`, the first after one pause, until cancelled."""
    away = False
    while True:
        await asyncio.sleep(pause_seconds)
        try:
            watched = await watch_complaints(database, model.current, datetime.now(UTC))
        except Exception as error:
            if not _passes(error):
                log.exception("complaints_not_watched")
            elif not away:
                log.warning("complaints_not_watched", error=type(error).__name__)
            away = True
        else:
            away = False
            tell(watched)
            if watched != Watched():
                log.info(
                    "complaints_watched",
                    warned=watched.warned,
                    breached=watched.breached,
                    closed=watched.closed,
                    failed=watched.failed,
                )


def _passes(error: BaseException) -> bool:
    return isinstance(error, Unavailable) or is_retryable(error) or is_canceled(error)


async def _watched(database: Database, due: Sequence[Place], model: Model, now: datetime) -> Watched:
    """One page in one transaction; if something in it cannot be told, each complaint alone."""
    if not due:
        return Watched()
    try:
        async with database.hot_transaction() as connection:
            return await _look(connection, due, model, now)
    except Exception as error:
        if _passes(error):
            raise
        if len(due) == 1:
            log.exception("complaint_not_watched", complaint_id=str(due[0].id))
            return Watched(failed=1)
    watched = Watched()
    for one in due:
        watched.add(await _watched(database, [one], model, now))
    return watched


async def _look(connection: asyncpg.Connection, due: Sequence[Place], model: Model, now: datetime) -> Watched:
    holders = await _lock_free(connection, sorted({one.customer_id for one in due}))
    erased = [told_by for told_by, holder in holders.items() if holder is None]
    if erased:
        await complaints.forget_due(connection, erased)
    alive = {told_by: holder for told_by, holder in holders.items() if holder is not None}
    if not alive:
        return Watched()
    # What they were before the lock does not count any more.
    found = await complaints.still_due(connection, alive, [one.id for one in due], now)
    by_code = await calendars.by_code(connection, sorted({one.calendar for one in found}))
    watched, writings = Watched(), []
    for complaint in found:
        await asyncio.sleep(0)
        change = _change(complaint, by_code, now, watched)
        if change is not None:
            writings.append(Writing(change, alive[complaint.customer_id]))
    if writings:
        await write_all(connection, writings, model, now)
    return watched


async def _lock_free(
    connection: asyncpg.Connection, customer_ids: Sequence[UUID]
) -> Mapping[UUID, UUID | None]:
    """Into whose log goes what is told of each of these customers, both locked; None: of an erased one, nothing is.

    Those whom somebody holds are missing.
    """
    rows = await states.lock_free(connection, customer_ids)
    survivors = sorted(
        {row.merged_into for row in rows.values() if row.merged_into is not None} - rows.keys()
    )
    others = await states.lock_free(connection, survivors) if survivors else {}
    every = rows | others
    holders: dict[UUID, UUID | None] = {}
    for customer_id, row in rows.items():
        holder = row if row.merged_into is None else every.get(row.merged_into)
        if holder is not None:
            gone = row.erased_at is not None or holder.erased_at is not None
            holders[customer_id] = None if gone else holder.customer_id
    return holders


def _change(
    complaint: Complaint, by_code: Mapping[str, Calendar], now: datetime, watched: Watched
) -> Change | None:
    case = complaint.case
    closes_at = closes_itself_at(case)
    if closes_at is not None and closes_at <= now:
        deed = moved(
            case,
            "closed",
            at=now,
            expected_version=case.version,
            calendar=by_code[complaint.calendar],
            reason="no_answer",
        )
        doing = Doing("transition", SOURCE, now, "no_answer", visible=True, details={"from": case.state})
        watched.closed += 1
    else:
        deed = looked(case, now)
        doing = Doing("looked", SOURCE, now)
        if not deed.events:
            return None
    for event in deed.events:
        if event.notice == "warning":
            watched.warned += 1
        else:
            watched.breached += 1
    return after(complaint, deed, doing)
