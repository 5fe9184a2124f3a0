"""How healthy a customer's relationship is, at what time you like, and what stands behind every point of it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID

import asyncpg

from app.domain.descriptions import complaint_id_of
from app.domain.health import evidence
from app.domain.health.crossing import Change, next_fall
from app.domain.health.explain import points_missed
from app.domain.health.facts import SEVERITIES
from app.domain.health.flags import red_flags
from app.domain.health.form import Form
from app.domain.health.model import Model
from app.domain.health.outlook import Help, Opening, rewound, what_would_help
from app.domain.health.score import Health, score
from app.domain.health.standing import level_reasons
from app.domain.health.state import State
from app.domain.health.value import Forecast, Value, forecast, value
from app.domain.identifiers import Reference
from app.domain.loyalty.membership import Membership
from app.domain.money import minor_per_major
from app.domain.problems import Fault, Invalid
from app.domain.retention import OpeningState, beyond_retention, folded
from app.domain.touchpoints import CLOCK_TOLERANCE, EPOCH, seconds
from app.storage import facts, opinions
from app.storage.database import Database
from app.storage.facts import END_OF_TIME, LoggedFact, OpenComplaint, Recent
from app.storage.loyalty.programs import Rules
from app.storage.opinions import Beside
from app.storage.privacy import purging
from app.usecases.find_customer import find_customer
from app.usecases.loyalty.members import find_member

NO_PROGRAMS: Final[Mapping[str, Rules]] = MappingProxyType({})
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
    next_fall: Change | None
    forecast: Forecast | None
    value: Value | None
    beside: Beside


@dataclass(frozen=True, slots=True)
class _Measure:
    """By what model a state is judged, and in what currency its sums are."""

    model: Model
    currency: str


@dataclass(frozen=True, slots=True)
class _Then:
    """A state, and what it was 30 days before (None: not known)."""

    state: State
    before: State | None


@dataclass(frozen=True, slots=True)
class _Around:
    """What there is beside the state: the newest facts, the complaints that are open, and what people say."""

    latest: Sequence[LoggedFact]
    openings: Sequence[OpenComplaint]
    beside: Beside
    member: Membership | None = None


async def read_health(
    database: Database,
    reference: Reference,
    model: Model,
    now: datetime,
    *,
    currency: str,
    programs: Mapping[str, Rules] = NO_PROGRAMS,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
) -> HealthReading:
    """Health now, from the stored state; with `as_of` or `known_at` as a fold of the log up to these times.

    Sums are told in the shop's `currency`; `programs` say whose tier is at risk, which is told of the present alone.
    Raises what `find_customer` raises, Invalid `in_the_future` or `before_1970`.
    """
    check_asked("as_of", as_of, now)
    check_asked("known_at", known_at, now)
    if as_of is None and known_at is None:
        return await _current(database, reference, _Measure(model, currency), programs, now)
    return await _past(database, reference, _Measure(model, currency), as_of or now, known_at or END_OF_TIME)


def check_asked(name: str, moment: datetime | None, now: datetime) -> None:
    """Raises Invalid `in_the_future` or `before_1970` for a time in the query that cannot be asked about."""
    if moment is not None and moment > now + CLOCK_TOLERANCE:
        fault = Fault(f"#/query/{name}", "in_the_future", "more than 5 minutes ahead of the server's clock")
        raise Invalid("in_the_future", f"{name} lies in the future.", errors=[fault])
    if moment is not None and moment < EPOCH:
        fault = Fault(f"#/query/{name}", "before_1970", "earlier than 1970-01-01T00:00:00Z")
        raise Invalid("before_1970", f"{name} lies before 1970.", errors=[fault])


@asynccontextmanager
async def snapshot(
    database: Database, reference: Reference
) -> AsyncIterator[tuple[asyncpg.Connection, UUID]]:
    """The customer who is meant, as of one moment: what the log holds must be what the state was made of."""
    async with (
        database.hot_reading() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection, (await find_customer(connection, reference)).customer_id


async def _current(
    database: Database,
    reference: Reference,
    measure: _Measure,
    programs: Mapping[str, Rules],
    now: datetime,
) -> HealthReading:
    """From the stored state, and for the trend the same without what happened since."""
    async with snapshot(database, reference) as (connection, customer_id):
        state = await facts.state(connection, customer_id)
        recent = await facts.recent_facts(connection, customer_id, now - TREND, MOST_RECENT)
        around = await _around(connection, customer_id, END_OF_TIME, END_OF_TIME)
        around = replace(around, member=await find_member(connection, customer_id, programs, now))
        opening = await purging.opening(connection, customer_id)
    before = None
    if recent is not None:
        before = rewound(state, recent.after, recent.before, _last_purchase(recent, opening))
    return _reading(customer_id, _Then(state, before), around, now, measure)


def _last_purchase(recent: Recent, opening: OpeningState | None) -> int | None:
    """When the customer bought last before the trend's days, in the log or in what was purged of it; None when they
    bought nothing since.
    """
    found = [] if recent.last_purchase is None else [recent.last_purchase.at]
    purged = purging.opening_state(opening).t_last
    if purged is not None and any(fact.kind == "purchase" for fact in recent.after):
        found.append(purged)
    return max(found, default=None)


async def _past(
    database: Database, reference: Reference, measure: _Measure, at: datetime, known_until: datetime
) -> HealthReading:
    """From the log folded up to `at`, and up to 30 days before."""
    async with snapshot(database, reference) as (connection, customer_id):
        form = (await facts.state(connection, customer_id)).form
        opening = await purging.opening(connection, customer_id)
        beyond_retention(opening, "#/query/as_of", at, END_OF_TIME)
        beyond_retention(opening, "#/query/known_at", END_OF_TIME, known_until)
        logged = [row async for row in facts.facts(connection, customer_id, at, known_until)]
        around = await _around(connection, customer_id, at, known_until)
    # In a thread: a log of a hundred thousand facts takes a second, in which others want answers.
    then = await asyncio.to_thread(_folded, logged, at, opening, form)
    return _reading(customer_id, then, around, at, measure)


async def _around(
    connection: asyncpg.Connection, customer_id: UUID, until: datetime, known_until: datetime
) -> _Around:
    latest = await facts.latest_facts(connection, customer_id, TOP_AMONG, until, known_until)
    openings = await facts.open_complaints(connection, customer_id, until, known_until)
    return _Around(latest, openings, await opinions.beside(connection, customer_id))


def _folded(logged: Sequence[LoggedFact], at: datetime, opening: OpeningState | None, form: Form) -> _Then:
    state = folded(opening, (row.fact for row in logged), form)
    if opening is not None and at - TREND < opening.until:
        return _Then(state, None)
    earlier = (row.fact for row in logged if row.occurred_at <= at - TREND)
    return _Then(state, folded(opening, earlier, form))


def _reading(
    customer_id: UUID,
    then: _Then,
    around: _Around,
    moment: datetime,
    measure: _Measure,
) -> HealthReading:
    state, at = measure.model.taking(then.state), seconds(moment)
    model = measure.model.of(state)
    health = score(state, at, model)
    beside = around.beside.at(moment)
    at_risk = around.member is not None and around.member.threat is not None
    flags = red_flags(state, at, model, opted_out=beside.opted_out_at is not None, tier_at_risk=at_risk)
    by_id = {row.fact.id: row for row in around.latest}
    top = evidence.top((row.fact for row in around.latest), at, state.form)
    opened = [
        Opening(complaint_id_of(row.thread) or "", seconds(row.opened_at), SEVERITIES[row.severity])
        for row in around.openings
    ]
    return HealthReading(
        customer_id=customer_id,
        health=health,
        trend=_trend(then.before, health, moment, measure.model),
        points_missed=points_missed(state, health, at, model),
        evidence=evidence.told(state, at),
        top=tuple([by_id[fact.id] for fact in facts] for facts in top),
        reasons=level_reasons(state, health, at, model, measure.currency),
        red_flags=flags,
        what_would_help=what_would_help(state, opened, at, model),
        next_fall=next_fall(state, at, model),
        forecast=forecast(state, health, at, model),
        value=value(state, health, at, model, minor_per_major(measure.currency)),
        beside=beside,
    )


def _trend(before: State | None, health: Health, moment: datetime, model: Model) -> float | None:
    if before is None or health.score_exact is None:
        return None
    was = score(before, seconds(moment - TREND), model.of(before)).score_exact
    return None if was is None else health.score_exact - was
