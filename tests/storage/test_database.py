"""What counts as "the database is away", on real connections that are lost in real ways."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.domain.problems import Unavailable
from app.storage.database import Database, connect_arguments, driver, is_away

STATEMENT_SECONDS = 4.0


def terminate(url: str, *pids: int) -> None:
    """End these connections from elsewhere, while our own loop stands still and reads nothing."""

    async def end() -> None:
        connection = await asyncpg.connect(**connect_arguments(url))
        await connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest($1::int[]) AS pid", pids)
        await connection.close()

    elsewhere = threading.Thread(target=lambda: asyncio.run(end()))
    elsewhere.start()
    elsewhere.join()


async def test_a_connection_of_which_only_the_goodbye_has_arrived_is_away(database_url: str) -> None:
    """The server's last word and the end of the stream are two events of the loop: a query may come between."""
    errors: list[Exception] = []
    for turns in range(6):
        connection = await asyncpg.connect(**connect_arguments(database_url))
        terminate(database_url, connection.get_server_pid())
        for _ in range(turns):
            await asyncio.sleep(0)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each turn of the loop has another one
            await connection.execute("BEGIN")
        errors.append(caught.value)
        connection.terminate()
    assert any(isinstance(error, asyncpg.InternalClientError) for error in errors), errors
    assert [error for error in errors if not is_away(error)] == []


async def test_a_pool_whose_server_ended_its_connections_goes_on_with_new_ones(database_url: str) -> None:
    database = Database(database_url, pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=10)
    async with database.hot_transaction() as first, database.hot_transaction() as second:
        pids = first.get_server_pid(), second.get_server_pid()
    terminate(database_url, *pids)
    answered = 0
    deadline = time.monotonic() + 10
    while answered < 20:
        assert time.monotonic() < deadline
        try:
            async with database.hot_reading() as connection:
                answered += await connection.fetchval("SELECT 1")
        except Unavailable:
            await asyncio.sleep(0.01)
    await database.close()


@asynccontextmanager
async def locking(database: Database, *, hot: bool) -> AsyncIterator[asyncpg.Connection]:
    """A transaction of either pool that holds what others want too."""
    lock = "SELECT pg_advisory_xact_lock($1)"
    if hot:
        async with database.hot_transaction() as connection:
            await connection.execute(lock, 1)
            yield connection
    else:
        async with database.transaction() as session:
            connection = await driver(session)
            await connection.execute(lock, 1)
            yield connection


@pytest.mark.parametrize("hot", [True, False])
async def test_whoever_waits_for_a_transaction_that_nobody_goes_on_with_is_served_in_time(
    database_url: str, *, hot: bool
) -> None:
    """As when the machine of another process loses its power: its connection stays open, and says no goodbye."""
    left, ours = (
        Database(
            database_url, pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=STATEMENT_SECONDS
        )
        for _ in range(2)
    )
    locked, served = asyncio.Event(), asyncio.Event()

    async def stand_still() -> None:
        async with locking(left, hot=hot) as held:
            locked.set()
            await served.wait()
            await held.execute("SELECT 1")

    standing = asyncio.ensure_future(stand_still())
    try:
        async with asyncio.timeout(60):
            await locked.wait()
        async with locking(ours, hot=hot):
            assert not standing.done()
    finally:
        served.set()
        (ended,) = await asyncio.gather(standing, return_exceptions=True)
    # The one that stood still hears that it may try again, and can.
    assert isinstance(ended, Exception)
    assert is_away(ended) if hot else isinstance(ended, Unavailable)
    async with locking(left, hot=hot):
        pass
    await left.close()
    await ours.close()
