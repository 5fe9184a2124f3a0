"""The clocks of complaints on a real database: told once, whoever looks and whoever dies, and what verify says."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import asyncpg
import pytest

from app.domain.feedback.complaint_records import Complaint
from app.domain.feedback.complaint_states import REASONS, TERMINAL
from app.domain.feedback.complaints import allowed
from app.domain.health.model import shipped
from app.domain.identifiers import parse_reference
from app.storage.database import Database, connect_arguments
from app.usecases.complaints.find_complaint import find_complaint
from app.usecases.complaints.receive_complaint import Told, receive_complaint
from app.usecases.complaints.watch_complaints import Watched, watch_complaints
from app.usecases.complaints.work_on_complaint import Actor, Move, answer_complaint, move_complaint
from app.usecases.complaints.writing import Done
from app.usecases.verify import verify
from tests.usecases.test_sweep_bands import Breaking

MODEL = shipped()
MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
"""The default calendar opens: a business day is 8 hours, so the first promises are due at 17:00."""
WARNS = MONDAY + timedelta(hours=6.5)
DUE = MONDAY + timedelta(hours=9)
LATER = MONDAY + timedelta(days=30)


@dataclass
class Desk:
    """Agents, workers, and what the tables say."""

    store: Database

    async def told(self, number: int = 0, at: datetime = MONDAY) -> Complaint:
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
        async with self.store.hot_transaction() as connection:
            return (await receive_complaint(connection, told, MODEL, at)).done.complaint

    async def go(self, complaint: Complaint, at: datetime, *path: str, **members: Any) -> Complaint:
        for to in path:
            move = Move(
                to,
                complaint.case.version,
                members.get("reason"),
                visible=False,
                note=None,
                csat=None,
                merged_into=members.get("merged_into"),
            )
            async with self.store.hot_transaction() as connection:
                done = await move_complaint(connection, complaint.public_id, move, Actor("desk", at, MODEL))
            complaint = done.complaint
        return complaint

    async def answer(self, complaint: Complaint, at: datetime) -> Done:
        async with self.store.hot_transaction() as connection:
            actor = Actor("desk", at, MODEL)
            return await answer_complaint(connection, complaint.public_id, "Hello", actor, visible=True)

    async def look(self, now: datetime, store: Database | None = None, page: int = 100) -> Watched:
        return await watch_complaints(store or self.store, MODEL, now, page)

    async def read(self, complaint: Complaint) -> Complaint:
        async with self.store.hot_reading() as connection:
            return await find_complaint(connection, complaint.public_id)

    async def notices(self) -> list[tuple[str, str, datetime]]:
        """What the clocks said in the customers' logs: kind, clock, when it came about."""
        async with self.store.hot_reading() as connection:
            rows = await connection.fetch(
                """
                SELECT kind, properties ->> 'clock' AS clock, occurred_at, customer_id
                FROM touchpoints WHERE kind IN ('complaint_warned', 'complaint_breached')
                ORDER BY occurred_at, customer_id, kind, clock
                """
            )
        return [(row[0].removeprefix("complaint_"), row[1], row[2]) for row in rows]

    async def differences(self) -> list[str]:
        return [one.what for result in await verify(self.store) for one in result.first]


@pytest.fixture
def desk(store: Database) -> Desk:
    return Desk(store)


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    yield connection
    await connection.close()


async def test_clocks_warn_and_breach_once_and_when_it_came_about(desk: Desk) -> None:
    complaint = await desk.told()
    assert await desk.look(WARNS - timedelta(hours=1)) == Watched()
    assert await desk.look(WARNS) == Watched(warned=2)
    assert await desk.look(WARNS) == Watched()
    # A promise kept on the very second is kept.
    assert (await desk.look(MONDAY + timedelta(hours=8))).breached == 0
    assert await desk.look(DUE) == Watched(breached=2)
    warned, due = MONDAY + timedelta(hours=6.4), MONDAY + timedelta(hours=8)
    assert await desk.notices() == [
        ("warned", "acknowledge", warned),
        ("warned", "first_response", warned),
        ("breached", "acknowledge", due),
        ("breached", "first_response", due),
    ]
    read = await desk.read(complaint)
    assert read.case.version == 1
    assert read.case.breaches == {"acknowledge", "first_response"}
    assert await desk.look(LATER) == Watched(warned=1, breached=1)
    assert await desk.look(LATER + timedelta(days=900)) == Watched()
    assert await desk.differences() == []


