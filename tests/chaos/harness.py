"""One storm: clients that post and retry, somebody who kills or cuts, and the audit in the end."""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import make_url

from tests.chaos import programme
from tests.chaos.audit import audit
from tests.chaos.client import Client
from tests.chaos.deeds import DEEDS
from tests.chaos.disk import Disk
from tests.chaos.faults import Surroundings
from tests.chaos.findings import Findings
from tests.chaos.killer import KINDS, RECOVERY_SECONDS, Killer
from tests.chaos.mutants import MUTANTS
from tests.chaos.postgres import Postgres, Target
from tests.chaos.proxy import Proxy
from tests.chaos.script import PERSONAL, Script, shared_customers
from tests.chaos.service import Service, serving

CLIENTS = 12
WORKERS = 2
FINISH_SECONDS = 90.0
MUTANT_PATIENCE_SECONDS = 5.0


@dataclass(slots=True)
class Fact:
    """What became of the events of one kind."""

    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    lost: int = 0
    doubled: int = 0


@dataclass(slots=True)
class Report:
    """What a storm came to. `kills` also counts cuts, by kind; times are in seconds. `ledger` is that of
    `books.balance`.
    """

    seed: int
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    ones: list[tuple[str, float, float]] = field(default_factory=list)
    twos: list[tuple[float, float]] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    sent: int = 0
    attempts: int = 0
    acknowledged: int = 0
    refused: int = 0
    given_up: int = 0
    statuses: Counter[int | None] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    log: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    ledger: Mapping[str, int] = field(default_factory=dict)
    poison: int = 0
    refusals: Counter[str] = field(default_factory=Counter)

    @property
    def retried(self) -> int:
        """Sendings of an event beyond its first."""
        return self.attempts - self.sent

    @property
    def longest_gap(self) -> float:
        """How long some client had no answer, when one thing at a time was killed."""
        return max((end - begin for begin, end in self.gaps if not self._in_two(begin, end)), default=0.0)

    @property
    def longest_gap_of_two(self) -> float:
        """The same when two things were killed at once."""
        return max((end - begin for begin, end in self.gaps if self._in_two(begin, end)), default=0.0)

    def longest_gap_of(self, kind: str) -> float | None:
        """The same for faults of this kind; None when there was no gap worth noting."""
        return max(
            (end - begin for begin, end in self.gaps if self._cause(begin, end) == kind),
            default=None,
        )

    def _cause(self, begin: float, end: float) -> str | None:
        """The fault that a gap was mostly in: it may begin while the one before is still being recovered from."""
        times = [(kind, min(end, until) - max(begin, since)) for kind, since, until in self.ones]
        times += [("two", min(end, until) - max(begin, since)) for since, until in self.twos]
        kind, longest = max(times, key=lambda time: time[1], default=(None, 0.0))
        return kind if longest > 0 else None

    def _in_two(self, begin: float, end: float) -> bool:
        return any(begin < until and end > since for since, until in self.twos)

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled, invented or wrong, and every event came to an end."""
        return not self.findings and not self.given_up and self.acknowledged + self.refused == self.sent


Trouble = Callable[[Service, Sequence[Client]], Awaitable[None]]


@asynccontextmanager
async def _busy(*forever: Awaitable[None]) -> AsyncIterator[None]:
    """Things that are done beside the block; when one of them fails, it is the block's failure."""
    tasks = [asyncio.ensure_future(work) for work in forever]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def storm(
    target: Target,
    trouble: Trouble,
    *,
    seed: int,
    mutant: str | None = None,
    workers: int = WORKERS,
    service_target: Target | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Report:
    """Post while `trouble` lasts, wait for what was begun, and audit. `service_target`: the way past a proxy."""
    report = Report(seed)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        log = Path(folder) / "service.log"
        async with serving(
            service_target or target, log, workers=workers, mutant=mutant, settings=settings
        ) as service:
            await programme.publish(service, seed, shared_customers(seed))
            crowd = [Client(Script(seed, number), service.port, service.key) for number in range(CLIENTS)]
            begun = time.monotonic()
            async with _busy(service.keep_running()):
                posting = [asyncio.ensure_future(client.run()) for client in crowd]
                try:
                    await trouble(service, crowd)
                finally:
                    for client in crowd:
                        client.stopping = True
                    done, unfinished = await asyncio.wait(posting, timeout=FINISH_SECONDS)
                    for task in unfinished:
                        task.cancel()
                for task in done:
                    task.result()
                report.seconds = time.monotonic() - begun
                _count(report, crowd)
                report.findings, report.ledger = await audit(target, service, crowd)
                report.facts = _by_kind(report.findings, crowd)
        report.log = log.read_text(errors="replace")
    report.findings.wrong += (f"the service's log says {what}" for what in PERSONAL if what in report.log)
    return report


def _count(report: Report, crowd: Sequence[Client]) -> None:
    events = [event for client in crowd for event in client.events]
    report.sent = len(events)
    report.attempts = sum(event.attempts for event in events)
    report.acknowledged = sum(event.acknowledged for event in events)
    report.refused = sum(event.refused for event in events)
    report.poison = sum(event.refused and event.is_poison for event in events)
    report.refusals = Counter(event.refusal for event in events if event.refused and event.refusal)
    report.given_up = sum(client.given_up for client in crowd)
    report.gaps = [gap for client in crowd for gap in client.gaps]
    report.statuses = sum((client.statuses for client in crowd), Counter())


def _by_kind(findings: Findings, crowd: Sequence[Client]) -> Mapping[str, Fact]:
    """Touchpoints, and each kind of deed. A finding begins with the id of what it is about."""
    facts = {kind: Fact() for kind in ("touchpoint", *DEEDS)}
    lost, doubled = (
        Counter(said.partition(" ")[0] for said in found) for found in (findings.lost, findings.doubled)
    )
    for event in (event for client in crowd for event in client.events):
        fact = facts[event.kind if event.deed else "touchpoint"]
        fact.sent += 1
        fact.acknowledged += event.acknowledged
        fact.refused += event.refused
        fact.lost += lost[event.id]
        fact.doubled += doubled[event.id]
    return facts


async def storm_of_kills(
    postgres: Postgres,
    *,
    seed: int,
    kills: int | None = None,
    seconds: float | None = None,
    kinds: Sequence[str] = tuple(KINDS),
    mutant: str | None = None,
    patience_seconds: float = RECOVERY_SECONDS,
    watch: Callable[[int], None] = lambda _kills: None,
) -> Report:
    """Kill until there were so many kills, or for so long."""
    target = await postgres.database()
    if mutant is not None:
        await postgres.execute(target.owner_url, *MUTANTS[mutant].prepare)
    killers: list[Killer] = []

    async def trouble(service: Service, crowd: Sequence[Client]) -> None:
        chance = random.Random(f"kills {seed}")
        killer = Killer(postgres, service, target, crowd, chance, kinds, patience_seconds=patience_seconds)
        killers.append(killer)
        await killer.run(kills, seconds, watch)

    async with _busy(postgres.keep_running()):
        report = await storm(target, trouble, seed=seed, mutant=mutant)
    _take_over(report, killers)
    return report


async def storm_on_mutant(
    postgres: Postgres, mutant: str, *, seed: int, seconds: float, kills: int = 1
) -> Report:
    """A short storm on a service with one safety taken out; kills only where those are what shows it."""
    kinds = MUTANTS[mutant].kills
    return await storm_of_kills(
        postgres,
        seed=seed,
        kills=kills if kinds else None,
        seconds=None if kinds else seconds,
        kinds=kinds,
        mutant=mutant,
        patience_seconds=MUTANT_PATIENCE_SECONDS,
    )


async def storm_of_faults(
    postgres: Postgres,
    disk: Disk,
    *,
    seed: int,
    faults: int | None = None,
    seconds: float | None = None,
    least: int = 0,
    watch: Callable[[int], None] = lambda _faults: None,
) -> Report:
    """Everything that can go wrong, in random order, so many times, or for so long and at least `least` times.

    The service has a pool of two connections in each worker and waits a second for one, so that it runs dry.
    """
    target = await postgres.database()
    chance = random.Random(f"faults {seed}")
    proxy = Proxy(target.directory, chance, cuts=0)
    others = Surroundings(target, proxy, disk, chance).ways()
    killers: list[Killer] = []

    async def trouble(service: Service, crowd: Sequence[Client]) -> None:
        killers.append(Killer(postgres, service, target, crowd, chance, others=others))
        await killers[0].run(faults, seconds, watch, least=least)

    async with through(proxy, target) as way, _busy(postgres.keep_running()):
        settings = {"RAPPORT_POOL_SIZE": "2", "RAPPORT_POOL_WAIT_SECONDS": "1"}
        report = await storm(target, trouble, seed=seed, service_target=way, settings=settings)
    _take_over(report, killers)
    return report


def _take_over(report: Report, killers: Sequence[Killer]) -> None:
    for killer in killers:
        report.kills, report.recoveries = killer.kills, killer.recoveries
        report.ones, report.twos = killer.ones, killer.twos
        report.findings.wrong += killer.unserved


@asynccontextmanager
async def through(proxy: Proxy, target: Target) -> AsyncIterator[Target]:
    """The same database by way of the proxy."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with proxy.listening(Path(folder)):
            url = make_url(target.app_url).update_query_dict({"host": folder})
            yield replace(target, app_url=url.render_as_string(hide_password=False))


async def storm_of_cuts(
    postgres: Postgres,
    *,
    seed: int,
    cuts: int,
    workers: int = WORKERS,
    watch: Callable[[int], None] = lambda _cuts: None,
) -> Report:
    """Cut connections between the service and the database around COMMIT, so many times."""
    target = await postgres.database()
    proxy = Proxy(target.directory, random.Random(f"cuts {seed}"), cuts=cuts)

    async def trouble(_service: Service, _crowd: Sequence[Client]) -> None:
        while not proxy.finished.is_set():
            watch(proxy.made.total())
            with suppress(TimeoutError):
                await asyncio.wait_for(proxy.finished.wait(), 0.2)

    async with through(proxy, target) as way:
        report = await storm(target, trouble, seed=seed, workers=workers, service_target=way)
    report.kills = proxy.made
    return report
