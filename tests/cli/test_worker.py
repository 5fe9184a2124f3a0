"""`rapport worker` as its operator has it: killed, stopped, and run from a timer."""

import asyncio
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.domain.health.facts import fact_of
from app.domain.health.history import fold
from app.domain.health.model import shipped
from app.domain.ids import uuid7
from app.domain.touchpoints import seconds
from app.storage.database import Database, connect_arguments
from tests.cli.conftest import COMMAND, _environment
from tests.usecases.loyalty.clubs import Club

MODEL = shipped()
CUSTOMERS = 400
LONG = timedelta(days=800)


async def fetch(url: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(**connect_arguments(url))
    try:
        return list(await connection.fetch(statement, *arguments))
    finally:
        await connection.close()


async def add_silent_customers(url: str) -> None:
    """Who bought monthly until two years ago, and of whom no worker has taken notice since."""
    then = datetime.now(UTC) - LONG
    bought = [fact_of("purchase", seconds(then) - n * 30 * 86_400, str(n), amount=3000) for n in range(8)]
    customers = [uuid7(number) for number in range(CUSTOMERS)]
    await fetch(
        url,
        "INSERT INTO customers (id, created_at, updated_at) SELECT id, $2, $2 FROM unnest($1::uuid[]) AS new (id)",
        customers,
        then,
    )
    await fetch(
        url,
        """
        INSERT INTO customer_states (customer_id, state, band, score, scored_at, scored_by, band_until)
        SELECT id, $2, 'thriving', 87, $3, $4, $3 FROM unnest($1::uuid[]) AS new (id)
        """,
        customers,
        fold(bought).encode(),
        then,
        MODEL.version,
    )


@pytest.fixture
def start(tmp_path: Path, on_database: dict[str, str]) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start workers; those that a test leaves running are killed after it."""
    workers: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        with (tmp_path / "worker.log").open("ab") as log:
            command = (*COMMAND, "worker")
            workers.append(subprocess.Popen(command, env=_environment(on_database), stderr=log, stdout=log))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.kill()
        worker.wait()


PAGE = 100
"""How many a worker takes into one transaction."""


async def kill_amid(start: Any, workers: int, url: str, left: str, last: str) -> None:
    """Twice: start so many workers, and kill them once they did something.

    `left` counts what is to do, `last` names the customer whose turn is last: that one is held, so that there is
    always work left to be killed amid, however late this process hears of what was done.
    """
    watcher, holder = [await asyncpg.connect(**connect_arguments(url)) for _ in range(2)]
    try:
        for _ in range(2):
            before = await watcher.fetchval(left)
            async with holder.transaction():
                await holder.fetch(f"SELECT FROM customer_states WHERE customer_id = ({last}) FOR UPDATE")
                running = [start() for _ in range(workers)]
                async with asyncio.timeout(120):
                    # Who is held keeps the page waiting that it is in, so the last of them may all be left.
                    while before > PAGE and await watcher.fetchval(left) == before:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.005)
                for worker in running:
                    assert worker.poll() is None
                    worker.kill()
                    worker.wait()
            assert await watcher.fetchval(left) > 0
    finally:
        await watcher.close()
        await holder.close()


TOLD = "SELECT customer_id, properties ->> 'from' AS was, occurred_at FROM touchpoints WHERE kind = 'band_changed'"
SILENT = "SELECT count(*) FROM customer_states WHERE band <> 'lost'"
LAST_SILENT = "SELECT customer_id FROM customer_states ORDER BY band_until DESC, customer_id DESC LIMIT 1"


async def test_a_worker_that_is_killed_again_and_again_loses_and_doubles_nothing(
    rapport: Any, start: Any, on_database: dict[str, str], owner_url: str
) -> None:
    await add_silent_customers(owner_url)
    await kill_amid(start, 1, owner_url, SILENT, LAST_SILENT)
    done = rapport("worker", "--once", env=on_database)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("changed: ")

    rows = await fetch(owner_url, TOLD)
    passed: dict[UUID, list[str]] = {row["customer_id"]: [] for row in rows}
    for row in sorted(rows, key=lambda row: row["occurred_at"]):
        passed[row["customer_id"]].append(row["was"])
    assert len(passed) == CUSTOMERS
    assert {tuple(bands) for bands in passed.values()} == {("thriving", "healthy", "cooling", "at_risk")}
    bands = await fetch(owner_url, "SELECT DISTINCT band FROM customer_states")
    assert [row["band"] for row in bands] == ["lost"]
    assert rapport("worker", "--once", env=on_database).stdout.splitlines()[:2] == [
        "changed: 0, held: 0, redrawn: 0, failed: 0",
        "complaints warned: 0, breached: 0, closed: 0, failed: 0",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_that_is_asked_to_stop_does(
    start: Any, owner_url: str, tmp_path: Path, number: int
) -> None:
    await add_silent_customers(owner_url)
    worker = start()
    async with asyncio.timeout(60):
        # The first sweep is over once nobody is due any more.
        while await fetch(owner_url, "SELECT 1 FROM customer_states WHERE band <> 'lost' LIMIT 1"):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    worker.send_signal(number)
    assert worker.wait(timeout=30) == 0
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


def test_a_worker_without_its_database_says_so(rapport: Any) -> None:
    away = {"RAPPORT_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    done = rapport("worker", "--once", env=away)
    assert done.returncode == 2
    assert done.stderr.startswith("rapport: cannot reach the database")


# --- loyalty --------------------------------------------------------------------------------------------------------

MEMBERS = 400
LAPSING = f"SELECT {MEMBERS} - count(*) FROM loyalty_entries WHERE kind = 'expire'"  # noqa: S608 - our own number
LAST_TO_LAPSE = "SELECT customer_id FROM loyalty_accounts ORDER BY due_at DESC, customer_id DESC LIMIT 1"


async def add_members(url: str) -> None:
    """Members of long ago, with points that have lapsed and a tier whose grace is over; nobody looked at them since."""
    then = datetime.now(UTC) - LONG
    database = Database(url, pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=30)
    club = Club(database).at(then)
    await club.open()
    for who in await club.members(MEMBERS):
        await club.earn(who, 1_000, expires_at=then + timedelta(days=100))
    await database.close()


async def test_workers_that_are_killed_amid_the_clock_of_loyalty_lose_and_double_nothing(
    rapport: Any, start: Any, on_database: dict[str, str], owner_url: str
) -> None:
    await add_members(owner_url)
    # Two at once, and both are killed in the middle of it.
    await kill_amid(start, 2, owner_url, LAPSING, LAST_TO_LAPSE)
    ended = rapport("worker", "--once", env=on_database)
    assert ended.returncode == 0, ended.stderr
    ledgers = await fetch(
        owner_url,
        "SELECT customer_id, array_agg(kind ORDER BY seq) AS kinds, sum(points) AS points"
        " FROM loyalty_entries GROUP BY customer_id",
    )
    assert len(ledgers) == MEMBERS
    assert {(tuple(row["kinds"]), row["points"]) for row in ledgers} == {(("earn", "expire"), 0)}
    told = await fetch(
        owner_url,
        "SELECT customer_id, count(*) AS moves, count(DISTINCT id) AS names FROM touchpoints"
        " WHERE kind = 'tier_changed' GROUP BY customer_id",
    )
    # Gold, then one tier down at the end of the first grace; the next review is still in its own.
    assert len(told) == MEMBERS
    assert {row["moves"] == row["names"] for row in told} == {True}
    assert len({row["moves"] for row in told}) == 1
    assert rapport("worker", "--once", env=on_database).stdout.splitlines()[-1] == (
        "loyalty looked: 0, expired: 0, timed_out: 0, moved: 0, warned: 0, celebrated: 0, ended: 0, failed: 0"
    )
    verified = rapport("verify", env=on_database)
    assert verified.returncode == 0, verified.stdout
