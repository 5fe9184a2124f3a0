"""docs/operations.md, "Backup and restore", rehearsed with the embedded server's own tools."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from app.domain import keys
from app.main import create_app
from app.settings import Settings
from app.storage.database import connect_arguments
from app.storage.embedded import PORT, SUPERUSER, EmbeddedServer, start_embedded, stop_embedded
from app.storage.embedded_account import make_private, run, server_account
from app.storage.migrate import migrate_in_thread
from app.storage.tables import APP_ROLE, metadata

pytestmark = pytest.mark.long

PATIENCE_SECONDS = 60
KEY = keys.new_key(publishable=False)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where servers live and backups go: short, because sockets live in it, and open to the server's account."""
    made = Path(tempfile.mkdtemp(prefix="rapport-backup-"))
    account = server_account()
    shutil.chown(made, account.uid, account.gid)
    yield made
    shutil.rmtree(made)


@contextmanager
def running(home: Path) -> Iterator[EmbeddedServer]:
    server = start_embedded(home)
    try:
        yield server
    finally:
        stop_embedded(server)


def tool(server: EmbeddedServer, name: str, *arguments: str) -> None:
    address = (f"--host={server.socket_directory}", f"--port={PORT}", f"--username={SUPERUSER}")
    done = run(server_account(), server.bin_directory / name, *address, *arguments)
    assert done.returncode == 0, done.stderr


async def query(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(**connect_arguments(url))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def shop(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service on this database, and its admin."""
    app = create_app(Settings(database_url=url, admin_key=SecretStr(KEY), pool_size=2))
    headers = {"Authorization": f"Bearer {KEY}"}
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://rapport.test", headers=headers) as client,
    ):
        yield client


async def trade(client: httpx.AsyncClient, *numbers: int) -> None:
    """Facts of every kind that has tables of its own."""
    for number in numbers:
        who = {"external_id": f"c{number % 3}"}
        money = {"amount_minor": 1000 + number, "currency": "EUR"}
        bought = {"id": f"p{number}", "customer": who, "kind": "purchase", "order_id": f"o{number}", **money}
        told = {"customer": who, "subject": "Late", "severity": "high", "source_id": f"k{number}"}
        answered = {
            "customer": f"external_id:c{number % 3}",
            "kind": "nps",
            "rating": 3,
            "source_id": f"a{number}",
        }
        for path, body in (("touchpoints", bought), ("complaints", told), ("feedback", answered)):
            posted = await client.post(f"/v1/{path}", json=body)
            assert posted.status_code == 201, posted.text


async def contents(url: str) -> dict[str, Any]:
    """Each table as one number that changes with any of its rows."""
    hashed = "SELECT sum(hashtextextended(row::text, 0)) FROM {} AS row"
    return {table: await query(url, hashed.format(f'"{table}"')) for table in metadata.tables}


def prove(rapport: Any, owner_url: str, app_url: str) -> None:
    verified = rapport("verify", env={"RAPPORT_MIGRATION_URL": owner_url, "RAPPORT_DATABASE_URL": app_url})
    assert verified.returncode == 0, verified.stdout + verified.stderr


async def test_a_dump_is_restored_on_another_server_and_proves_itself(folder: Path, rapport: Any) -> None:
    dump = folder / "rapport.dump"
    with running(folder / "first") as first:
        await migrate_in_thread(first.url())
        async with shop(first.url(APP_ROLE)) as client:
            await trade(client, *range(6))
        before = await contents(first.url())
        tool(first, "pg_dump", "--format=custom", f"--file={dump}", SUPERUSER)
    with running(folder / "second") as second:
        tool(second, "createdb", "restored")
        tool(second, "pg_restore", "--no-owner", "--no-privileges", "--dbname=restored", str(dump))
        owner_url, app_url = second.url(database="restored"), second.url(APP_ROLE, "restored")
        migrated = rapport(
            "migrate", env={"RAPPORT_MIGRATION_URL": owner_url, "RAPPORT_DATABASE_URL": app_url}
        )
        assert migrated.returncode == 0, migrated.stderr
        assert await contents(owner_url) == before
        prove(rapport, owner_url, app_url)
        async with shop(app_url) as client:
            # What was stored before is known, and life goes on.
            again = await client.post(
                "/v1/touchpoints",
                json={
                    "id": "p0",
                    "customer": {"external_id": "c0"},
                    "kind": "purchase",
                    "order_id": "o0",
                    "amount_minor": 1000,
                    "currency": "EUR",
                },
            )
            assert (again.status_code, again.json()["duplicate"]) == (200, True)
            await trade(client, 7)
        prove(rapport, owner_url, app_url)


def archiving(home: Path, archive: Path) -> None:
    """Have the server of `home` keep its WAL in `archive`; a setting that wants a new start."""
    make_private(archive, server_account())
    with (home / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write(
            f"archive_mode = on\narchive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'\n"
        )


async def archived(url: str, archive: Path) -> None:
    """Wait until what has been written by now is in the archive."""
    name = await query(url, "SELECT pg_walfile_name(pg_current_wal_lsn())")
    await query(url, "SELECT pg_switch_wal()")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (archive / name).exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def promoted(url: str) -> None:
    """Wait until the server has replayed up to its target and takes writes; it may be read before."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while await query(url, "SELECT pg_is_in_recovery()"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_base_backup_and_its_wal_lead_to_any_point_in_time(folder: Path, rapport: Any) -> None:
    home, copy, archive = folder / "first", folder / "second", folder / "wal"
    stop_embedded(start_embedded(home))
    archiving(home, archive)
    with running(home) as server:
        await migrate_in_thread(server.url())
        async with shop(server.url(APP_ROLE)) as client:
            await trade(client, 0, 1)
            make_private(copy, server_account())
            tool(server, "pg_basebackup", f"--pgdata={copy}/postgres", "--checkpoint=fast")
            await trade(client, 2, 3)
        before = await contents(server.url())
        moment = datetime.now(UTC)
        await asyncio.sleep(0.05)
        # Somebody's mistake, which the backup is there for.
        await query(server.url(), "TRUNCATE touchpoints CASCADE")
        await archived(server.url(), archive)
    with (copy / "postgres" / "postgresql.auto.conf").open("a") as configuration:
        configuration.write(
            f"archive_mode = off\nrestore_command = 'cp {archive}/%f %p'\n"
            f"recovery_target_time = '{moment.isoformat()}'\nrecovery_target_action = promote\n"
        )
    (copy / "postgres" / "recovery.signal").touch()
    account = server_account()
    shutil.chown(copy / "postgres" / "recovery.signal", account.uid, account.gid)
    with running(copy) as restored:
        await promoted(restored.url())
        assert await contents(restored.url()) == before
        prove(rapport, restored.url(), restored.url(APP_ROLE))