async def test_a_step_tells_what_its_clocks_had_to_say_before_any_worker(desk: Desk) -> None:
    complaint = await desk.told()
    await desk.go(complaint, DUE, "acknowledged")
    assert [notice[:2] for notice in await desk.notices()] == [
        ("warned", "acknowledge"),
        ("warned", "first_response"),
        ("breached", "acknowledge"),
        ("breached", "first_response"),
    ]
    assert await desk.look(DUE) == Watched()
    assert await desk.differences() == []


async def test_an_answer_in_time_keeps_the_promise(desk: Desk) -> None:
    complaint = await desk.told()
    await desk.go(complaint, MONDAY + timedelta(hours=1), "acknowledged")
    await desk.answer(complaint, MONDAY + timedelta(hours=2))
    assert await desk.look(DUE) == Watched()
    assert await desk.notices() == []


async def test_an_offer_that_nobody_answers_closes_itself_after_14_days(desk: Desk) -> None:
    complaint = await desk.told()
    offered = await desk.go(
        complaint, MONDAY, "acknowledged", "assessed", "investigating", "resolution_offered"
    )
    assert await desk.look(MONDAY + timedelta(days=13)) == Watched()
    assert (await desk.look(MONDAY + timedelta(days=14))).closed == 1
    closed = await desk.read(complaint)
    assert (closed.case.state, closed.case.version) == ("closed", offered.case.version + 1)
    assert closed.case.resolved
    assert await desk.look(LATER) == Watched()
    assert await desk.differences() == []


async def test_a_complaint_reopened_after_a_breach_keeps_it_and_gets_a_new_clock(desk: Desk) -> None:
    complaint = await desk.told()
    late = MONDAY + timedelta(days=10)
    steps = ("acknowledged", "assessed", "investigating", "resolution_offered", "accepted", "closed")
    closed = await desk.go(complaint, late, *steps)
    assert closed.case.breaches == {"acknowledge", "first_response", "resolution"}
    reopened = await desk.go(closed, late + timedelta(hours=1), "reopened", reason="failed_again")
    assert reopened.case.breaches == closed.case.breaches
    clock = reopened.case.clocks[2]
    assert (clock.breached, clock.started_at) == (False, late + timedelta(hours=1))
    assert await desk.look(late + timedelta(days=30)) == Watched(warned=1, breached=1)
    breached = [notice for notice in await desk.notices() if notice[:2] == ("breached", "resolution")]
    assert len(breached) == 2
    assert await desk.differences() == []


async def test_two_workers_at_once_tell_nothing_twice(desk: Desk, database_url: str) -> None:
    for number in range(12):
        await desk.told(number % 8)
    other = Database(database_url, pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=10)
    try:
        looks = [desk.look(LATER, store, page=3) for store in (desk.store, other) * 3]
        found = await asyncio.gather(*looks)
    finally:
        await other.close()
    assert sum(one.failed for one in found) == 0
    rest = await desk.look(LATER)
    assert sum(one.breached for one in [*found, rest]) == 36
    assert len(await desk.notices()) == 72
    assert await desk.differences() == []


async def test_a_worker_that_dies_between_any_two_steps_loses_and_doubles_nothing(
    desk: Desk, database_url: str
) -> None:
    complaints = [await desk.told(number) for number in range(2)]
    died = 0
    for statements in range(20):
        breaking = Breaking(database_url, statements)
        try:
            await desk.look(LATER, breaking)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            died += 1
            assert await desk.notices() == []
            assert [(await desk.read(one)).case.breaches for one in complaints] == [frozenset()] * 2
        else:
            break
        finally:
            await breaking.close()
    assert died >= 6  # lock, due again, calendars, lock and load of the log, write, row, lines, commit
    assert len(await desk.notices()) == 12
    assert await desk.look(LATER) == Watched()
    assert await desk.differences() == []


async def test_customers_whom_somebody_holds_are_left_for_the_next_look(desk: Desk) -> None:
    held, free = await desk.told(1), await desk.told(2)
    async with desk.store.hot_transaction() as connection:
        await connection.execute(
            "SELECT 1 FROM customer_states WHERE customer_id = $1 FOR UPDATE", held.customer_id
        )
        assert await desk.look(DUE) == Watched(warned=2, breached=2)
    assert (await desk.read(free)).case.breaches
    assert await desk.look(DUE) == Watched(warned=2, breached=2)


