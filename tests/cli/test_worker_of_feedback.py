"""`rapport worker` killed (SIGKILL) amid complaints that are due, surveys to ask, and surveys to ask again."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from app.domain.feedback.answers import answer_of, natural_key
from app.domain.health.model import shipped
from app.domain.identifiers import parse_reference
from app.domain.touchpoints import propose
from app.storage.database import Database, connect_arguments
from app.usecases.complaints.receive_complaint import Told, receive_complaint
from app.usecases.feedback.change_follow_up import FollowUpChange, change_follow_up
from app.usecases.feedback.lock_recipient import lock_recipient
from app.usecases.feedback.record_answer import SaidAnswer, record_answer
from app.usecases.record_touchpoints import Entry, record_touchpoints
from app.usecases.surveys.define_survey import define_survey
from app.usecases.verify import verify
from tests.cli.test_worker import start

__all__ = ["start"]

MODEL: Final = shipped()
NOW: Final = datetime.now(UTC)
COMPLAINTS: Final = 250
"""More than two pages, each of which is a transaction."""
ASKED: Final = 150
KILLS: Final = 6
SURVEY: Final = {
    "code": "after",
    "kind": "csat",
    "question": "How was it?",
    "channel": "email",
    "trigger": {"on": "delivered"},
    "limits": {"quiet_days": 0},
}


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=2, hot_size=4, wait_seconds=60, statement_timeout_seconds=30)
    yield database
    await database.close()


async def complain(connection: asyncpg.Connection, number: int) -> None:
    """Told two months ago, and nothing was done about it: all three promises are broken."""
    told = Told(
        customer=parse_reference(f"external_id:{number}"),
        subject="Late",
        text=None,
        severity="high",
        remedy_sought=None,
        about={},
        source="shop",
        source_id=None,
        contact=None,
        calendar="default",
        body_sha256=bytes(32),
    )
    await receive_complaint(connection, told, MODEL, NOW - timedelta(days=60))


async def deliver_and_call(connection: asyncpg.Connection, number: int) -> None:
    """Somebody got a parcel just now, and was called twenty days ago about a bad answer to the same survey."""
    answered, called = NOW - timedelta(days=21), NOW - timedelta(days=20)
    locked = await lock_recipient(connection, parse_reference(f"email:c{number}@example.com"), answered)
    key = natural_key(source="shop", source_id=str(number), invitation_id=None, fresh_id="x")
    said = SaidAnswer(key, answer_of("csat", rating=1), bytes(32), "shop", answered, survey="after")
    told = await record_answer(connection, locked, said, MODEL, answered)
    assert told.follow_up is not None
    change = FollowUpChange(outcome="recovered")
    await change_follow_up(connection, locked.customer_id, told.follow_up.id, change, called)
    parcel = propose(
        source="shop",
        id="d1",
        kind="delivered",
        occurred_at=NOW,
        now=NOW,
        body_sha256=bytes(32),
        shop_currency="EUR",
    )
    await record_touchpoints(connection, [Entry(locked.customer_id, parcel)], MODEL)


@pytest.fixture
async def _due(store: Database) -> None:
    async with store.hot_transaction() as connection:
        await define_survey(connection, SURVEY, NOW - timedelta(days=30))
    for number in range(COMPLAINTS):
        async with store.hot_transaction() as connection:
            await complain(connection, number)
    for number in range(ASKED):
        async with store.hot_transaction() as connection:
            await deliver_and_call(connection, number)


DONE: Final = """
SELECT (SELECT count(*) FROM touchpoints WHERE kind IN ('complaint_warned', 'complaint_breached'))
  + (SELECT count(*) FROM survey_invitations)
"""
ALL: Final = COMPLAINTS * 6 + ASKED * 2
"""Of each complaint a warning and a breach by three clocks; of each customer a survey, and one again."""


@pytest.mark.usefixtures("_due")
async def test_a_worker_that_is_killed_at_random_tells_and_asks_each_once(
    rapport: Any, start: Any, on_database: dict[str, str], owner_url: str, store: Database
) -> None:
    watcher = await asyncpg.connect(**connect_arguments(owner_url))
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    seen: list[int] = []
    try:
        for kills_left in range(KILLS, 0, -1):
            worker = start()
            done = seen[-1] if seen else 0
            until = done + chance.randint(1, max(1, (ALL - done) // (kills_left + 1)))
            async with asyncio.timeout(120):
                while await watcher.fetchval(DONE) < min(until, ALL) and worker.poll() is None:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.002)
            # A page of complaints is one transaction: to die inside it, and not only behind it.
            await asyncio.sleep(chance.random() / 20)
            worker.kill()
            worker.wait()
            seen.append(await watcher.fetchval(DONE))
    finally:
        await watcher.close()
    # It was killed while work was left, and after some was done.
    assert 0 < seen[0] < ALL, (seed, seen)
    last = rapport("worker", "--once", env=on_database)
    assert last.returncode == 0, last.stderr

    async with store.hot_reading() as connection:
        notices: dict[UUID, Counter[tuple[str, str]]] = {}
        for row in await connection.fetch(
            """
            SELECT customer_id, kind, properties ->> 'clock' AS clock FROM touchpoints
            WHERE kind IN ('complaint_warned', 'complaint_breached')
            """
        ):
            told = notices.setdefault(row["customer_id"], Counter())
            told[row["kind"], row["clock"]] += 1
        lines = await connection.fetch(
            "SELECT complaint_id, count(*), count(DISTINCT touchpoint_id) FROM complaint_log GROUP BY 1"
        )
        asked = await connection.fetch(
            """
            SELECT customer_id, count(*) AS every, count(*) FILTER (WHERE occasion_key LIKE '%:follow\\_up:%') AS again,
              count(*) FILTER (WHERE state = 'queued') AS queued
            FROM survey_invitations GROUP BY 1
            """
        )
        left = await connection.fetchval("SELECT count(*) FROM follow_ups WHERE ask_due_at IS NOT NULL")
        linked = await connection.fetchval(
            "SELECT count(*) FROM follow_ups u"
            " JOIN survey_invitations i ON (i.customer_id, i.id) = (u.customer_id, u.invitation_id)"
        )
    clocks = ("acknowledge", "first_response", "resolution")
    kinds = ("complaint_warned", "complaint_breached")
    expected = Counter({(kind, clock): 1 for kind in kinds for clock in clocks})
    assert len(notices) == COMPLAINTS, seed
    assert [told for told in notices.values() if told != expected] == [], seed
    # The opening and what the clocks said, each with its touchpoint.
    assert [tuple(row)[1:] for row in lines] == [(7, 7)] * COMPLAINTS, seed
    assert [tuple(row)[1:] for row in asked] == [(2, 1, 2)] * ASKED, seed
    assert (left, linked) == (0, ASKED), seed
    assert [one.what for result in await verify(store) for one in result.first] == []
    assert rapport("worker", "--once", env=on_database).stdout.splitlines()[1:3] == [
        "complaints warned: 0, breached: 0, closed: 0, failed: 0",
        "surveys queued: 0, suppressed: 0, released: 0, cancelled: 0, expired: 0, failed: 0",
    ]
