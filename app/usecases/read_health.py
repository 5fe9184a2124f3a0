"""How healthy a customer's relationship is, at what time you like, and what stands behind every point of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.domain.customers import not_found
from app.domain.descriptions import complaint_id_of
from app.domain.health import evidence
from app.domain.health.explain import points_missed
from app.domain.health.facts import SEVERITIES
from app.domain.health.flags import red_flags
from app.domain.health.history import fold
from app.domain.health.model import Model
from app.domain.health.outlook import Help, Opening, p_alive, rewound, what_would_help
from app.domain.health.score import Health, score
from app.domain.health.standing import level_reasons
from app.domain.health.state import State
from app.domain.identifiers import Reference
from app.domain.problems import Fault, Invalid
from app.domain.touchpoints import CLOCK_TOLERANCE, EPOCH, seconds
from app.storage import timeline
from app.storage.timeline import END_OF_TIME, LoggedFact
from app.usecases.find_customer import find_customer

TREND: Final = timedelta(days=30)
MOST_RECENT: Final = 2000
"""Touchpoints within the trend's days that are taken back one by one; beyond it there is no trend."""
TOP_AMONG: Final = 200
"""The newest touchpoints, among which the weightiest of each component are looked for."""


@dataclass(frozen=True, slots=True)
class HealthReading:
    """Health at the time asked for, and all that explains it. Tuples by component are in the order of COMPONENTS.

    `trend` is the difference to 30 days before in points, None when nothing was known then or too much has happened.
    """

    customer_id: UUID
    health: Health
    trend: float | None
    points_missed: tuple[float, ...]
    evidence: tuple[str | None, ...]
    top: tuple[Sequence[LoggedFact], ...]
    reasons: list[str]
    red_flags: tuple[str, ...]
    what_would_help: list[Help]
    p_alive: float | None


@dataclass(frozen=True, slots=True)
class _Then:
    """A state, and what it was 30 days before (None: not known). Both are of one snapshot."""

    state: State
    before: State | None


async def read_health(
    connection: asyncpg.Connection,
    reference: Reference,
    model: Model,
    now: datetime,
    *,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
) -> HealthReading:
    """Health now, from the stored state; with `as_of` or `known_at` as a fold of the log up to these times.

    Raises what `find_customer` raises, Invalid `in_the_future` or `before_1970`.
    """
    for name, moment in (("as_of", as_of), ("known_at", known_at)):
        _check(name, moment, now)
    # One snapshot: what the log holds must be what the state was made of.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        customer_id = (await find_customer(connection, reference)).customer_id
        if as_of is None and known_at is None:
            at, until, known_until = now, END_OF_TIME, END_OF_TIME
            stored = await timeline.state(connection, customer_id)
            if stored is None:
                raise not_found()
            then = await _now_and_before(connection, customer_id, stored, now)
        else:
            at, known_until = as_of or now, known_at or END_OF_TIME
            until = at
            then = await _folded(connection, customer_id, at, known_until)
        latest = await timeline.latest_facts(connection, customer_id, TOP_AMONG, until, known_until)
        openings = (
            await timeline.open_complaints(connection, customer_id, until, known_until)
            if then.state.open_sev > 0
            else []
        )
    return _reading(customer_id, then, latest, openings, at, model)


def _check(name: str, moment: datetime | None, now: datetime) -> None:
    if moment is not None and moment > now + CLOCK_TOLERANCE:
        fault = Fault(f"#/query/{name}", "in_the_future", "more than 5 minutes ahead of the server's clock")
        raise Invalid("in_the_future", f"{name} lies in the future.", errors=[fault])
    if moment is not None and moment < EPOCH:
        fault = Fault(f"#/query/{name}", "before_1970", "earlier than 1970-01-01T00:00:00Z")
        raise Invalid("before_1970", f"{name} lies before 1970.", errors=[fault])


async def _now_and_before(
    connection: asyncpg.Connection, customer_id: UUID, state: State, now: datetime
) -> _Then:
    """The stored state, and the same without what happened since."""
    recent = await timeline.recent_facts(connection, customer_id, now - TREND, MOST_RECENT)
    if recent is None:
        return _Then(state, None)
    last = recent.last_purchase
    return _Then(state, rewound(state, recent.after, recent.before, None if last is None else last.at))


async def _folded(
    connection: asyncpg.Connection, customer_id: UUID, at: datetime, known_until: datetime
) -> _Then:
    """The log folded up to `at`, and up to 30 days before."""
    logged = [row async for row in timeline.facts(connection, customer_id, at, known_until)]
    earlier = [row.fact for row in logged if row.occurred_at <= at - TREND]
    # In a thread: a log of a hundred thousand facts takes a second, in which others want answers.
    state = await asyncio.to_thread(fold, [row.fact for row in logged])
    return _Then(state, await asyncio.to_thread(fold, earlier))


def _reading(
    customer_id: UUID,
    then: _Then,
    latest: Sequence[LoggedFact],
    openings: Sequence[timeline.OpenComplaint],
    moment: datetime,
    model: Model,
) -> HealthReading:
    state, at = then.state, seconds(moment)
    health = score(state, at, model)
    flags = red_flags(state, at, model)
    by_id = {row.fact.id: row for row in latest}
    top = evidence.top((row.fact for row in latest), at)
    opened = [
        Opening(complaint_id_of(row.thread) or "", seconds(row.opened_at), SEVERITIES[row.severity])
        for row in openings
    ]
    return HealthReading(
        customer_id=customer_id,
        health=health,
        trend=_trend(then.before, health, moment, model),
        points_missed=points_missed(state, health, at, model),
        evidence=evidence.told(state, at),
        top=tuple([by_id[fact.id] for fact in facts] for facts in top),
        reasons=level_reasons(state, health, at, model),
        red_flags=flags,
        what_would_help=what_would_help(state, opened, at, model),
        p_alive=p_alive(state, at, model),
    )


def _trend(before: State | None, health: Health, moment: datetime, model: Model) -> float | None:
    if before is None or health.score_exact is None:
        return None
    was = score(before, seconds(moment - TREND), model).score_exact
    return None if was is None else health.score_exact - was
