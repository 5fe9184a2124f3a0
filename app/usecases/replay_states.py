"""Every customer's state again from the log: when a release changes half-lives, or `verify` finds a difference.

Pages of customers, each one transaction under their locks, beside a running service. How far it has come is part of
the same transaction, so a replay that is killed goes on where it ended.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.domain.health.history import fold
from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.state import State
from app.domain.silence import draw
from app.domain.touchpoints import seconds
from app.storage import replays, states, verification
from app.storage.database import Database
from app.storage.privacy import purging
from app.storage.replays import Progress
from app.storage.states import SavedState
from app.storage.touchpoints import fact_of_row
from app.storage.verification import FIRST_ID
from app.usecases.verification_pages import Difference
from app.usecases.verify import NAMED, unlike

PAGE: Final = 100
"""Customers in one transaction: tens of milliseconds in which writers of theirs wait."""


@dataclass(slots=True)
class Replay:
    """What a replay did, `resumed` of it in an earlier run. `failed`: logs that cannot be read; their states stay.

    `first` names the first differences of this run.
    """

    resumed: int = 0
    replayed: int = 0
    changed: int = 0
    failed: int = 0
    first: list[Difference] = field(default_factory=list)

    def note(self, differences: Sequence[Difference]) -> None:
        """Name them, while there is room."""
        self.first += differences[: NAMED - len(self.first)]


@dataclass(frozen=True, slots=True)
class _Page:
    """The states that the logs of one page make; `differences` where that is not what is stored."""

    due: Mapping[UUID, State]
    differences: Sequence[Difference]
    failed: int


Watch = Callable[[Replay, int], None]
"""Told after every page, with the number of customers there are."""


async def replay_states(
    database: Database,
    model: Model,
    *,
    dry_run: bool = False,
    restart: bool = False,
    page: int = PAGE,
    watch: Watch = lambda _replay, _customers: None,
) -> Replay:
    """Replay everybody's state; with `dry_run` only say what would change. `restart` forgets an interrupted replay.

    Bands of changed states are drawn by `model`. Raises what the database raises; what was replayed stays so.
    """
    replay = Replay()
    async with verification.snapshot(database) as connection:
        customers = await verification.count(connection, "customer_states")
    watch(replay, customers)
    if dry_run:
        await _compare(database, replay, page, lambda: watch(replay, customers))
        return replay
    async with database.hot_transaction() as connection:
        await replays.begin(connection, datetime.now(UTC), restart=restart)
        begun = await replays.lock(connection)
    if begun is not None:
        replay.resumed = replay.replayed = begun.replayed
        replay.changed = begun.changed
    while await _next_page(database, replay, model, page):
        watch(replay, customers)
    watch(replay, customers)
    return replay


async def _compare(database: Database, replay: Replay, size: int, watch: Callable[[], None]) -> None:
    after = FIRST_ID
    while True:
        async with verification.snapshot(database) as connection:
            stored = dict(await verification.states_after(connection, after, size))
            found = await _page(connection, stored)
        replay.replayed += len(stored)
        replay.changed += len(found.differences) - found.failed
        replay.failed += found.failed
        replay.note(found.differences)
        watch()
        if len(stored) < size:
            return
        after = max(stored)


async def _next_page(database: Database, replay: Replay, model: Model, size: int) -> bool:
    """Whether there may be another page behind this one."""
    now = datetime.now(UTC)
    async with database.hot_transaction() as connection:
        progress = await replays.lock(connection)
        if progress is None:
            return False
        ids = [one for one, _ in await verification.states_after(connection, progress.after, size)]
        stored = await replays.lock_stored(connection, ids)
        found = await _page(connection, stored)
        changed = [one.customer_id for one in found.differences if one.customer_id in found.due]
        await states.save(
            connection,
            [_saved(one, found.due[one], model, now) for one in changed if one is not None],
        )
        if len(ids) < size:
            await replays.end(connection)
        else:
            done = Progress(ids[-1], progress.replayed + len(ids), progress.changed + len(changed))
            await replays.advance(connection, done, now)
    replay.replayed += len(ids)
    replay.changed += len(changed)
    replay.failed += found.failed
    replay.note(found.differences)
    return len(ids) == size


async def _page(connection: asyncpg.Connection, stored: Mapping[UUID, bytes]) -> _Page:
    """Fold the logs of these customers. The connection is in a transaction, for which nobody writes to them."""
    due: dict[UUID, State] = {}
    differences: list[Difference] = []
    failed = 0
    logs = verification.logs_of(connection, list(stored))
    opened = await purging.openings(connection, list(stored))
    silent = set(stored)
    async for customer_id, rows in logs:
        silent.remove(customer_id)
        folded = _folded(rows)
        if isinstance(folded, str):
            failed += 1
            differences.append(Difference(folded, customer_id))
        else:
            due[customer_id] = purging.opening_state(opened.get(customer_id)).plus(folded)
    due |= {one: purging.opening_state(opened.get(one)) for one in silent}
    for customer_id, state in due.items():
        differences += [Difference(what, customer_id) for what in unlike(state, stored[customer_id])]
    return _Page(due, differences, failed)


def _folded(rows: Sequence[Mapping[str, Any]]) -> State | str:
    """The state of a log, or what is wrong with it."""
    try:
        return fold(fact_of_row(row) for row in rows)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"the log cannot be read: {type(error).__name__}"


def _saved(customer_id: UUID, state: State, model: Model, now: datetime) -> SavedState:
    health = score(state, seconds(now), model)
    return SavedState(customer_id, state, draw(state, health, now, model))
