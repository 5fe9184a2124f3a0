"""What is old goes, a page of customers at a time, beside a running service.

Each customer is a transaction of its own and so is each step of the run: a purge that is killed goes on where it was,
and what it had begun is rolled back. Of a purged row its natural key and the hash of its body stay, so its id can
never be used again; what it added to the score stays in opening_states.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.domain.problems import Unavailable
from app.domain.retention import Old, OpeningState, Retention, opened_by, purgeable
from app.storage import states
from app.storage.database import Database, is_canceled, is_retryable
from app.storage.privacy import purging
from app.storage.privacy.purging import OldRow, Place
from app.storage.privacy.role import as_privacy_role
from app.storage.states import StateRow
from app.usecases.privacy.purge_texts import purge_texts
from app.usecases.privacy.walk_customers import PAGE, walk

log = structlog.get_logger(__name__)

ROWS: Final = 1000
"""Old rows that one transaction takes of one customer, besides those that are tied to them."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge did: rows of the log, of so many customers; and rows whose words were blanked."""

    touchpoints: int = 0
    customers: int = 0
    texts: int = 0


async def purge_log(
    database: Database, retention: Retention, now: datetime, *, page: int = PAGE, rows: int = ROWS
) -> Purged:
    """Go on with the run that is under way, or begin one when the last ended a day ago; to its end.

    Of several processes one purges. Raises what the database raises; what was purged stays so.
    """
    if not retention:
        return Purged()
    cutoffs = purging.cutoffs_json(retention, now)

    async def look(connection: asyncpg.Connection, ids: Sequence[UUID]) -> list[UUID]:
        return await purging.with_old_rows(connection, ids, cutoffs)

    async def take(customer_id: UUID) -> int:
        return await _purge_customer(database, customer_id, retention, now, rows)

    return Purged(*await walk(database, purging.LOG, now, look, take, page=page))


async def _purge_customer(
    database: Database, customer_id: UUID, retention: Retention, now: datetime, rows: int
) -> int:
    """Everything of one customer that may go, in transactions of `rows` rows."""
    total, place = 0, purging.BEFORE_ALL
    while True:
        taken, following = await _purge_some(database, customer_id, retention, now, place, rows)
        total += taken
        if following is None:
            return total
        place = following


async def _purge_some(
    database: Database, customer_id: UUID, retention: Retention, now: datetime, after: Place, rows: int
) -> tuple[int, Place | None]:
    """How many rows went, and where the next ones begin."""
    async with database.hot_transaction() as connection:
        locked = (await states.lock(connection, [customer_id])).get(customer_id)
        # Of a merged customer the log is elsewhere, of an erased one it is gone.
        if locked is None or locked.merged_into is not None or locked.erased_at is not None:
            return 0, None
        found, following = await purging.old_rows(
            connection, customer_id, purging.cutoffs_json(retention, now), after, rows
        )
        going = set(map(id, purgeable([one.row for one in found], retention, now)))
        gone = [one for one in found if id(one.row) in going]
        if gone:
            before = await purging.openings_by_origin(connection, customer_id)
            async with as_privacy_role(connection):
                await purging.hollow(connection, customer_id, gone, now)
            await purging.keep_sum(connection, customer_id, _sums(locked, before, gone), now)
        return len(gone), following


def _sums(
    locked: StateRow, before: Mapping[UUID, OpeningState], gone: Sequence[OldRow]
) -> dict[UUID, OpeningState]:
    """What was purged before and what goes now, together, of those who have a part in what goes.

    A thread in which facts of several merged customers met counts as one and cannot be parted any more: it stays with
    the survivor. The sums are of the form of the customer's state, of which they are a part.
    """
    met: dict[str, set[UUID]] = defaultdict(set)
    for origin, row in gone:
        if row.fact.thread is not None:
            met[row.fact.thread].add(origin)
    parts: dict[UUID, list[Old]] = defaultdict(list)
    for origin, row in gone:
        is_shared = row.fact.thread is not None and len(met[row.fact.thread]) > 1
        parts[locked.customer_id if is_shared else origin].append(row)
    sums = {}
    for origin, rows in parts.items():
        now_gone, known = opened_by(rows, locked.state.form), before.get(origin)
        sums[origin] = now_gone if known is None else known.plus(now_gone)
    return sums


async def purge_old(
    database: Database, retention: Retention, texts_kept: timedelta | None, now: datetime
) -> Purged:
    """The log by kind, then the words of answers and complaints; None keeps these. Raises what the database raises."""
    purged = await purge_log(database, retention, now)
    if texts_kept is None:
        return purged
    words = await purge_texts(database, texts_kept, now)
    return replace(purged, texts=words.rows)


async def keep_purging(
    database: Database,
    retention: Retention,
    pause_seconds: float,
    tell: Callable[[Purged], None] = lambda _purged: None,
    *,
    texts_kept: timedelta | None = None,
) -> None:
    """`purge_old` every `pause_seconds`, the first after one pause, until cancelled.

    A database that is away is tried again next time.
    """
    away = False
    while True:
        await asyncio.sleep(pause_seconds)
        try:
            purged = await purge_old(database, retention, texts_kept, datetime.now(UTC))
        except Exception as error:
            passes = isinstance(error, Unavailable) or is_retryable(error) or is_canceled(error)
            if not passes:
                log.exception("log_not_purged")
            elif not away:
                log.warning("log_not_purged", error=type(error).__name__)
            away = True
        else:
            away = False
            tell(purged)
            if purged.touchpoints or purged.texts:
                log.info("log_purged", **asdict(purged))
