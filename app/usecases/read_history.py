"""How healthy a customer's relationship was over time: the log folded again, and read by the models of those times."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from app.domain.health.model import Model
from app.domain.health.versions import read
from app.domain.identifiers import Reference
from app.domain.problems import Fault, Invalid
from app.domain.retention import OpeningState, beyond_retention
from app.domain.series import Happened, Place, Point, Reign, by_event, by_step, reigns_over
from app.domain.touchpoints import EPOCH
from app.storage import facts, models
from app.storage.database import Database
from app.storage.facts import END_OF_TIME, LoggedFact
from app.storage.privacy import purging
from app.usecases.read_health import check_asked, snapshot

MOST_POINTS: Final = 2000


class HistoryPoint(NamedTuple):
    """A point, and the touchpoint behind it; None for a mark and for a step."""

    point: Point
    touchpoint: LoggedFact | None


async def read_history(
    database: Database,
    reference: Reference,
    active: Model,
    now: datetime,
    *,
    since: datetime | None,
    step: timedelta | None,
    after: Place | None,
    limit: int,
) -> list[HistoryPoint]:
    """Up to `limit` points behind `after`: one for each touchpoint, and one whenever another model was published; with
    `step`, one at `since` (the first touchpoint unless given) and then every `step` up to now.

    Raises what `find_customer` raises, Invalid `in_the_future`, `before_1970` or `too_many_points`.
    """
    check_asked("since", since, now)
    async with snapshot(database, reference) as (connection, customer_id):
        reigns = [Reign(at, read(parameters)) for at, parameters in await models.publications(connection)]
        opening = await purging.opening(connection, customer_id)
        state = await facts.state(connection, customer_id)
        if since is not None:
            beyond_retention(opening, "#/query/since", since, END_OF_TIME)
        logged = [row async for row in facts.facts(connection, customer_id, END_OF_TIME, END_OF_TIME)]
    if not logged and opening is None:
        return []
    own = active.of(state)
    reigns = reigns_over(reigns, own.form, opening) or [Reign(EPOCH, own)]
    happened = [Happened(row.occurred_at, row.fact) for row in logged]
    start = _beginning(happened, opening) if since is None else since
    if step is not None:
        if (now - start) // step >= MOST_POINTS:
            raise too_many_points()
        points = await asyncio.to_thread(by_step, happened, reigns, start, step, now, opening)
        points = [point for point in points if after is None or point.place > after][:limit]
    else:
        # In a thread: a log of a hundred thousand facts takes a second, in which others want answers.
        points = await asyncio.to_thread(by_event, happened, reigns, start, after, limit, opening)
    by_id = {row.fact.id: row for row in logged}
    return [HistoryPoint(point, by_id.get(point.key)) for point in points]


def _beginning(happened: Sequence[Happened], opening: OpeningState | None) -> datetime:
    """The first touchpoint, or where a purge left off: before that nobody knows."""
    if opening is not None:
        return opening.until
    return min(one.at for one in happened)


def too_many_points() -> Invalid:
    """A longer step, or a later beginning."""
    return Invalid(
        "too_many_points",
        f"A history has at most {MOST_POINTS} steps: take longer ones, or begin later.",
        errors=[Fault("#/query/step", "too_many_points", f"makes more than {MOST_POINTS} points")],
    )
