"""What goes wrong around processes that live: the way to the database, its connections, its rows, its disk."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg

from app.storage.database import connect_arguments
from tests.chaos.disk import Disk
from tests.chaos.postgres import START_SECONDS, Target, connection
from tests.chaos.proxy import Proxy

DELAY_SECONDS = (0.005, 0.08)
DELAYED_SECONDS = 1.5
TAKEN_SECONDS = 1.0
HELD_SECONDS = 1.5
FULL_SECONDS = 1.0
MOST_SLOTS = 500

KINDS: Mapping[str, str] = {
    "cut": "every connection to PostgreSQL cut",
    "delayed": f"the way to PostgreSQL slow for {DELAYED_SECONDS} s",
    "slots": f"all connections cut, and PostgreSQL without a free one for {TAKEN_SECONDS} s",
    "held": f"the pool exhausted: rows that everybody wants held for {HELD_SECONDS} s",
    "disk": f"the disk full for {FULL_SECONDS} s",
}
_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a service lives, and what may be done to it. Each fault ends by itself; then everything is as before."""

    target: Target
    proxy: Proxy
    disk: Disk
    chance: random.Random

    def ways(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """The faults by their kind; without `disk` where there is none to fill."""
        ways: dict[str, Callable[[], Awaitable[None]]] = {
            "cut": self._cut,
            "delayed": self._delay,
            "slots": self._take_slots,
            "held": self._hold_rows,
        }
        return ways if self.disk.missing else ways | {"disk": self._fill_disk}

    async def _cut(self) -> None:
        self.proxy.cut_all()

    async def _delay(self) -> None:
        self.proxy.delay = lambda: self.chance.uniform(*DELAY_SECONDS)
        try:
            await asyncio.sleep(DELAYED_SECONDS)
        finally:
            self.proxy.delay = None

    async def _take_slots(self) -> None:
        """As somebody whose rights are those of the service: what is reserved for administrators stays free."""
        arguments = connect_arguments(self.target.app_url) | {"timeout": 5}
        taken: list[asyncpg.Connection] = []
        self.proxy.cut_all()
        try:
            with suppress(*_LOST):
                while len(taken) < MOST_SLOTS:
                    taken.append(await asyncpg.connect(**arguments))
            await asyncio.sleep(TAKEN_SECONDS)
        finally:
            for one in taken:
                one.terminate()

    async def _hold_rows(self) -> None:
        """As another writer that is stuck: whoever writes for these customers waits, and keeps a connection."""
        with suppress(*_LOST):  # a second fault may end it
            async with _patient(self.target.owner_url) as held, held.transaction():
                await held.execute("SELECT FROM customer_states ORDER BY customer_id FOR UPDATE")
                await asyncio.sleep(HELD_SECONDS)

    async def _fill_disk(self) -> None:
        await asyncio.to_thread(self.disk.fill)
        try:
            await asyncio.sleep(FULL_SECONDS)
        finally:
            self.disk.free()


@asynccontextmanager
async def _patient(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a server that may be recovering from the fault before."""
    async with AsyncExitStack() as stack:
        yield await _entered(stack, url, time.monotonic() + START_SECONDS)


async def _entered(stack: AsyncExitStack, url: str, deadline: float) -> asyncpg.Connection:
    while True:
        try:
            return await stack.enter_async_context(connection(url))
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