async def test_a_page_reads_and_writes_in_a_fixed_number_of_statements(desk: Desk) -> None:
    async def statements(count: int, first: int) -> int:
        for number in range(count):
            await desk.told(first + number)
        counting = Counting(desk.store)
        await watch_complaints(counting, MODEL, DUE)  # type: ignore[arg-type]  # what a look needs of a database
        return counting.statements

    few = await statements(1, 0)
    assert await statements(10, 100) == few <= 10


class Counting:
    """A database that counts what a look asks it."""

    def __init__(self, database: Database) -> None:
        self._database, self.statements = database, 0
        self.hot_reading = database.hot_reading

    def hot_transaction(self) -> Any:
        return _Counted(self, self._database)


class _Counted:
    def __init__(self, counting: Counting, database: Database) -> None:
        self._counting, self._transaction = counting, database.hot_transaction()

    async def __aenter__(self) -> Any:
        self._connection = await self._transaction.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._transaction.__aexit__(kind, error, trace)

    def __getattr__(self, name: str) -> Any:
        if name in ("fetch", "fetchrow", "fetchval", "execute"):
            self._counting.statements += 1
        return getattr(self._connection, name)


async def test_nobody_looks_at_the_complaints_of_the_erased(desk: Desk, owner: asyncpg.Connection) -> None:
    await desk.told()
    await owner.execute("UPDATE customer_states SET erased_at = now()")
    assert await desk.look(LATER) == Watched()
    assert await owner.fetchval("SELECT next_due_at FROM complaints") is None
    assert await desk.notices() == []


async def test_what_is_told_of_a_merged_customer_goes_to_the_survivor(
    desk: Desk, owner: asyncpg.Connection
) -> None:
    old, new = await desk.told(1), await desk.told(2, at=LATER)
    await owner.execute(
        "UPDATE customer_states SET merged_into = $1 WHERE customer_id = $2", new.customer_id, old.customer_id
    )
    assert await desk.look(DUE) == Watched(warned=2, breached=2)
    holders = await owner.fetch(
        "SELECT DISTINCT customer_id FROM touchpoints WHERE kind = 'complaint_breached'"
    )
    assert [row[0] for row in holders] == [new.customer_id]


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_way_complaints_go_verify_finds_them_as_they_were_written(
    desk: Desk, seed: int
) -> None:
    chosen = random.Random(seed)
    now = MONDAY
    complaints = [await desk.told(0, at=now) for _ in range(3)]
    for _ in range(40):
        now += timedelta(hours=chosen.choice((0, 1, 30, 200)))
        await desk.look(now)
        number = chosen.randrange(3)
        complaint = await desk.read(complaints[number])
        steps = list(allowed(complaint.case, now))
        # Ends are rare, or nothing would happen after the first steps.
        onward = [to for to in steps if to not in TERMINAL] or steps
        if not steps:
            continue
        to = chosen.choice(steps if chosen.random() < 0.05 else onward)
        target = await desk.read(complaints[(number + 1) % 3])
        if to == "merged" and target.case.state in TERMINAL:
            continue
        if chosen.random() < 0.3:
            await desk.answer(complaint, now)
            complaint = await desk.read(complaint)
        reason = REASONS[to][-1] if to in REASONS else None
        await desk.go(complaint, now, to, reason=reason, merged_into=target.public_id)
        assert await desk.differences() == []


@pytest.mark.parametrize(
    "statement, what",
    [
        ("UPDATE complaints SET state = 'closed'", "its row says closed, its log received"),
        ("UPDATE complaints SET version = 9", "its row says received, its log received"),
        ("UPDATE complaints SET entries = 2", "its log has not the lines that its row counts"),
        (
            "UPDATE complaints SET breaches = '{resolution}'",
            "its row and its log disagree on broken promises",
        ),
        ("UPDATE complaints SET next_due_at = NULL", "a worker would look at the wrong time"),
        ("DELETE FROM complaint_references", "nobody finds it by its reference"),
        ("DELETE FROM touchpoints", "a touchpoint that its log names is missing"),
        ("UPDATE complaint_log SET touchpoint_id = NULL", "a touchpoint that its log does not name"),
        ("UPDATE complaint_log SET what = 'message'", "its log does not begin with the receipt"),
    ],
)
async def test_verify_finds_what_is_not_as_it_was_written(
    desk: Desk, owner: asyncpg.Connection, statement: str, what: str
) -> None:
    complaint = await desk.told()
    assert await desk.differences() == []
    await owner.execute(statement)
    assert f"complaint {complaint.public_id}: {what}" in await desk.differences()
