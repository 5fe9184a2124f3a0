"""A real PostgreSQL for the tests, and how hard Hypothesis tries.

The server is a throw-away embedded one, or that of RAPPORT_DATABASE_URL, whose login must then be allowed to create
databases and roles. The migrations build a template once; what a test changes never outlives it. Durability stays
on: a new database was measured to take 50 to 100 ms with it and without it.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from app.storage.database import sqlalchemy_url
from app.storage.embedded import start_embedded, stop_embedded
from app.storage.migrate import migrate
from app.storage.tables import APP_ROLE
from tests.leaks import WATCH

# The same examples every time in CI, so that a red run is about the change; other ones on every run elsewhere.
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("dev", max_examples=200, deadline=None)
settings.register_profile("prove", max_examples=5000, deadline=None, print_blob=True)
# One run for each mutant of the code (`make mutants`): whether a test fails is asked, not how small an example may be.
settings.register_profile(
    "mutants",
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


# --- nothing leaks --------------------------------------------------------------------------------------------------

WATCH.install()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Fail the test during which personal data or a secret came out; see tests/leaks.py."""
    result = yield
    WATCH.check()
    return result


ROOM_BYTES = 8 * 2**30


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A server where tests may make databases. `app_role` is the login of the service there, None: the owner's."""

    admin_url: URL
    app_role: str | None

    def owner_url(self, database: str) -> str:
        """The database as its owner, who may change the schema."""
        return self.admin_url.set(database=database).render_as_string(hide_password=False)

    def app_url(self, database: str) -> str:
        """The database as the service uses it."""
        url = self.admin_url.set(database=database)
        return (url.set(username=self.app_role) if self.app_role else url).render_as_string(
            hide_password=False
        )

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """A database of its own name, dropped in the end whoever still uses it."""
        name = f"rapport_test_{secrets.token_hex(6)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield name
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            engine = create_async_engine(self.admin_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
            async with engine.connect() as connection:
                await connection.execute(text(statement))

        # A loop of its own, which leaves the loop of the tests alone.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(execute())


def _in_memory() -> Path | None:
    """A folder in memory where there is room for several servers: as durable for us, and no disk to wait for."""
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of its own in it
    is_there = memory.is_dir() and os.access(memory, os.W_OK)
    return memory if is_there and shutil.disk_usage(memory).free > ROOM_BYTES else None


@pytest.fixture(scope="session")
def database_server() -> Iterator[DatabaseServer]:
    if url := os.environ.get("RAPPORT_DATABASE_URL"):
        yield DatabaseServer(make_url(sqlalchemy_url(url)), None)
        return
    # Short, because a socket lives in it.
    home = Path(tempfile.mkdtemp(prefix="rapport-test-", dir=_in_memory()))
    server = start_embedded(home)
    try:
        yield DatabaseServer(make_url(server.url()), APP_ROLE)
    finally:
        stop_embedded(server)
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def template_database(database_server: DatabaseServer) -> Iterator[str]:
    """The name of a database that holds the schema and its reference rows; nobody connects to it."""
    with database_server.database() as name:
        migrate(database_server.owner_url(name))
        yield name


@pytest.fixture
def database(database_server: DatabaseServer, template_database: str) -> Iterator[str]:
    """The name of a database for this test alone, as the migrations leave it."""
    with database_server.database(template_database) as name:
        yield name


@pytest.fixture
def database_url(database_server: DatabaseServer, database: str) -> str:
    """A database for this test alone, as the service uses it: for what commits or takes several connections."""
    return database_server.app_url(database)


@pytest.fixture
def owner_url(database_server: DatabaseServer, database: str) -> str:
    """The same database as its owner: for what changes the schema or looks behind the service's back."""
    return database_server.owner_url(database)


@pytest.fixture(scope="session")
def shared_database(database_server: DatabaseServer, template_database: str) -> Iterator[str]:
    """The name of a database that all tests share and none changes: use `session`."""
    with database_server.database(template_database) as name:
        yield name


@pytest.fixture(scope="session")
async def shared_engine(database_server: DatabaseServer, shared_database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database_server.app_url(shared_database))
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(shared_engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that is rolled back after the test."""
    async with shared_engine.connect() as connection:
        transaction = await connection.begin()
        yield connection
        await transaction.rollback()


@pytest.fixture
async def session(connection: AsyncConnection) -> AsyncIterator[AsyncSession]:
    """A session inside that transaction: what the tested code commits or rolls back is a savepoint of it."""
    async with AsyncSession(
        connection, join_transaction_mode="create_savepoint", expire_on_commit=False
    ) as session:
        yield session
