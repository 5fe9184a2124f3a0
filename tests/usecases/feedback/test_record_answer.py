"""Answers through the use case: many at once, to invitations, and how many statements lists and figures take."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from app.domain.feedback.answers import answer_of, natural_key
from app.domain.feedback.periods import window_of
from app.domain.health.model import shipped
from app.domain.identifiers import parse_reference
from app.domain.ids import uuid7
from app.domain.problems import Conflict
from app.storage import feedback, figures, follow_ups
from app.storage.database import Database, connect_arguments
from app.usecases.feedback.change_answer import Told
from app.usecases.feedback.lock_recipient import lock_recipient
from app.usecases.feedback.record_answer import SaidAnswer, record_answer
from app.usecases.feedback.summarise_answers import summarise_answers
from app.usecases.verify import verify
from tests.usecases.posts import NOW

MODEL = shipped()
ANSWERS = 1000
CUSTOMERS = 250
INVITATION = uuid7(1)


def invited(rating: int, invitation_id: UUID) -> SaidAnswer:
    digest = hashlib.sha256(f"{rating}".encode()).digest()
    key = natural_key(source="s", source_id=None, invitation_id=str(invitation_id), fresh_id="x")
    answer = answer_of("nps", rating=rating)
    return SaidAnswer(key, answer, digest, "survey", NOW, survey="quarterly", invitation_id=invitation_id)


async def record(store: Database, customer: str, said: SaidAnswer, now: datetime = NOW) -> Told:
    async with store.hot_transaction() as connection:
        locked = await lock_recipient(connection, parse_reference(customer), now)
        return await record_answer(connection, locked, said, MODEL, now)


async def counts(store: Database) -> tuple[int, ...]:
    async with store.hot_reading() as connection:
        row = await connection.fetchrow(
            """
            SELECT (SELECT count(*) FROM feedback), (SELECT count(DISTINCT invitation_id) FROM feedback),
              (SELECT count(*) FROM feedback_revisions), (SELECT count(*) FROM touchpoints WHERE kind = 'nps'),
              (SELECT count(*) FROM touchpoint_voids), (SELECT count(*) FROM follow_ups)
            """
        )
        return tuple(row)


async def test_a_thousand_answers_at_once_are_stored_once_each(store: Database) -> None:
    """To 1,000 invitations of 250 customers, each sent twice at the same time, over eight connections."""
    gate = asyncio.Semaphore(8)
    invitations = [uuid7(number) for number in range(ANSWERS)]

    async def send(number: int) -> Told:
        async with gate:
            customer = f"external_id:{number % CUSTOMERS}"
            return await record(store, customer, invited(number % 11, invitations[number]))

    # Those who are new are made by whoever comes first.
    told = await asyncio.gather(*[send(number) for number in [*range(ANSWERS), *range(ANSWERS)]])
    stored = [one for one in told if one.status == "stored"]
    assert len(stored) == len({one.feedback.id for one in told}) == ANSWERS
    assert {one.status for one in told} == {"stored", "duplicate"}
    low = sum(number % 11 <= 6 for number in range(ANSWERS))
    assert await counts(store) == (ANSWERS, ANSWERS, ANSWERS, ANSWERS, 0, low)
    first = {one.feedback.id: json.loads(one.outcome) for one in stored}
    assert all(json.loads(one.outcome) == first[one.feedback.id] for one in told)
    assert {result.check.name: result.differences for result in await verify(store)}["states"] == 0


async def test_two_tabs_at_once_are_one_answer_and_one_update(store: Database) -> None:
    await record(store, "external_id:42", invited(5, uuid7(2)))
    told = await asyncio.gather(
        *[record(store, "external_id:42", invited(rating, INVITATION)) for rating in (2, 9)]
    )
    assert sorted(one.status for one in told) == ["changed", "stored"]
    (changed,) = [one for one in told if one.status == "changed"]
    assert (changed.feedback.revision, len({one.feedback.id for one in told})) == (2, 1)
    assert (await counts(store))[:5] == (2, 2, 3, 3, 1)


async def test_an_answer_to_an_invitation_is_final_after_a_day(store: Database) -> None:
    await record(store, "external_id:42", invited(2, INVITATION))
    before = timedelta(hours=23, minutes=59)
    assert (await record(store, "external_id:42", invited(9, INVITATION), NOW + before)).status == "changed"
    day = NOW + timedelta(days=1)
    assert (await record(store, "external_id:42", invited(9, INVITATION), day)).status == "duplicate"
    with pytest.raises(Conflict) as refused:
        await record(store, "external_id:42", invited(2, INVITATION), day)
    assert refused.value.code == "answer_final"


async def test_an_invitation_has_one_answer_by_the_databases_own_constraint(store: Database) -> None:
    await record(store, "external_id:42", invited(2, INVITATION))
    async with store.hot_transaction() as connection:
        statement = """
            INSERT INTO feedback
            SELECT (jsonb_populate_record(f, jsonb_build_object('id', gen_random_uuid(), 'source_id', 'other'))).*
            FROM feedback f
        """
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await connection.execute(statement)
        assert refused.value.constraint_name == "uq_feedback_invitation"


async def test_revisions_are_never_changed_by_the_service(store: Database) -> None:
    await record(store, "external_id:42", invited(2, INVITATION))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with store.hot_transaction() as connection:
            await connection.execute("UPDATE feedback_revisions SET rating = 10")


# --- statements -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def counted(database_url: str) -> AsyncIterator[tuple[asyncpg.Connection, list[str]]]:
    """A connection, and what was asked over it."""
    connection = await asyncpg.connect(**connect_arguments(database_url))
    said: list[str] = []
    connection.add_query_logger(lambda record: said.append(record.query))
    yield connection, said
    await connection.close()


async def test_lists_and_figures_are_one_statement_each_however_many_answers_there_are(
    store: Database, counted: tuple[asyncpg.Connection, list[str]]
) -> None:
    connection, said = counted
    window = window_of(None, None, ZoneInfo("UTC"), NOW)

    async def statements() -> list[int]:
        numbers = []
        for read in (
            lambda: feedback.newest(connection, 50),
            lambda: follow_ups.due_first(connection, 50, follow_ups.Narrow()),
            lambda: figures.counts(connection, "nps", figures.Span(window.start, window.end), "tag", "UTC"),
            lambda: summarise_answers(connection, "nps", window, "survey", "UTC"),
            lambda: summarise_answers(connection, "nps", window, "tag", "UTC"),
        ):
            said.clear()
            await read()
            await asyncio.sleep(0)  # the logger is told at the loop's next turn
            numbers.append(len(said))
        return numbers

    await statements()
    before = await statements()
    for number in range(30):
        await record(store, f"external_id:{number}", invited(number % 11, uuid7(number)))
    assert await statements() == before == [1, 1, 1, 4, 6]  # the figures, and those of the invitations
