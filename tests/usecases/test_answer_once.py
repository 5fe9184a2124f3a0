from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.problems import Conflict, Invalid, NotFound
from app.storage import idempotency
from app.storage.database import Database, driver
from app.storage.idempotency import Question
from app.usecases.answer_once import KEPT_FOR, Answer, answer_once

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
ASKED = Question("key-1", "POST /v1/things", "k-1")
BODY, OTHER_BODY = b"\x01" * 32, b"\x02" * 32


@pytest.fixture
async def bare(session: AsyncSession) -> asyncpg.Connection:
    return await driver(session)


class Work:
    """Counts how often it is done, and says so."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> Answer:
        self.times += 1
        return Answer(201, {"times": self.times, "text": "é\u2028"}, {"ETag": '"1"'})


async def test_the_same_question_is_answered_the_same_and_worked_on_once(bare: asyncpg.Connection) -> None:
    work = Work()
    first = await answer_once(bare, ASKED, BODY, NOW, work)
    again = await answer_once(bare, ASKED, BODY, NOW + timedelta(hours=23), work)
    assert (again.status, again.body, again.headers) == (first.status, first.body, first.headers)
    assert (first.replayed, again.replayed, work.times) == (False, True, 1)


async def test_another_body_under_the_same_key_is_refused(bare: asyncpg.Connection) -> None:
    work = Work()
    await answer_once(bare, ASKED, BODY, NOW, work)
    with pytest.raises(Invalid) as raised:
        await answer_once(bare, ASKED, OTHER_BODY, NOW, work)
    assert (raised.value.code, work.times) == ("idempotency_key_reused", 1)


@pytest.mark.parametrize(
    "other",
    [
        Question("key-2", "POST /v1/things", "k-1"),
        Question("key-1", "POST /v1/others", "k-1"),
        Question("key-1", "POST /v1/things", "k-2"),
    ],
)
async def test_caller_route_and_key_make_the_question(bare: asyncpg.Connection, other: Question) -> None:
    work = Work()
    await answer_once(bare, ASKED, BODY, NOW, work)
    await answer_once(bare, other, OTHER_BODY, NOW, work)
    assert work.times == 2


async def test_after_a_day_the_key_is_free_for_another_body(bare: asyncpg.Connection) -> None:
    work = Work()
    await answer_once(bare, ASKED, BODY, NOW, work)
    later = NOW + KEPT_FOR + timedelta(seconds=1)
    fresh = await answer_once(bare, ASKED, OTHER_BODY, later, work)
    assert (fresh.replayed, work.times) == (False, 2)
    assert (await answer_once(bare, ASKED, OTHER_BODY, later, work)).replayed


async def test_a_problem_is_not_kept(bare: asyncpg.Connection) -> None:
    async def fail() -> Answer:
        raise NotFound("thing_not_found", "There is no such thing.")

    with pytest.raises(NotFound):
        await answer_once(bare, ASKED, BODY, NOW, fail)
    assert not (await answer_once(bare, ASKED, BODY, NOW, Work())).replayed


async def test_a_question_that_is_being_answered_is_a_conflict(store: Database) -> None:
    async with store.hot_transaction() as first, store.hot_transaction() as second:

        async def work() -> Answer:
            with pytest.raises(Conflict) as raised:
                await answer_once(second, ASKED, BODY, NOW, Work())
            assert raised.value.code == "idempotency_in_flight"
            return Answer(201, {}, {})

        await answer_once(first, ASKED, BODY, NOW, work)


async def test_a_rolled_back_answer_was_never_given(store: Database) -> None:
    work = Work()
    async with store.hot_reading() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await answer_once(connection, ASKED, BODY, NOW, work)
        await transaction.rollback()
    async with store.hot_transaction() as connection:
        assert not (await answer_once(connection, ASKED, BODY, NOW, work)).replayed


async def test_old_answers_are_forgotten_a_few_at_a_time(bare: asyncpg.Connection) -> None:
    for number in range(5):
        asked = Question("key-1", "POST /v1/things", f"k-{number}")
        await answer_once(bare, asked, BODY, NOW + timedelta(hours=number), Work())
    until = NOW + timedelta(hours=3)
    assert [await idempotency.forget(bare, until, limit=2) for _ in range(3)] == [2, 1, 0]
    assert await bare.fetchval("SELECT count(*) FROM idempotency_keys") == 2
