"""The service itself: is it alive, is it ready, what does it count; and the preflight of publishable keys."""

import asyncio
import functools
from typing import Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import SecurityScopes
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.api import metrics
from app.api.addresses import ADDRESS_NOT_ALLOWED
from app.api.deps import PUBLISHABLE_PATHS, Keys, Replica, Store, authorise
from app.api.openapi import SECURITY_SCHEMES, problems
from app.domain.problems import Forbidden, Unavailable
from app.storage import migrate
from app.storage.database import RETRY_AFTER_SECONDS, Database, lag_seconds

router = APIRouter(tags=["service"])

_LOOPBACK: Final = frozenset(("127.0.0.1", "::1"))
_PREFLIGHT_SECONDS: Final = 600
# A replica that is away must not make a probe late.
_REPLICA_SECONDS: Final = 1.0
_METRICS_SCOPE: Final = "insights:read"


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ReplicaState(BaseModel):
    """Where figures and shop-wide lists are read."""

    status: Literal["ok", "away"]
    lag_seconds: float | None = Field(
        None, description="How old its newest change is; null: none, or not known."
    )


class Ready(BaseModel):
    """The database answers and has the schema of this version."""

    status: Literal["ready"] = "ready"
    migration: str
    replica: ReplicaState | None = Field(
        None, description="The read replica (RAPPORT_READ_URL); null without one. Writes go on without it."
    )


@router.get("/healthz")
async def healthz() -> Alive:
    """Whether the process answers; asks nobody else."""
    return Alive()


def _not_ready(code: str, detail: str) -> Unavailable:
    return Unavailable(code, detail, retry_after_seconds=RETRY_AFTER_SECONDS)


_DATABASE_AWAY = _not_ready("not_ready_database", "The database does not answer.")
_OTHER_SCHEMA = _not_ready("not_ready_migrations", "The database has another schema: run rapport migrate.")


@router.get("/readyz", responses=problems(_DATABASE_AWAY, _OTHER_SCHEMA))
async def readyz(database: Store, replica: Replica) -> Ready:
    """Whether requests can be served: the database answers, and its schema is the one this version was written for."""
    try:
        async with database.reading() as session:
            found = (
                await session.execute(text("SELECT version_num FROM alembic_version"))
            ).scalar_one_or_none()
    except Unavailable as error:
        raise _not_ready(_DATABASE_AWAY.code, _DATABASE_AWAY.detail) from error.__cause__
    except DBAPIError as error:  # there is no such table: nobody has migrated yet
        raise _not_ready(_OTHER_SCHEMA.code, _OTHER_SCHEMA.detail) from error
    if found is None or found != _head():
        raise _not_ready(_OTHER_SCHEMA.code, _OTHER_SCHEMA.detail)
    return Ready(migration=found, replica=None if replica is database else await _state(replica))


async def _state(replica: Database) -> ReplicaState:
    try:
        async with asyncio.timeout(_REPLICA_SECONDS), replica.reading() as session:
            return ReplicaState(status="ok", lag_seconds=await lag_seconds(session))
    except (TimeoutError, Unavailable):
        return ReplicaState(status="away")


@functools.cache
def _head() -> str:
    return migrate.head()


async def _may_scrape(request: Request) -> None:
    """A scraper on this host needs no key, unless its request came through a proxy that is on this host too."""
    client = request.client
    if client is not None and client.host in _LOOPBACK and not _is_forwarded(request):
        return
    await authorise(request, SecurityScopes([_METRICS_SCOPE]))


def _is_forwarded(request: Request) -> bool:
    return any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip"))


@router.get(
    "/metrics",
    dependencies=[Depends(_may_scrape)],
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems(
            401,
            429,
            503,
            Forbidden("scope_missing", f"This key lacks the scope {_METRICS_SCOPE}."),
            ADDRESS_NOT_ALLOWED,
        ),
    },
    openapi_extra={"security": [{}, *({name: [_METRICS_SCOPE]} for name in SECURITY_SCHEMES)]},
)
async def read_metrics(request: Request) -> Response:
    """Counters of this process for Prometheus. From the same host without a key, else with `insights:read`."""
    return Response(request.app.state.metrics.render(), media_type=metrics.CONTENT_TYPE)


async def preflight(request: Request, keyring: Keys) -> Response:
    """What a browser asks before a page on another host posts with a publishable key.

    It is answered from the origins of all live keys; the post itself is told apart by its own key.
    """
    headers = {"Vary": "Origin"}
    origin = request.headers.get("origin")
    if origin is not None and origin in await keyring.origins():
        headers |= {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Traceparent, X-API-Key",
            "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
        }
    return Response(status_code=204, headers=headers)


for _path in sorted(PUBLISHABLE_PATHS):
    router.add_api_route(_path, preflight, methods=["OPTIONS"], include_in_schema=False)
