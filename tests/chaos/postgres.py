"""The database under attack: an embedded PostgreSQL of its own, the ways to kill it, and whoever starts it again."""

import asyncio
import random
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # comes with the embedded server, without types

from app.storage.database import connect_arguments
from app.storage.embedded import (
    EmbeddedServer,
    EmbeddedServerError,
    postmaster_pid,
    start_embedded,
    stop_embedded,
)
from app.storage.migrate import migrate_in_thread
from app.storage.tables import APP_ROLE

START_SECONDS = 60.0
# An event that passes every rule and that the database then refuses: it must fail alone.
POISON = "poison"
_REFUSE_POISON = (
    f"ALTER TABLE touchpoints ADD CONSTRAINT chaos_poison CHECK (description IS DISTINCT FROM '{POISON}')"
)
# A commit that does not wait for its WAL is written out by the WAL writer. At its slowest, what it owes is plain to
# see after a crash; commits that do wait are no different for it.
_SLOW_WAL_WRITER = "ALTER SYSTEM SET wal_writer_delay = '10s'"
# So that WAL does not fill a small disk by itself.
_SMALL_WAL = ("ALTER SYSTEM SET max_wal_size = '96MB'", "ALTER SYSTEM SET min_wal_size = '32MB'")
_TEMPLATE = "chaos_template"


@dataclass(frozen=True, slots=True)
class Target:
    """One database, as its owner and as the service. `directory` holds the server's socket."""

    owner_url: str
    app_url: str
    directory: Path


class Postgres:
    """Start it with `running`. `keep_running` starts it again whenever it was killed, as an init system does."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._server: EmbeddedServer | None = None
        self._postmaster: psutil.Process | None = None

    @property
    def server(self) -> EmbeddedServer:
        assert self._server is not None, "not started"
        return self._server

    async def start(self) -> None:
        """Start it, or find it running. Recovery after a crash is part of this."""
        before = self._server
        self._server = await asyncio.to_thread(start_embedded, self.home, start_timeout_seconds=START_SECONDS)
        pid = postmaster_pid(self.home)
        # Not the number alone: psutil refuses to signal whoever else may have it by then.
        self._postmaster = None if pid is None else psutil.Process(pid)
        if before is not None:
            await asyncio.to_thread(stop_embedded, before)  # lets go of it; the new one holds it

    async def stop(self) -> None:
        """At once and without a last checkpoint (SIGQUIT): nobody will read this data again."""
        if self.lives:
            self._signal(signal.SIGQUIT)
            await asyncio.to_thread(self._await_end)
        await asyncio.to_thread(stop_embedded, self.server)

    async def keep_running(self) -> None:
        while True:
            if not self.lives:
                # The processes of the one before may take longer to leave than a start waits.
                with suppress(EmbeddedServerError):
                    await self.start()
            await asyncio.sleep(0.02)

    async def prepare(self) -> None:
        """The template of all databases: the schema, and a rule that refuses poison."""
        settings = (_SLOW_WAL_WRITER, *_SMALL_WAL)
        await self.execute(self.server.url(), *settings, "SELECT pg_reload_conf()")
        await self.execute(self.server.url(), f"CREATE DATABASE {_TEMPLATE}")
        url = self.server.url(database=_TEMPLATE)
        await migrate_in_thread(url)
        await self.execute(url, _REFUSE_POISON)

    async def database(self) -> Target:
        """A new database with the schema, which refuses poison."""
        name = f"chaos_{secrets.token_hex(4)}"
        await self.execute(self.server.url(), f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return Target(
            self.server.url(database=name), self.server.url(APP_ROLE, name), self.server.socket_directory
        )

    async def execute(self, url: str, *statements: str) -> None:
        async with connection(url) as connected:
            for statement in statements:
                await connected.execute(statement)

    # --- killing ---

    async def kill_postmaster(self) -> None:
        """Without a word; its children see that and leave, and with them goes what was in their memory alone."""
        self._signal(signal.SIGKILL)

    async def kill_backend(self, target: Target, chance: random.Random, number: int) -> None:
        """One backend of the service. SIGTERM is what pg_terminate_backend sends; on SIGKILL all others end too."""
        pid = await self._backend(target, chance)
        with suppress(psutil.NoSuchProcess):
            backend = psutil.Process(pid)
            if self._postmaster is not None and backend.ppid() == self._postmaster.pid:
                backend.send_signal(number)

    @property
    def lives(self) -> bool:
        """Whether the postmaster does; one that nobody has reaped yet does not."""
        try:
            return self._postmaster is not None and self._postmaster.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def _signal(self, number: int) -> None:
        with suppress(psutil.NoSuchProcess):  # still being started after the kill before
            if self._postmaster is not None:
                self._postmaster.send_signal(number)

    def _await_end(self) -> None:
        while self.lives:
            time.sleep(0.02)

    async def _backend(self, target: Target, chance: random.Random) -> int:
        """The process of a connection of the service, at work if one is."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(
                OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError
            ):
                async with connection(target.owner_url) as connected:
                    rows = await connected.fetch(
                        "SELECT pid, state <> 'idle' AS busy FROM pg_stat_activity "
                        "WHERE application_name = 'rapport' AND datname = current_database()"
                    )
                busy = [row["pid"] for row in rows if row["busy"]]
                if pids := busy or [row["pid"] for row in rows]:
                    chosen: int = chance.choice(sorted(pids))
                    return chosen
            await asyncio.sleep(0.02)
        raise TimeoutError("the service has no connection to the database")


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[Postgres]:
    """A server in `home` while the block lasts."""
    postgres = Postgres(home)
    await postgres.start()
    try:
        await postgres.prepare()
        yield postgres
    finally:
        # A killed one leaves processes and files, which a start and a stop clear away.
        if not postgres.lives:
            await postgres.start()
        await postgres.stop()


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    connected = await asyncpg.connect(**connect_arguments(url), timeout=10, command_timeout=60)
    try:
        yield connected
    finally:
        connected.terminate()
