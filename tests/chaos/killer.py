"""Kills at random, by seed: which process, and when. Whoever starts things again does so by itself."""

import asyncio
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.client import Client
from tests.chaos.postgres import Postgres, Target
from tests.chaos.service import Service

RECOVERY_SECONDS = 60.0
# After everybody was served again; without a pause there would be nothing under way to lose.
PAUSE_SECONDS = (0.1, 1.0)
# Sometimes the next one comes while the first is still being recovered from.
TWO_SHARE, TWO_SECONDS = 0.1, (0.0, 0.3)

KINDS: Mapping[str, str] = {
    "worker": "one worker, SIGKILL",
    "service": "all processes of the service, SIGKILL",
    "restart": "the service, SIGTERM (drains)",
    "terminated": "one backend, SIGTERM (pg_terminate_backend)",
    "backend": "one backend, SIGKILL",
    "postmaster": "the postmaster, SIGKILL",
}


@dataclass(slots=True)
class Killer:
    """`recoveries`: by kind, the seconds until every client had been served by a request that began after the kill.

    `ones`: (kind, begin, end) of what came alone; `twos`: (begin, end) of what two at once came to. `others`: faults
    that are no kills, by kind. `unserved`: where that took longer than anybody may wait.
    """

    postgres: Postgres
    service: Service
    target: Target
    clients: Sequence[Client]
    chance: random.Random
    kinds: Sequence[str] = tuple(KINDS)
    others: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    patience_seconds: float = RECOVERY_SECONDS
    unserved: list[str] = field(default_factory=list)
    ones: list[tuple[str, float, float]] = field(default_factory=list)
    twos: list[tuple[float, float]] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _deck: list[str] = field(default_factory=list)

    async def run(
        self, kills: int | None, seconds: float | None, watch: Callable[[int], None], *, least: int = 0
    ) -> None:
        """Kill until there were so many, or until so long has passed and there were at least `least`."""
        ends = None if seconds is None else time.monotonic() + seconds
        await self._served_since(time.monotonic())
        if not self.kinds and not self.others:
            await asyncio.sleep(seconds or 0)
            return
        while (kills is None or self.kills.total() < kills) and (
            ends is None or time.monotonic() < ends or self.kills.total() < least
        ):
            blow = [self._next_kind()]
            if self.chance.random() < TWO_SHARE:
                blow.append(self._next_kind())
            begun = time.monotonic()
            await self._strike(blow)
            watch(self.kills.total())
            await self._served_since(time.monotonic())
            took = begun, time.monotonic()
            if len(blow) == 1:
                self.recoveries[blow[0]].append(took[1] - took[0])
                self.ones.append((blow[0], *took))
            else:
                self.twos.append(took)
            await asyncio.sleep(self.chance.uniform(*PAUSE_SECONDS))

    async def _strike(self, kinds: Sequence[str]) -> None:
        for number, kind in enumerate(kinds):
            if number:
                await asyncio.sleep(self.chance.uniform(*TWO_SECONDS))
            self.kills[kind] += 1
            await self._kill(kind)

    def _next_kind(self) -> str:
        """As from a shuffled deck: in random order, and none is left out for long."""
        if not self._deck:
            self._deck = [*self.kinds, *self.others]
            self.chance.shuffle(self._deck)
        return self._deck.pop()

    async def _kill(self, kind: str) -> None:
        ways: Mapping[str, Callable[[], Awaitable[None]]] = {
            "service": self.service.kill,
            "restart": self.service.end,
            "worker": lambda: self.service.kill_worker(self.chance),
            "terminated": lambda: self.postgres.kill_backend(self.target, self.chance, signal.SIGTERM),
            "backend": lambda: self.postgres.kill_backend(self.target, self.chance, signal.SIGKILL),
            "postmaster": self.postgres.kill_postmaster,
            **self.others,
        }
        await ways[kind]()

    async def _served_since(self, moment: float) -> None:
        deadline = time.monotonic() + self.patience_seconds
        while any(client.served <= moment for client in self.clients):
            if time.monotonic() > deadline:
                unserved = sum(client.served <= moment for client in self.clients)
                self.unserved.append(
                    f"{unserved} clients were not served within {self.patience_seconds:.0f} s"
                )
                return
            await asyncio.sleep(0.005)
