"""Sharing commits without sharing failures. No database: the writer knows only its work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.domain.problems import Unavailable
from app.usecases.group_writer import GroupWriter


class Poison(Exception):
    pass


class Work:
    """Doubles numbers; remembers its groups; waits while `gate` is closed; cannot write negative numbers."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: list[Exception] = []

    async def __call__(self, items: list[int]) -> list[int]:
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop()
        if any(item < 0 for item in items):
            raise Poison
        self.groups.append(items)
        return [item * 2 for item in items]


@asynccontextmanager
async def writer(
    work: Work, queue_limit: int = 100, group_limit: int = 10
) -> AsyncIterator[GroupWriter[int, int]]:
    made = GroupWriter[int, int](work, queue_limit, group_limit)
    made.start()
    yield made
    work.gate.set()
    await made.drain()


async def queued(made: GroupWriter[int, int], count: int) -> None:
    while made.waiting != count:  # noqa: ASYNC110 - the writer tells nobody how long its queue is
        await asyncio.sleep(0)


async def test_a_lone_caller_waits_for_nobody_and_gets_its_own_answer() -> None:
    work = Work()
    async with writer(work) as made:
        assert await made.submit([21]) == [42]
    assert work.groups == [[21]]


async def test_what_arrives_during_one_group_becomes_the_next() -> None:
    work = Work()
    work.gate.clear()
    async with writer(work) as made:
        first = asyncio.create_task(made.submit([1]))
        await asyncio.sleep(0.01)
        rest = [asyncio.create_task(made.submit([number])) for number in range(2, 8)]
        await queued(made, 6)
        work.gate.set()
        answers = await asyncio.gather(first, *rest)
    assert answers == [[number * 2] for number in range(1, 8)]
    assert work.groups == [[1], [2, 3, 4, 5, 6, 7]]


async def test_a_long_list_goes_through_in_groups_and_comes_back_in_order() -> None:
    work = Work()
    async with writer(work) as made:
        assert await made.submit(list(range(35))) == [number * 2 for number in range(35)]
    assert max(map(len, work.groups)) == 10


@pytest.mark.parametrize("poison", [[3], [0], [9], [2, 7], [0, 1, 2, 3, 4]])
async def test_a_poison_item_fails_alone(poison: list[int]) -> None:
    work = Work()
    items = [-1 if number in poison else number for number in range(10)]
    async with writer(work) as made:
        answers = await made.submit(items)
    assert [isinstance(answer, Poison) for answer in answers] == [number in poison for number in range(10)]
    assert sorted(item for group in work.groups for item in group) == [item for item in items if item >= 0]


@pytest.mark.parametrize(
    "passing",
    [
        asyncpg.DeadlockDetectedError(),
        asyncpg.SerializationError(),
        ConnectionResetError(),
        asyncpg.AdminShutdownError(),
    ],
)
async def test_what_may_pass_is_tried_again(passing: Exception) -> None:
    work = Work()
    work.failures = [passing, passing]
    async with writer(work) as made:
        assert await made.submit([1, 2]) == [2, 4]
    assert work.groups == [[1, 2]]


async def test_a_database_that_stays_away_is_told_to_everybody_after_a_bounded_number_of_tries() -> None:
    work = Work()
    work.failures = [ConnectionRefusedError() for _ in range(50)]
    async with writer(work) as made:
        answers = await made.submit([1, 2, 3])
    assert all(
        isinstance(answer, Unavailable) and answer.code == "database_unavailable" for answer in answers
    )
    assert len(work.failures) == 46


async def test_work_that_says_it_is_unavailable_is_believed_and_not_done_in_halves() -> None:
    work = Work()
    away = Unavailable("database_unavailable", "Try again shortly.", retry_after_seconds=1)
    work.failures = [away, away]
    async with writer(work) as made:
        assert await made.submit([1, 2, 3, 4]) == [away] * 4
    assert len(work.failures) == 1


async def test_a_problem_of_the_work_is_told_to_the_whole_group_and_not_taken_for_poison() -> None:
    work = Work()
    work.failures = [Unavailable("busy", "Try again.", retry_after_seconds=1)]
    async with writer(work) as made:
        assert [getattr(answer, "code", None) for answer in await made.submit([1, 2, 3])] == ["busy"] * 3
    assert work.groups == []


async def test_a_statement_that_ran_out_of_time_is_not_tried_again() -> None:
    work = Work()
    work.failures = [asyncpg.QueryCanceledError()]
    async with writer(work) as made:
        (answer,) = await made.submit([1])
        assert isinstance(answer, Unavailable)
        assert answer.code == "database_timeout"
        assert await made.submit([1]) == [2]


async def test_a_full_queue_refuses_at_once_and_keeps_what_it_holds() -> None:
    work = Work()
    work.gate.clear()
    async with writer(work, queue_limit=3) as made:
        taken = asyncio.create_task(made.submit([1]))
        await asyncio.sleep(0.01)
        held = asyncio.create_task(made.submit([2, 3, 4]))
        await queued(made, 3)
        with pytest.raises(Unavailable) as caught:
            await made.submit([5])
        assert (caught.value.code, caught.value.members) == ("overloaded", {"retry_after_seconds": 1})
        work.gate.set()
        assert await taken + await held == [2, 4, 6, 8]


async def test_a_cancelled_caller_leaves_its_items_to_be_written() -> None:
    work = Work()
    work.gate.clear()
    async with writer(work) as made:
        leaving = asyncio.create_task(made.submit([1]))
        staying = asyncio.create_task(made.submit([2]))
        await asyncio.sleep(0.01)
        leaving.cancel()
        work.gate.set()
        assert await staying == [4]
    assert sorted(item for group in work.groups for item in group) == [1, 2]


async def test_draining_writes_what_is_queued_and_refuses_what_comes_later() -> None:
    work = Work()
    work.gate.clear()
    made = GroupWriter[int, int](work, 100, 2)
    made.start()
    callers = [asyncio.create_task(made.submit([number])) for number in range(7)]
    await asyncio.sleep(0.01)
    draining = asyncio.create_task(made.drain())
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable) as caught:
        await made.submit([9])
    assert caught.value.code == "shutting_down"
    work.gate.set()
    await draining
    assert await asyncio.gather(*callers) == [[number * 2] for number in range(7)]


async def test_sixty_four_callers_share_few_groups_and_each_gets_its_own_answer() -> None:
    work = Work()

    async def call(number: int) -> None:
        for step in range(20):
            assert await made.submit([number * 100 + step]) == [2 * (number * 100 + step)]

    async with writer(work, queue_limit=64, group_limit=64) as made:
        await asyncio.gather(*(call(number) for number in range(64)))
    assert sum(map(len, work.groups)) == 64 * 20
    assert len(work.groups) < 64 * 20 / 8
