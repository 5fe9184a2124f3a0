"""Whether the loop sleeps while somebody waits alone."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.usecases.group_writer import GroupWriter
from app.usecases.vigil import SEVERAL_PROCESSORS, Vigil

pytestmark = pytest.mark.skipif(not SEVERAL_PROCESSORS, reason="on one processor nobody stays awake")


class _Watched(selectors.DefaultSelector):
    """Notes for how long the loop meant to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waits.append(timeout)
        return super().select(timeout)


def _sleeps(of: Callable[[], Coroutine[Any, Any, Any]]) -> int:
    """How often the loop went to sleep while this ran."""
    watched = _Watched()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(watched)) as runner:
        runner.run(asyncio.sleep(0))
        watched.waits.clear()
        runner.run(of())
        return sum(wait is None or wait > 0 for wait in watched.waits)


async def _answer() -> None:
    await asyncio.sleep(0.02)


def test_a_loop_sleeps_until_an_answer_comes_unless_it_is_kept_awake() -> None:
    async def kept(seconds: float) -> None:
        with Vigil(seconds):
            await _answer()

    assert _sleeps(_answer) >= 1
    assert _sleeps(lambda: kept(10.0)) == 0
    assert _sleeps(lambda: kept(0.0)) >= 1


def test_a_vigil_ends_with_its_bound_and_with_its_block() -> None:
    async def too_long() -> None:
        with Vigil(0.001):
            await _answer()

    async def over() -> None:
        with Vigil(10.0):
            pass
        await _answer()

    assert _sleeps(too_long) >= 1
    assert _sleeps(over) >= 1


def test_a_vigil_can_be_kept_again_and_again() -> None:
    async def thrice() -> None:
        vigil = Vigil(10.0)
        for _ in range(3):
            with vigil:
                await _answer()

    assert _sleeps(thrice) == 0


@pytest.mark.parametrize("items, stays_awake", [(1, True), (2, False)])
def test_only_who_comes_alone_is_waited_for_awake(items: int, *, stays_awake: bool) -> None:
    async def work(group: list[int]) -> list[int]:
        await _answer()
        return group

    async def submitted() -> None:
        writer = GroupWriter[int, int](work, 10, 10, awake_seconds=10.0)
        writer.start()
        assert await writer.submit(range(items)) == list(range(items))
        await writer.drain()

    assert (_sleeps(submitted) == 0) is stays_awake
