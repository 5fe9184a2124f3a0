"""What the commands that work on a database share: settings that are right, and the database they name."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
from pydantic import ValidationError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.cli.failure import Failure
from app.domain.problems import Problem, Unavailable
from app.settings import Settings
from app.storage.database import Database, is_away, sqlstate
from app.storage.embedded import EmbeddedServerError, start_embedded, stop_embedded
from app.storage.tables import APP_ROLE

# SQLSTATE classes and codes that a command can explain.
NO_ADMISSION = ("28", "3D")  # invalid authorization, no such database
NO_SCHEMA = ("42P01", "42703")  # undefined table, undefined column
NO_PRIVILEGE = "42501"
LOCKED = "55P03"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Urls:
    """One database, as whoever may change its schema (`owner`) and as the service (`app`) log in."""

    owner: str
    app: str


def load_settings() -> Settings:
    """The settings of the environment. Raises Failure naming the variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            _complaint(dict(fault)) for fault in error.errors(include_input=False, include_url=False)
        )
        raise Failure(wrong) from None


def _complaint(fault: dict[str, Any]) -> str:
    name = "_".join(str(part) for part in fault["loc"]).upper()
    return f"RAPPORT_{name}: {fault['msg'].removeprefix('Value error, ')}"


@contextmanager
def database(settings: Settings) -> Iterator[Urls]:
    """The database of the settings; the embedded server runs meanwhile, and stops when nobody else uses it."""
    named = {"RAPPORT_DATABASE_URL": settings.database_url, "RAPPORT_MIGRATION_URL": settings.migration_url}
    for variable, url in named.items():
        if url is not None:
            _check_url(variable, url)
    # One of the two names the database, and then its login serves for both.
    owner, app = (
        settings.migration_url or settings.database_url,
        settings.database_url or settings.migration_url,
    )
    if owner is not None and app is not None:
        yield Urls(owner, app)
        return
    with _embedded_failures():
        server = start_embedded(settings.home)
    try:
        yield Urls(server.url(), server.url(APP_ROLE))
    finally:
        with _embedded_failures():
            stop_embedded(server)


def leads_to_pooler(settings: Settings) -> bool:
    """Whether nobody has said how to reach PostgreSQL itself. A pooler that gives each transaction another session
    would leave a migration's lock with whoever comes next.
    """
    return settings.pgbouncer and settings.database_url is not None and settings.migration_url is None


def _check_url(variable: str, url: str) -> None:
    try:
        known = make_url(url).get_backend_name() in {"postgresql", "postgres"}
    except ArgumentError:
        known = False
    if not known:
        raise Failure(f"{variable}: not a URL like postgresql://user:password@host/name")


@contextmanager
def _embedded_failures() -> Iterator[None]:
    try:
        yield
    except (EmbeddedServerError, OSError) as error:
        raise Failure(str(error)) from error


@contextmanager
def database_failures() -> Iterator[None]:
    """Says in one line what kept a command from its database; whatever else goes wrong inside is a bug and shows."""
    try:
        yield
    except Problem as problem:
        cause = problem.__cause__
        if isinstance(problem, Unavailable) and cause is not None:
            raise Failure(_away(cause)) from problem
        raise Failure(problem.detail) from problem
    except Exception as error:
        failure = _database_failure(error)
        if failure is None:
            raise
        raise Failure(failure) from error


def _database_failure(error: BaseException) -> str | None:
    state = sqlstate(error) or ""
    if state.startswith(NO_ADMISSION):
        return f"the database refused the connection: {_first_line(error)}"
    if state in NO_SCHEMA:
        return "the database has no Rapport schema, or an old one: run `rapport migrate` first"
    if state == NO_PRIVILEGE:
        return f"the database login may not do this: {_first_line(error)} (RAPPORT_MIGRATION_URL may name another one)"
    if state == LOCKED:
        return "a table is in use by somebody who does not let go: try again when there is less traffic"
    return _away(error) if is_away(error) or _is_misconfigured(error) else None


def _is_misconfigured(error: BaseException) -> bool:
    """Whether the driver could not even try: an `sslmode` that it does not know, a certificate that is not there."""
    said = getattr(error, "orig", None)
    return isinstance(error if said is None else said.__cause__, asyncpg.ClientConfigurationError)


def _away(error: BaseException) -> str:
    where = "RAPPORT_DATABASE_URL and RAPPORT_MIGRATION_URL say where it is"
    return f"cannot reach the database: {_first_line(error)} ({where})"


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` in a loop of its own, with database failures in one line."""
    with database_failures():
        return asyncio.run(work)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """A few connections, for a command that says a few statements."""
    database = Database(
        url,
        pool_size=2,
        hot_size=1,
        wait_seconds=10,
        statement_timeout_seconds=30,
        pgbouncer=load_settings().pgbouncer,
    )
    try:
        yield database
    finally:
        await database.close()
