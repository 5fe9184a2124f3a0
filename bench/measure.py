"""Who is measured, in which order. Every series is a function of the stage it plays on.

All series of a phase take turns, one measurement each per round, every other round backwards: what slowly changes on
the machine, and what one leaves behind for the next, meets both sides of each ratio.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.domain.health.facts import fact_of
from app.domain.health.model import shipped
from app.domain.health.score import score
from app.domain.health.threads import joined
from app.domain.keys import new_key
from app.storage.embedded import SUPERUSER, EmbeddedServer
from app.storage.tables import APP_ROLE
from bench import bare, bodies, driver, load, pgbench
from bench.rows import Figures
from bench.server import Running, resident_mb, running

SERVICE = ("app.cli", "serve")
HOT_CUSTOMER = 1
BATCH_CONNECTIONS = 4
SETTLE_SECONDS = 1.0
MEMORY_STEPS = 10
FOLDS = 2_000


@dataclass(slots=True)
class Stage:
    """One server with its databases, and the processes that are up. `probed` customers have a history to read."""

    database: EmbeddedServer
    logs: Path
    customers: int
    seconds: float
    key: str = field(default_factory=lambda: new_key(publishable=False))
    processes: dict[str, Running] = field(default_factory=dict)
    jobs: int = 0

    def drive(
        self,
        process: str,
        shape: str,
        connections: int,
        *,
        first: int = 1,
        last: int | None = None,
        requests: int | None = None,
    ) -> driver.Result:
        self.jobs += 1
        job = driver.Job(
            port=self.processes[process].port,
            shape=shape,
            connections=connections,
            prefix=f"{time.time_ns():x}-{self.jobs:03d}",
            first=first,
            last=last or self.customers,
            key=self.key,
            seconds=self.seconds,
            requests=requests,
            ahead=100 if shape == "batch" else 20_000,
        )
        return driver.run(job)

    def pgbench(self, clients: int, said: str | None = None, database: str = "yardstick") -> pgbench.Measured:
        self.jobs += 1
        return pgbench.measure(
            self.database.bin_directory,
            self.database.url(database=database),
            pgbench.script() if said is None else said,
            customers=self.customers,
            clients=clients,
            seconds=self.seconds,
            seed=self.jobs,
        )

    @property
    def probed(self) -> int:
        return max(1, self.customers // 100)


Series = Callable[[Stage], Figures]

MAIN: Mapping[str, Series] = {
    "textbook": lambda stage: stage.drive("textbook", "single", 64),
    "bare_64": lambda stage: stage.drive("bare", "single", 64),
    "hot": lambda stage: stage.drive("service", "single", 64, first=HOT_CUSTOMER, last=HOT_CUSTOMER),
    "single": lambda stage: stage.drive("service", "single", 64),
    "earning": lambda stage: stage.drive("club", "single", 64),
    "pgbench_earns": lambda stage: stage.pgbench(16, pgbench.script(earns=True), "club_yardstick"),
    "pgbench_16": lambda stage: stage.pgbench(16),
    "batch": lambda stage: stage.drive("service", "batch", BATCH_CONNECTIONS),
    "pgbench_1": lambda stage: stage.pgbench(1),
    "lone": lambda stage: stage.drive("service", "single", 1),
    "bare_1": lambda stage: stage.drive("bare", "single", 1),
    "context": lambda stage: stage.drive("service", "context", 16, last=stage.probed),
    "bare_16": lambda stage: stage.drive("bare", "single", 16),
    "hold_capture": lambda stage: stage.drive("club", "hold_capture", 16),
    "pgbench_pairs": lambda stage: stage.pgbench(16, pgbench.pair(), "club_yardstick"),
}
GROWTH: Mapping[str, Series] = {
    "ingest_few": lambda stage: stage.drive("few", "single", 16),
    "ingest_many": lambda stage: stage.drive("many", "single", 16),
    "context_few": lambda stage: stage.drive("few", "context", 16, last=stage.probed),
    "context_many": lambda stage: stage.drive("many", "context", 16, last=stage.probed),
}
STARTS = {
    "earning": {"club"},
    "textbook": {"textbook"},
    "bare_64": {"bare"},
    "bare_1": {"bare"},
    "bare_16": {"bare"},
    "pgbench_16": set[str](),
    "pgbench_1": set[str](),
    "hold_capture": {"club"},
    "pgbench_pairs": {"club"},
    "pgbench_earns": {"club"},
}


@contextmanager
def stage(logs: Path, customers: int, seconds: float) -> Iterator[Stage]:
    """A server with the databases `main` and `yardstick`: the customers, a hundredth of whom bought ten times."""
    with load.throw_away_server() as database:
        made = Stage(database, logs, customers, seconds)
        few, _ = load.few_and_many(customers)
        load.create(database, "main", customers)
        load.clone(database, "many", "main")
        load.add_history(database, "main", few)
        load.clone(database, "few", "main")
        load.clone(database, "yardstick", "main")
        yield made


def play(
    stage: Stage, series: Mapping[str, Series], rounds: int, say: Callable[[str], None]
) -> list[dict[str, Figures]]:
    """All series in turn, `rounds` times; `say` hears what is measured next."""
    played = []
    for number in range(rounds):
        order = list(series)[:: 1 if number % 2 == 0 else -1]
        figures: dict[str, Figures] = {}
        for name in order:
            say(f"round {number + 1} of {rounds}: {name}")
            figures[name] = series[name](stage)
        played.append(figures)
    return played


def main_phase(
    stage: Stage, names: Sequence[str], rounds: int, say: Callable[[str], None]
) -> list[dict[str, Figures]]:
    """The rounds of those series of MAIN, with just the processes they need."""
    needed = set().union(*(STARTS.get(name, {"service"}) for name in names))
    with ExitStack() as processes:
        if "club" in needed:
            load.clone(stage.database, "club", "main")
            load.add_points(stage.database, "club", stage.customers)
            load.clone(stage.database, "club_yardstick", "club")
            processes.enter_context(_service(stage, "club", "club"))
        if "service" in needed:
            processes.enter_context(_service(stage, "service", "main"))
        if "bare" in needed:
            stage.processes["bare"] = processes.enter_context(
                running("bench.bare", logs=stage.logs, environment={})
            )
        if "textbook" in needed:
            environment = {
                "BENCH_DATABASE_URL": stage.database.url(database="yardstick"),
                "BENCH_KEY": stage.key,
            }
            stage.processes["textbook"] = processes.enter_context(
                running("bench.textbook", logs=stage.logs, environment=environment)
            )
        return play(stage, {name: series for name, series in MAIN.items() if name in names}, rounds, say)


def growth_phase(stage: Stage, rounds: int, say: Callable[[str], None]) -> list[dict[str, Figures]]:
    """Two services side by side, each over its own log; the one that waits does nothing."""
    _, many = load.few_and_many(stage.customers)
    say(f"loading {stage.customers * 10:,} touchpoints")
    load.add_history(stage.database, "many", many)
    with _service(stage, "few", "few"), _service(stage, "many", "many"):
        return play(stage, GROWTH, rounds, say)


def memory_phase(stage: Stage, events: int, say: Callable[[str], None]) -> tuple[float, float]:
    """Resident MB of a fresh service after `events`, and after ten times as many; half come in single posts."""
    resident = []
    with _service(stage, "fresh", "main") as service:
        for step in range(MEMORY_STEPS):
            say(f"memory: {(step + 1) * events:,} events")
            stage.drive("fresh", "single", 64, requests=events // 2)
            stage.drive("fresh", "batch", BATCH_CONNECTIONS, requests=events // 2 // bodies.BATCH_SIZE)
            if step in {0, MEMORY_STEPS - 1}:
                time.sleep(SETTLE_SECONDS)
                resident.append(resident_mb(service.pid))
    return resident[0], resident[1]


def ceiling(stage: Stage) -> driver.Result:
    """What the driver itself can do: single posts to a server that answers without reading."""
    with running("bench.ceiling", logs=stage.logs, environment={}) as parrot:
        stage.processes["ceiling"] = parrot
        return stage.drive("ceiling", "single", 64)


def fold_and_validate(rounds: int) -> list[tuple[float, float]]:
    """Per round, microseconds of folding a purchase into a usual state and scoring it, and of validating its body."""
    now = int(time.time())
    model, state = shipped(), load.history_state(7, load.USUAL_PURCHASES, now)
    fact = fact_of("purchase", now, "evt-1", amount=4999, order_id="A-1")
    body = next(bodies.singles(range(1, 2), "fold", "fold", "")).partition(b"\r\n\r\n")[2]
    validate = bare.adapter.validate_json

    def fold() -> None:
        score(joined(state, (), fact), now, model)

    return [(_microseconds(fold), _microseconds(lambda: validate(body))) for _ in range(rounds)]


def _microseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(FOLDS):
        work()
    return (time.perf_counter() - begun) / FOLDS * 1e6


@contextmanager
def _service(stage: Stage, name: str, database: str) -> Iterator[Running]:
    environment = {
        "RAPPORT_HOME": str(stage.logs),
        "RAPPORT_DATABASE_URL": stage.database.url(APP_ROLE, database),
        "RAPPORT_MIGRATION_URL": stage.database.url(SUPERUSER, database),
        "RAPPORT_ADMIN_KEY": stage.key,
    }
    module, *arguments = SERVICE
    with running(module, *arguments, logs=stage.logs, environment=environment) as service:
        stage.processes[name] = service
        yield service
