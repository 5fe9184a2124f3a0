"""Connections: bounded waits on every call, and the only places that say commit.

Two pools over the same database. `engine` (SQLAlchemy) serves everything that is said once in a while. `hot` (bare
asyncpg) serves the write path and the context read, where SQLAlchemy's 0.1 ms a statement would be the largest cost
(docs/adr/0002-asyncpg-on-the-hot-path.md).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final

import asyncpg
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from app.domain.problems import Unavailable

RETRY_AFTER_SECONDS = 1
CONNECT_TIMEOUT_SECONDS = 5.0

# Whoever gets one of these may try again: serialisation failure, deadlock, lock not available, the server going away.
RETRYABLE_STATES = ("40001", "40P01", "55P03")
AWAY_STATES = ("08", "57P", "53")  # connection exceptions, operator intervention, insufficient resources
# The server ended a session that stood still, or took too long, inside a transaction.
LEFT_OPEN = ("25P03", "25P04")
CANCELED = "57014"
# Of the time that a statement may take. Less than all of it: whoever waits for a lock of a transaction that nobody
# goes on with gets it, and is not stopped too.
_IDLE_SHARE = 0.5


def sqlstate(error: BaseException) -> str | None:
    """The five-character SQLSTATE behind an error of asyncpg or of SQLAlchemy over asyncpg."""
    if isinstance(error, DBAPIError):
        error = error.orig or error
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def is_retryable(error: BaseException) -> bool:
    """Whether the same work may succeed when it is simply done again, on this database or on its successor."""
    return sqlstate(error) in RETRYABLE_STATES or is_away(error)


def is_away(error: BaseException) -> bool:
    """Whether the database could not be reached, was lost, or had no room, as opposed to refusing a statement."""
    if isinstance(error, OSError | TimeoutError | PoolTimeoutError | DisconnectionError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    # "connection is closed", "connection was closed in the middle of ..."; and "another operation is in progress",
    # which asyncpg says of a connection whose server has said goodbye, until the end of the stream is read too.
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return True
    state = sqlstate(error)
    return state is not None and state.startswith(AWAY_STATES + LEFT_OPEN)


def is_canceled(error: BaseException) -> bool:
    """Whether the server stopped a statement at its time limit: doing it again would take as long again."""
    return sqlstate(error) == CANCELED


def unavailable(error: BaseException) -> Unavailable:
    """What a caller is told when the database is away; the cause stays in the log."""
    late = is_canceled(error) or isinstance(error, TimeoutError)
    code = "database_timeout" if late else "database_unavailable"
    problem = Unavailable(
        code, "The database cannot answer now. Try again shortly.", retry_after_seconds=RETRY_AFTER_SECONDS
    )
    problem.__cause__ = error
    return problem


@asynccontextmanager
async def _away_is_unavailable() -> AsyncIterator[None]:
    try:
        yield
    except Exception as error:
        if is_retryable(error) or is_canceled(error):
            raise unavailable(error) from error
        raise


def sqlalchemy_url(url: str) -> str:
    """`url` for SQLAlchemy's asyncpg dialect, however its scheme was spelled."""
    return make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def connect_arguments(url: str) -> dict[str, Any]:
    """Asyncpg's arguments for a libpq-style or SQLAlchemy-style URL; several hosts may be listed in the query."""
    parsed = make_url(url).set(drivername="postgresql")
    # SQLAlchemy's name for it is `ssl`, which asyncpg would take for a setting of the server.
    sslmode = parsed.query.get("sslmode") or parsed.query.get("ssl")
    dsn = parsed.difference_update_query(["ssl"]).render_as_string(hide_password=False)
    arguments: dict[str, Any] = {"dsn": dsn}
    if isinstance(sslmode, str):
        arguments["ssl"] = sslmode
    return arguments


# SQLAlchemy's dialect would name each statement, and the session that knows the name may be another's by then.
_UNNAMED: Final[Mapping[str, Any]] = {
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: "",
}


async def _keep_session(_connection: asyncpg.Connection) -> None:
    """Nothing to reset: no statement of ours changes a session, and RESET ALL would cost a round trip a request."""


class Seat:
    """A bare connection that one task keeps for itself, outside any transaction: opened when it is first asked for, and
    given up when the server was lost or did not answer, so that the next one to ask gets a good one.
    """

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]]) -> None:
        self._connect = connect
        self._connection: asyncpg.Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether a connection is kept."""
        return self._connection is not None and not self._connection.is_closed()

    async def __aenter__(self) -> asyncpg.Connection:
        """The connection. Errors come as asyncpg raises them."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the connection unless it may be in the middle of something."""
        if error is not None and (not isinstance(error, Exception) or is_away(error)):
            self.leave()

    def leave(self) -> None:
        """Close at once."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _session_arguments(statement_timeout_seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """What asyncpg is told for single transactions and for the hot path, where a connection is a session of ours."""
    settings = {
        "application_name": "rapport",
        "timezone": "UTC",
        "statement_timeout": str(int(statement_timeout_seconds * 1000)),
        # A statement's limit ends no transaction between two statements, and a machine or a network that fails says no
        # goodbye: without this one the server would keep the locks until TCP gives up, hours later.
        "idle_in_transaction_session_timeout": str(
            max(1, int(statement_timeout_seconds * 1000 * _IDLE_SHARE))
        ),
    }
    # The server stops a statement first and says why; the client's own limit catches a silent server.
    bounds = {"command_timeout": statement_timeout_seconds + 1}
    # Every statement of the hot path is a look-up by key whose plan never depends on its arguments, and planning
    # one of them anew costs several times its execution. A plan that is made while a table is empty would read all of
    # the table, and go on doing so when it has grown.
    hot = settings | {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
    return bounds | {"server_settings": settings}, bounds | {"server_settings": hot}


def _pgbouncer_arguments(statement_timeout_seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same behind a pooler, where each transaction may meet another session.

    Nothing may be kept there: asyncpg then uses the unnamed statement, and parses it again with every execution, in one
    go. The pooler refuses settings that it does not track, so the client alone stops a statement (by a cancel request),
    and the pooler ends a transaction that nobody goes on with, when it is told to (docs/operations.md).
    """
    arguments = {
        "command_timeout": statement_timeout_seconds,
        "statement_cache_size": 0,
        "server_settings": {"application_name": "rapport", "timezone": "UTC"},
    }
    return arguments, arguments


