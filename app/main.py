"""The application: wiring only."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from sqlalchemy import QueuePool

from app.api import (
    audit,
    calendars,
    context,
    customers,
    docs,
    health,
    history,
    identifiers,
    keys,
    kinds,
    logs,
    merges,
    notes,
    openapi,
    opinions,
    problems,
    service,
)
from app.api.addresses import Proxies
from app.api.complaints import routes as complaints
from app.api.complaints import status as complaint_status
from app.api.feedback import answers, figures, follow_ups
from app.api.lean import stops
from app.api.loyalty import accounts as loyalty
from app.api.loyalty import (
    adjustments,
    entries,
    holds,
    liability,
    orders,
    programs,
    quotes,
    redemptions,
    referrals,
    rewards,
    simulations,
)
from app.api.metrics import Metrics
from app.api.middleware import FramedApp
from app.api.models import routes as models
from app.api.openapi import DocumentedApp
from app.api.privacy import consent, tombstones
from app.api.privacy import routes as privacy
from app.api.sign_in import SignIn
from app.api.surveys import describing, inviting, pages
from app.api.templates import templates
from app.api.touchpoints import posting, reading, voiding
from app.domain.rates import per_minute
from app.settings import Settings
from app.storage.database import Database
from app.usecases.complaints.watch_complaints import keep_watching
from app.usecases.fresh import keep_fresh, refresh_all
from app.usecases.identities import Identities, fill_once
from app.usecases.keep_house import keep_keeping_house
from app.usecases.keyring import Keyring
from app.usecases.lanes import Lanes
from app.usecases.loyalty.keep_clock import keep_clock
from app.usecases.loyalty.referrals.settle_referrals import keep_settling
from app.usecases.loyalty.remembered_programs import RememberedPrograms
from app.usecases.loyalty.spending_groups import SpendingGroups
from app.usecases.models.active_model import ActiveModel
from app.usecases.models.watch_drift import PAUSE_SECONDS as DRIFT_SECONDS
from app.usecases.models.watch_drift import keep_watching_drift
from app.usecases.own_kinds import RememberedKinds
from app.usecases.privacy.forget_erased import Forgetting
from app.usecases.privacy.purge_log import keep_purging
from app.usecases.rate_limiter import RateLimiter
from app.usecases.read_context import Contexts
from app.usecases.surveys.keep_surveying import keep_surveying
from app.usecases.surveys.signing import Signing
from app.usecases.sweep_bands import keep_sweeping

# The busiest first: a request pays about 2 us for each route that it is compared with in vain.
ROUTERS: Final[tuple[APIRouter, ...]] = (
    posting.router,
    context.router,
    orders.router,
    reading.router,
    customers.router,
    identifiers.router,
    health.router,
    history.router,
    opinions.router,
    notes.router,
    loyalty.router,
    merges.router,
    merges.by_id,
    complaints.router,
    complaint_status.router,
    calendars.router,
    inviting.router,
    pages.router,
    # Before the answers, whose ids would take its path.
    figures.router,
    answers.router,
    follow_ups.router,
    voiding.router,
    holds.router,
    redemptions.router,
    quotes.router,
    adjustments.router,
    referrals.router,
    liability.router,
    entries.router,
    rewards.router,
    programs.router,
    consent.router,
    privacy.router,
    tombstones.router,
    simulations.router,
    kinds.router,
    models.router,
    describing.router,
    keys.router,
    audit.router,
    service.router,
    docs.router,
)


_OPTIONS: Final[Mapping[str, Any]] = {
    "title": openapi.TITLE,
    "summary": openapi.SUMMARY,
    "description": openapi.DESCRIPTION,
    "version": "0.1.0",
    "openapi_tags": openapi.TAGS,
    "generate_unique_id_function": lambda route: route.name,
    "redirect_slashes": False,
    # Served by docs.py, from our own files.
    "openapi_url": None,
    # FastAPI's own tracing would take part in every request, and its logs hold the messages of exceptions.
    "telemetry": {"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
}


@functools.cache
def _pattern() -> DocumentedApp:
    """What all applications of a process have in common: the routes with what they ask for, and the document.

    FastAPI resolves what the routes of a router ask for anew in each application that includes it: 0.1 s for ours, and
    0.6 s for the document. A suite makes thousands of applications.
    """
    pattern = DocumentedApp(**_OPTIONS)
    for router in ROUTERS:
        pattern.include_router(router)
    pattern.state.templates = templates(pattern)
    pattern.state.express = stops(pattern)
    return pattern


def create_app(settings: Settings, database: Database | None = None) -> FastAPI:
    """The service. Connects to nothing until it is started; a `database` that is given stays open in the end."""
    logs.configure(settings.log_level)
    metrics = Metrics()
    proxies = Proxies(settings.proxy_networks())
    pattern = _pattern()
    app = FramedApp(
        metrics,
        proxies,
        pattern,
        hsts_seconds=settings.hsts_seconds,
        is_tls=settings.behind_tls,
        lifespan=_lifespan,
        **_OPTIONS,
    )
    problems.install(app)

    state = app.state
    state.templates = pattern.state.templates
    state.express = pattern.state.express
    state.settings = settings
    state.owns_database = database is None
    state.database = _open(settings) if database is None else database
    state.replica = _open_replica(settings) or state.database
    state.proxies = proxies
    state.keyring = Keyring(
        state.database,
        None if settings.admin_key is None else settings.admin_key.get_secret_value(),
        rate=per_minute(settings.rate_per_minute),
    )
    state.rate_limiter = RateLimiter(state.database)
    state.sign_in = _sign_in(settings)
    state.model = ActiveModel(state.database)
    state.own_kinds = RememberedKinds(state.database)
    state.programs = RememberedPrograms(state.database)
    state.fresh = (state.model, state.own_kinds, state.programs)
    state.guard = settings.guard()
    state.admission = settings.admission()
    pepper = settings.household_pepper
    state.signing = Signing(
        state.database,
        settings.signing_secrets(),
        None if pepper is None else pepper.get_secret_value(),
    )
    state.metrics = metrics
    state.identities = Identities(
        state.database,
        remembered=settings.identity_cache,
        queue_limit=settings.lane_queue,
        group_limit=settings.group_size,
        admission=state.admission,
        awake_seconds=settings.awake_ms / 1000,
    )
    state.contexts = Contexts(
        state.database, state.identities, state.own_kinds, state.programs, queue_limit=settings.lane_queue
    )
    state.forgetting = Forgetting(state.database, state.identities, state.contexts.remembered)
    state.fresh = (*state.fresh, state.forgetting)
    state.lanes = Lanes(
        state.database,
        state.model,
        state.programs,
        shop_currency=settings.shop_currency,
        lanes=settings.lanes,
        queue_limit=settings.lane_queue,
        group_limit=settings.group_size,
        awake_seconds=settings.awake_ms / 1000,
    )
    state.spending = SpendingGroups(
        state.database,
        state.identities,
        state.programs,
        state.model,
        queue_limit=settings.lane_queue,
        group_limit=settings.group_size,
    )
    _measure(metrics, state.database, state.lanes, state.spending)
    if state.replica is not state.database:
        _measure_replica(metrics, state.replica)
    metrics.gauge(
        "scoring_models_in_play",
        "Models that score somebody; one that drains scores whose states no replay has reached.",
        "state",
        {"active": lambda: 1, "draining": lambda: len(state.model.current.earlier)},
    )
    remembered = state.contexts.remembered
    metrics.gauge(
        "context_rows_read",
        "Contexts read since the start, by whether their customer's row said the same as the last time.",
        "row",
        {"same": lambda: remembered.hits, "new": lambda: remembered.misses},
    )
    metrics.gauge(
        "rate_limited_requests",
        "Requests refused because their key was too fast, since the start.",
        "answer",
        {"429": lambda: state.rate_limiter.refused},
    )
    return app


def _sign_in(settings: Settings) -> SignIn | None:
    terms = settings.sign_in_terms()
    return None if terms is None else SignIn(terms, rate=per_minute(settings.rate_per_minute))


def _open(settings: Settings) -> Database:
    if settings.database_url is None:
        raise ValueError("database_url is not set; `rapport serve` starts the embedded server and sets it")
    return Database(
        settings.database_url,
        pool_size=settings.pool_size,
        # The lanes, the identifiers, the context and spending have connections of their own.
        hot_size=settings.pool_size,
        wait_seconds=settings.pool_wait_seconds,
        statement_timeout_seconds=settings.statement_timeout_seconds,
        pgbouncer=settings.pgbouncer,
    )


def _open_replica(settings: Settings) -> Database | None:
    if settings.read_url is None:
        return None
    return Database(
        settings.read_url,
        pool_size=settings.read_pool_size,
        # Figures that read page by page: beside the pool, and few at a time.
        hot_size=settings.read_pool_size,
        wait_seconds=settings.pool_wait_seconds,
        statement_timeout_seconds=settings.statement_timeout_seconds,
        pgbouncer=settings.pgbouncer,
    )


def _measure(metrics: Metrics, database: Database, lanes: Lanes, spending: SpendingGroups) -> None:
    pool = database.engine.pool
    if isinstance(pool, QueuePool):
        readings = {"in_use": pool.checkedout, "idle": pool.checkedin}
        metrics.gauge(
            "database_connections", "Connections of the pool for single transactions.", "state", readings
        )
    metrics.gauge(
        "database_hot_connections",
        "Bare connections of the write path and the context.",
        "state",
        {"kept": database.seats_open, "in_use": database.hot_in_use, "idle": database.hot_idle},
    )
    waiting = {str(lane): functools.partial(_waiting, lanes, lane) for lane in range(len(lanes.waiting))}
    metrics.gauge("lane_waiting", "Touchpoints that wait for their lane's writer.", "lane", waiting)
    metrics.gauge(
        "spending_waiting",
        "Holds and captures of points that wait for their group.",
        "what",
        {"holds": spending.holds_waiting, "captures": spending.captures_waiting},
    )


def _measure_replica(metrics: Metrics, replica: Database) -> None:
    pool = replica.engine.pool
    if isinstance(pool, QueuePool):
        readings = {"in_use": pool.checkedout, "idle": pool.checkedin}
        metrics.gauge("replica_connections", "Connections to the read replica.", "state", readings)


def _waiting(lanes: Lanes, lane: int) -> int:
    return lanes.waiting[lane]


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start what runs beside the requests; stop it in order, what callers wait for first, the database last."""
    state = app.state
    # A database that is away now is asked again in a moment, as for everything else.
    await refresh_all(state.fresh)
    state.identities.start()
    state.contexts.start()
    state.lanes.start()
    state.spending.start()
    beside = [
        asyncio.create_task(state.keyring.keep_flushing()),
        asyncio.create_task(keep_keeping_house(state.database)),
        asyncio.create_task(keep_fresh(state.fresh)),
        asyncio.create_task(state.rate_limiter.keep_sharing()),
        asyncio.create_task(state.contexts.remembered.keep_ageing()),
        asyncio.create_task(fill_once(state.identities)),
    ]
    pause = state.settings.sweep_seconds
    drift = keep_watching_drift(
        state.database, state.model, DRIFT_SECONDS, state.metrics.drifted, looks=pause > 0
    )
    beside.append(asyncio.create_task(drift))
    if pause:
        beside += [
            asyncio.create_task(keep_sweeping(state.database, state.model, pause, state.metrics.swept)),
            asyncio.create_task(keep_watching(state.database, state.model, pause, state.metrics.watched)),
            asyncio.create_task(keep_surveying(state.database, state.signing, pause)),
            asyncio.create_task(
                keep_settling(state.database, state.programs, state.model, pause, state.metrics.settled)
            ),
            asyncio.create_task(keep_clock(state.database, state.model, pause, state.metrics.clocked)),
        ]
        retention, texts_kept = state.settings.retention(), state.settings.text_retention()
        if retention or texts_kept:
            purging = keep_purging(
                state.database, retention, pause, state.metrics.purged, texts_kept=texts_kept
            )
            beside.append(asyncio.create_task(purging))
    try:
        yield
    finally:
        # References first: whoever is looked up goes on to a lane.
        await state.identities.drain()
        await state.lanes.drain()
        await state.spending.drain()
        await state.contexts.drain()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await state.keyring.flush()
        if state.sign_in is not None:
            await state.sign_in.close()
        if state.replica is not state.database:
            await state.replica.close()
        if state.owns_database:
            await state.database.close()
