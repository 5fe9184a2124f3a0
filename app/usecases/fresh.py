"""What every request needs and hardly anybody changes: kept in memory, at most a second old."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import asyncpg
import structlog

from app.domain.problems import Unavailable
from app.storage.database import Database

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.5
"""Between two looks; with the look itself well under the second that a change may take to reach every process."""

T = TypeVar("T")


class Fresh(Generic[T]):
    """One such thing. `load` reads it, and is given what is remembered so that it may find that nothing changed."""

    def __init__(
        self, name: str, database: Database, first: T, load: Callable[[asyncpg.Connection, T], Awaitable[T]]
    ) -> None:
        self.name = name
        self._database = database
        self._current = first
        self._load = load
        self._generation = 0

    @property
    def current(self) -> T:
        """As it was when somebody last looked."""
        return self._current

    def adopt(self, value: T) -> None:
        """What was just committed here. Looks that began before it no longer count."""
        self._generation += 1
        self._current = value

    async def refresh(self) -> None:
        """Look now. Raises Unavailable, and ValueError for something that this release cannot read."""
        generation = self._generation
        async with self._database.hot_reading() as connection:
            found = await self._load(connection, self._current)
        if generation == self._generation:
            self._current = found


async def refresh_all(things: Sequence[Fresh[Any]]) -> frozenset[str]:
    """Look at all of them; the names of those that could not be read and stay as they were."""
    stale = set()
    for thing in things:
        try:
            await thing.refresh()
        except (Unavailable, ValueError, asyncpg.PostgresError) as error:
            stale.add(thing.name)
            log.debug("not_refreshed", name=thing.name, error=type(error).__name__)
    return frozenset(stale)


async def keep_fresh(things: Sequence[Fresh[Any]], pause_seconds: float = PAUSE_SECONDS) -> None:
    """`refresh_all` for ever, until cancelled. Says once when something begins to be stale, and once when it ends."""
    stale: frozenset[str] = frozenset()
    while True:
        await asyncio.sleep(pause_seconds)
        found = await refresh_all(things)
        for name in sorted(found - stale):
            log.warning("configuration_stale", name=name)
        for name in sorted(stale - found):
            log.info("configuration_fresh", name=name)
        stale = found