class Database:
    """One PostgreSQL. Opening it connects to nothing: a service may start while its database is still away.

    `pgbouncer`: between here and there is a pooler that gives each transaction another session.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int,
        hot_size: int,
        wait_seconds: float,
        statement_timeout_seconds: float,
        pgbouncer: bool = False,
    ) -> None:
        address = connect_arguments(url) | {"timeout": CONNECT_TIMEOUT_SECONDS}
        kind = _pgbouncer_arguments if pgbouncer else _session_arguments
        single, hot = kind(statement_timeout_seconds)
        self._arguments = address | single
        self._hot_arguments = address | hot
        self._wait_seconds = wait_seconds
        self._hot_size = hot_size
        self._hot: asyncpg.Pool | None = None
        self._seats: list[Seat] = []
        self.engine = create_async_engine(
            "postgresql+asyncpg://",
            connect_args={"async_creator_fn": self._connect, **(_UNNAMED if pgbouncer else {})},
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=wait_seconds,
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)

    async def _connect(self, **_of_the_dialect: Any) -> asyncpg.Connection:
        return await asyncpg.connect(**self._arguments)

    async def hot(self) -> asyncpg.Pool:
        """The pool of bare connections, made on first use inside the running loop."""
        if self._hot is None:
            pool = asyncpg.create_pool(
                **self._hot_arguments, min_size=0, max_size=self._hot_size, reset=_keep_session
            )
            self._hot = pool
            await pool
        return self._hot

    def seat(self) -> Seat:
        """A bare connection for one task alone; closed with the database."""
        seat = Seat(self._connect_hot)
        self._seats.append(seat)
        return seat

    async def _connect_hot(self) -> asyncpg.Connection:
        return await asyncpg.connect(**self._hot_arguments)

    def seats_open(self) -> int:
        """Bare connections that their tasks keep."""
        return sum(seat.is_open for seat in self._seats)

    def hot_in_use(self) -> int:
        """Bare connections that somebody holds."""
        return 0 if self._hot is None else self._hot.get_size() - self._hot.get_idle_size()

    def hot_idle(self) -> int:
        """Bare connections that wait for work."""
        return 0 if self._hot is None else self._hot.get_idle_size()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction: committed when the block ends, rolled back when it raises.

        Raises Unavailable when the database is away, also at COMMIT (whose outcome is then unknown to the caller).
        """
        async with (
            _away_is_unavailable(),
            AsyncSession(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that only reads; nothing it does is kept."""
        async with _away_is_unavailable(), AsyncSession(self.engine) as session:
            yield session

    @asynccontextmanager
    async def hot_transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """A bare connection in a transaction, for the write path. Errors come as asyncpg raises them: lanes retry."""
        pool = await self.hot()
        async with pool.acquire(timeout=self._wait_seconds) as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def hot_reading(self) -> AsyncIterator[asyncpg.Connection]:
        """A bare connection outside any transaction: each statement sees the newest committed state."""
        pool = await self.hot()
        async with _away_is_unavailable(), pool.acquire(timeout=self._wait_seconds) as connection:
            yield connection

    async def close(self) -> None:
        """Close every connection, waiting for those in use no longer than a statement may take."""
        for seat in self._seats:
            seat.leave()
        if self._hot is not None:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await self._hot.close()
            except TimeoutError:
                self._hot.terminate()
            self._hot = None
        await self.engine.dispose()


# A standby that has replayed all it got does not lag, however long nothing happened.
_LAG = text(
    """
    SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
    WHERE pg_is_in_recovery() AND pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn()
    """
)


async def lag_seconds(session: AsyncSession) -> float | None:
    """How old the newest change is that this server knows, while it knows of newer ones; None when it is up to date."""
    found = (await session.execute(_LAG)).scalar_one_or_none()
    return None if found is None else float(found)


async def driver(session: AsyncSession) -> asyncpg.Connection:
    """The bare connection under a session whose transaction has begun, for calls into the write path.

    SQLAlchemy sends BEGIN with its first statement; SELECT 1 makes sure that it has.
    """
    connection = await session.connection()
    await connection.exec_driver_sql("SELECT 1")
    raw = await connection.get_raw_connection()
    bare = raw.driver_connection
    assert isinstance(bare, asyncpg.Connection)  # noqa: S101 - narrows a type that the pool erases
    return bare


def _refuse_closed(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
    """Asyncpg learns of a lost server at once: the pool replaces such a connection, and no ping is needed."""
    if dbapi_connection.driver_connection.is_closed():
        raise DisconnectionError
