"""What counts as "the database is away", on real connections that are lost in real ways."""

import asyncio
import threading
import time

import asyncpg
import pytest

from app.domain.problems import Unavailable
from app.storage.database import Database, connect_arguments, is_away


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
