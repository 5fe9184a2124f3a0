"""Every customer's state again from the log: when a model has other half-lives, or `verify` finds a difference.

Pages of customers, each one transaction under their locks, beside a running service. How far it has come is part of
the same transaction, so a replay that is killed goes on where it ended. Whoever has the half-lives of an earlier model
is folded by those of the one that is active; the earlier model retires with the last of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.domain.health.form import Form
from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.state import State, empty
from app.domain.retention import OpeningState, folded, form_kept
from app.domain.silence import draw
from app.domain.touchpoints import seconds
from app.storage import models, replays, states, verification
from app.storage.database import Database
from app.storage.privacy import purging
from app.storage.replays import Progress
from app.storage.states import SavedState
from app.storage.touchpoints import fact_of_row
from app.storage.verification import FIRST_ID
from app.usecases.sweep_bands import SETTLED
from app.usecases.verification_pages import Difference
from app.usecases.verify import NAMED, form_in, unlike

PAGE: Final = 100
"""Customers in one transaction: tens of milliseconds in which writers of theirs wait."""


@dataclass(slots=True)
class Replay:
    """What a replay did, `resumed` of it in an earlier run. `failed`: logs that cannot be read; their states stay.

    `moved` of the changed ones got other half-lives, in this run; `kept` could not: part of their log was purged.
    `retired` are the models that score nobody any more. `first` names the first differences of this run.
    """

    resumed: int = 0
    replayed: int = 0
    changed: int = 0
    failed: int = 0
    moved: int = 0
    kept: int = 0
    retired: list[str] = field(default_factory=list)
    first: list[Difference] = field(default_factory=list)

    def add(self, looked_at: int, found: "_Page") -> None:
        """Count a page of the walk."""
        self.replayed += looked_at
        self.changed += len(found.changed)
        self.moved += found.moved
        self.failed += found.failed
        self.note(found.differences)

    def note(self, differences: Sequence[Difference]) -> None:
        """Name them, while there is room."""
        self.first += differences[: NAMED - len(self.first)]


@dataclass(frozen=True, slots=True)
class _Page:
    """The states that the logs of one page make; `changed` are those that are not what is stored. `moved` of them have
    other half-lives now; where they have the same, `differences` say what is wrong.
    """

    due: Mapping[UUID, State]
    changed: Sequence[UUID]
    differences: Sequence[Difference]
    failed: int
    moved: int


Watch = Callable[[Replay, int], None]
"""Told after every page, with the number of customers there are."""


async def replay_states(
    database: Database,
    model: Model,
    *,
    dry_run: bool = False,
    restart: bool = False,
    page: int = PAGE,
    settled: timedelta = SETTLED,
    watch: Watch = lambda _replay, _customers: None,
) -> Replay:
    """Replay everybody's state; with `dry_run` only say what would change. `restart` forgets an interrupted replay.

    States get the form of `model`, the active one; bands of changed states are drawn anew. `settled`: how long ago a
    model must have been replaced to retire. Raises what the database raises; what was replayed stays so.
    """
    replay = Replay()
    async with verification.snapshot(database) as connection:
        customers = await verification.count(connection, "customer_states")
    watch(replay, customers)
    if dry_run:
        await _compare(database, replay, model.form, page, lambda: watch(replay, customers))
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
    after: UUID | None = FIRST_ID
    while model.earlier and after is not None:
        after = await _next_left_behind(database, replay, model, page, after)
        watch(replay, customers)
    async with database.hot_transaction() as connection:
        replay.retired = await models.retire_unused(connection, datetime.now(UTC) - settled)
    return replay


async def _compare(
    database: Database, replay: Replay, form: Form, size: int, watch: Callable[[], None]
) -> None:
    after = FIRST_ID
    while True:
        async with verification.snapshot(database) as connection:
            stored = dict(await verification.states_after(connection, after, size))
            found = await _page(connection, stored, form)
        replay.replayed += len(stored)
        replay.changed += len(found.changed)
        replay.moved += found.moved
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
        found = await _page(connection, stored, model.form)
        await states.save(connection, [_saved(one, found.due[one], model, now) for one in found.changed])
        if len(ids) < size:
            await replays.end(connection)
        else:
            done = Progress(ids[-1], progress.replayed + len(ids), progress.changed + len(found.changed))
            await replays.advance(connection, done, now)
    replay.add(len(ids), found)
    return len(ids) == size


async def _next_left_behind(
    database: Database, replay: Replay, model: Model, size: int, after: UUID
) -> UUID | None:
    """Move those whom the walk had passed before the model was published, or while it was new; the last one looked at.

    Who stays behind has a log of which a part was purged.
    """
    now = datetime.now(UTC)
    async with database.hot_transaction() as connection:
        ids = await states.scored_by_others(connection, model.version, after, size)
        if not ids:
            return None
        stored = await replays.lock_stored(connection, ids)
        found = await _page(connection, stored, model.form)
        # All whom the active model reads, also those who are as they should be: it scores them from now on.
        drawn = [
            _saved(one, state, model, now) for one, state in found.due.items() if model.of(state) is model
        ]
        await states.save(connection, drawn)
    replay.changed += len(found.changed)
    replay.moved += found.moved
    replay.kept += len(found.due) - len(drawn)
    return max(ids)


async def _page(connection: asyncpg.Connection, stored: Mapping[UUID, bytes], form: Form) -> _Page:
    """Fold the logs of these customers. The connection is in a transaction, for which nobody writes to them.

    Of a purged log the rest is folded by the form of what was purged: in another one nobody knows it any more.
    """
    due: dict[UUID, State] = {}
    changed: list[UUID] = []
    differences: list[Difference] = []
    failed = moved = 0
    opened = await purging.openings(connection, list(stored))
    found: dict[UUID, State | str] = {}
    async for customer_id, rows in verification.logs_of(connection, list(stored)):
        found[customer_id] = _folded(opened.get(customer_id), rows, form)
    for customer_id, held in stored.items():
        state = found[customer_id] if customer_id in found else _folded(opened.get(customer_id), (), form)
        if isinstance(state, str):
            failed += 1
            differences.append(Difference(state, customer_id))
            continue
        due[customer_id] = state
        if state.encode() == held or (state.is_empty and held == empty(form_in(held)).encode()):
            # A state of nothing is the same in every form: of aliases and of the erased nothing is to be drawn.
            continue
        changed.append(customer_id)
        if state.form != form_in(held):
            moved += 1
        else:
            differences += [Difference(what, customer_id) for what in unlike(state, held)]
    return _Page(due, changed, differences, failed, moved)


def _folded(opening: OpeningState | None, rows: Sequence[Mapping[str, Any]], form: Form) -> State | str:
    """The state of a log, or what is wrong with it."""
    try:
        return folded(opening, (fact_of_row(row) for row in rows), form_kept(opening) or form)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"the log cannot be read: {type(error).__name__}"


def _saved(customer_id: UUID, state: State, model: Model, now: datetime) -> SavedState:
    health = score(state, seconds(now), model.of(state))
    return SavedState(customer_id, state, draw(state, health, now, model))
