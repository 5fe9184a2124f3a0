"""The database under attack: an embedded PostgreSQL of its own, the ways to kill it, and whoever starts it again."""

import asyncio
import os
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
        self._pid: int | None = None

    @property
    def server(self) -> EmbeddedServer:
        assert self._server is not None, "not started"
        return self._server

    async def start(self) -> None:
        """Start it, or find it running. Recovery after a crash is part of this."""
        before = self._server
        self._server = await asyncio.to_thread(start_embedded, self.home, start_timeout_seconds=START_SECONDS)
        self._pid = postmaster_pid(self.home)
        if before is not None:
            await asyncio.to_thread(stop_embedded, before)  # lets go of it; the new one holds it

    async def stop(self) -> None:
        await asyncio.to_thread(stop_embedded, self.server)

    async def keep_running(self) -> None:
        while True:
            if not _lives(self._pid):
                # The processes of the one before may take longer to leave than a start waits.
                with suppress(EmbeddedServerError):
                    await self.start()
            await asyncio.sleep(0.02)

    async def database(self) -> Target:
        """A new database with the schema, which refuses poison."""
        name = f"chaos_{secrets.token_hex(4)}"
        await self.execute(self.server.url(), f"CREATE DATABASE {name}")
        owner_url = self.server.url(database=name)
        await migrate_in_thread(owner_url)
        await self.execute(owner_url, _REFUSE_POISON)
        return Target(owner_url, self.server.url(APP_ROLE, name), self.server.socket_directory)

    async def execute(self, url: str, *statements: str) -> None:
        async with connection(url) as connected:
            for statement in statements:
                await connected.execute(statement)

    # --- killing ---

    async def kill_postmaster(self) -> None:
        """Without a word; its children see that and leave, and with them goes what was in their memory alone."""
        while not _lives(self._pid):  # still being started after the kill before
            await asyncio.sleep(0.02)
        assert self._pid is not None
        os.kill(self._pid, signal.SIGKILL)

    async def kill_backend(self, target: Target, chance: random.Random, number: int) -> None:
        """One backend of the service. SIGTERM is what pg_terminate_backend sends; on SIGKILL all others end too."""
        pid = await self._backend(target, chance)
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    async def _backend(self, target: Target, chance: random.Random) -> int:
        """The process of a connection of the service, at work if one is."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                async with connection(target.owner_url) as connected:
                    rows = await connected.fetch(
                        "SELECT pid, state <> 'idle' AS busy FROM pg_stat_activity "
                        "WHERE application_name = 'rapport' AND datname = current_database()"
                    )
                busy = [row["pid"] for row in rows if row["busy"]]
                if pids := busy or [row["pid"] for row in rows]:
                    return chance.choice(sorted(pids))
            await asyncio.sleep(0.02)
        raise TimeoutError("the service has no connection to the database")


def _lives(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[Postgres]:
    """A server in `home` while the block lasts."""
    postgres = Postgres(home)
    await postgres.start()
    try:
        await postgres.execute(postgres.server.url(), _SLOW_WAL_WRITER, "SELECT pg_reload_conf()")
        yield postgres
    finally:
        if not _lives(postgres._pid):
            await (
                postgres.start()
            )  # a killed one leaves processes and files: a start and a stop clear them away
        await postgres.stop()


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    connected = await asyncpg.connect(**connect_arguments(url), timeout=10, command_timeout=60)
    try:
        yield connected
    finally:
        connected.terminate()
