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
from app.storage.database import connect_arguments
from tests.cli.conftest import COMMAND, _environment

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


TOLD = "SELECT customer_id, properties ->> 'from' AS was, occurred_at FROM touchpoints WHERE kind = 'band_changed'"


async def test_a_worker_that_is_killed_again_and_again_loses_and_doubles_nothing(
    rapport: Any, start: Any, on_database: dict[str, str], owner_url: str
) -> None:
    await add_silent_customers(owner_url)
    told = 0
    for _ in range(3):
        worker = start()
        async with asyncio.timeout(60):
            while len(await fetch(owner_url, TOLD)) == told and worker.poll() is None:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
        worker.kill()
        worker.wait()
        told = len(await fetch(owner_url, TOLD))
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
