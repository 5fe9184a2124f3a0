"""Sharing commits: what arrives while one group is being written becomes the next group.

A commit costs as much as a hundred touchpoints, so concurrent callers share one. There is no timer: a lone caller finds
the writer idle and waits for nobody, and under load the groups grow by themselves.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog

from app.domain.problems import Problem, Unavailable
from app.storage.database import is_away, is_canceled, is_retryable, unavailable
from app.usecases.vigil import Vigil

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger(__name__)

RETRY_DELAYS_SECONDS = (0.02, 0.1, 0.4)


@dataclass(slots=True)
class _Ticket(Generic[R]):
    """What one caller waits for: the results of all that it brought."""

    results: list[R | BaseException | None]
    missing: int
    done: asyncio.Future[None]

    def settle(self, index: int, result: R | BaseException) -> None:
        self.results[index] = result
        self.missing -= 1
        if self.missing == 0 and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class _Single(Generic[R]):
    """What a caller waits for that brought one item."""

    done: asyncio.Future[R | BaseException]

    def settle(self, _index: int, result: R | BaseException) -> None:
        if not self.done.done():
            self.done.set_result(result)


@dataclass(slots=True)
class GroupWriter(Generic[T, R]):
    """One writer with one bounded queue.

    `work` writes a group in a transaction of its own and returns one result for each item. When it raises something
    that may pass (a deadlock, a lost connection) the group is done again, a bounded number of times: so `work` must
    be idempotent. When it raises anything else the group is halved until the item that it cannot write stands alone;
    only that item's caller gets the exception. While a group of one is written the loop stays awake (vigil.py) for at
    most `awake_seconds`.
    """

    work: Callable[[list[T]], Awaitable[Sequence[R]]]
    queue_limit: int
    group_limit: int
    retry_on: tuple[type[Exception], ...] = ()
    awake_seconds: float = 0.0
    _queue: deque[tuple[_Ticket[R] | _Single[R], int, T]] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None
    _closing: bool = False
    _vigil: Vigil = field(init=False)

    def __post_init__(self) -> None:
        self._vigil = Vigil(self.awake_seconds)

    @property
    def waiting(self) -> int:
        """Items that no group has taken yet."""
        return len(self._queue)

    def start(self) -> None:
        """Begin to write; needs a running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def drain(self) -> None:
        """Write all that is queued, then stop. Callers that come later get Unavailable."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task

    async def submit(self, items: Sequence[T]) -> list[R | BaseException]:
        """The result of each item, once the group it went into is committed.

        An exception stands for an item that could not be written. Raises Unavailable `overloaded` when the queue has no
        room for them all, or `shutting_down`. A caller that is cancelled leaves its items behind: they are written.
        """
        self._check_room(len(items))
        ticket: _Ticket[R] = _Ticket(
            [None] * len(items), len(items), asyncio.get_running_loop().create_future()
        )
        self._queue.extend((ticket, index, item) for index, item in enumerate(items))
        self._arrived.set()
        await ticket.done
        return [result for result in ticket.results if result is not None]

    async def submit_one(self, item: T) -> R | BaseException:
        """The same for a single item, which most callers bring."""
        self._check_room(1)
        single: _Single[R] = _Single(asyncio.get_running_loop().create_future())
        self._queue.append((single, 0, item))
        self._arrived.set()
        return await single.done

    def _check_room(self, count: int) -> None:
        if self._closing:
            raise Unavailable(
                "shutting_down", "The service is stopping. Try again shortly.", retry_after_seconds=1
            )
        if len(self._queue) + count > self.queue_limit:
            raise Unavailable(
                "overloaded", "Too much is waiting to be written. Try again.", retry_after_seconds=1
            )

    async def _run(self) -> None:
        while True:
            if not self._queue:
                if self._closing:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            group = [self._queue.popleft() for _ in range(min(len(self._queue), self.group_limit))]
            with self._vigil if len(group) == 1 else nullcontext():
                results = await self._write([item for _, _, item in group])
            for (ticket, index, _), result in zip(group, results, strict=True):
                ticket.settle(index, result)

    async def _write(self, items: list[T]) -> Sequence[R | BaseException]:
        try:
            return await self._attempt(items)
        except Exception as error:
            if isinstance(error, Problem):  # no item is to blame, and halves would only ask again
                log.warning("group_refused", items=len(items), code=error.code)
                return [error] * len(items)
            if is_away(error) or is_canceled(error) or isinstance(error, self.retry_on):
                log.warning("group_given_up", items=len(items), error=type(error).__name__)
                return [unavailable(error)] * len(items)
            if len(items) == 1:
                # The writer's task belongs to no request, its items do: what the error says may name a person.
                log.exception("item_not_writable", of_a_request=True)
                return [error]
        # Halving costs log2(n) extra transactions, and every innocent item is still written.
        middle = len(items) // 2
        return [*await self._write(items[:middle]), *await self._write(items[middle:])]

    async def _attempt(self, items: list[T]) -> Sequence[R]:
        for delay in RETRY_DELAYS_SECONDS:
            try:
                return await self.work(items)
            except Exception as error:
                if not (is_retryable(error) or isinstance(error, self.retry_on)):
                    raise
                log.info("group_retried", items=len(items), error=type(error).__name__)
                await asyncio.sleep(delay)
        return await self.work(items)
