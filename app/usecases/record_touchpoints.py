"""The one door into the log: a list of touchpoints in, one outcome each, a constant number of statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg

from app.domain.health.model import Model
from app.domain.problems import Conflict, NotFound, Problem
from app.domain.recording import CustomerLog, Recorded, catch_up, record, record_untold, settle
from app.domain.silence import SOURCE, Crossing, crossings, draw, is_due
from app.domain.touchpoints import Touchpoint
from app.storage.recording import Loaded, lock_and_load, write
from app.storage.states import LockedState, SavedState
from app.storage.touchpoints import Wanted, load_known


@dataclass(frozen=True, slots=True)
class Entry:
    """A touchpoint for a customer. `told`: the caller waits for the effect on health (a single post).

    `identity_revision` is the one under which a cache took the identifier for this customer; None when the caller
    named the customer itself.
    """

    customer_id: UUID
    touchpoint: Touchpoint
    told: bool = True
    identity_revision: int | None = None


@dataclass(frozen=True, slots=True)
class Rerouted:
    """Nothing was stored: the customer is another one by now. Look the reference up again (`to`: the survivor)."""

    to: UUID | None = None


Outcome: TypeAlias = Recorded | Rerouted | Problem


class LostRace(Exception):
    """A row stood in the log that the locked read had not shown: somebody wrote without the lock."""


async def record_touchpoints(
    connection: asyncpg.Connection, entries: Sequence[Entry], model: Model
) -> list[Outcome]:
    """Record all entries, each as if it had come alone and in this order; outcomes in the same order.

    Runs inside the caller's transaction, whose commit makes it true. What is wrong with one entry (`id_reused`,
    `customer_not_found`, `erased`) is its outcome and no one else's. Raises LostRace, and what the database raises.
    """
    loaded = await lock_and_load(connection, _wanted(entries))
    refused = [_refusal(entry, loaded.locked.get(entry.customer_id)) for entry in entries]
    logs = _logs(loaded)
    due = [
        entry
        for entry, no in zip(entries, refused, strict=True)
        if no is None and _is_due(logs, entry, model)
    ]
    if due:
        await _catch_up(connection, due, logs, model)
    outcomes = [
        _decide(logs[entry.customer_id], entry, model) if no is None else no
        for entry, no in zip(entries, refused, strict=True)
    ]
    await _write(connection, logs, model)
    return outcomes


def _wanted(entries: Sequence[Entry]) -> Wanted:
    keys = {(e.customer_id, e.touchpoint.source, e.touchpoint.id) for e in entries}
    threads = {
        (e.customer_id, e.touchpoint.fact.thread) for e in entries if e.touchpoint.fact.thread is not None
    }
    return Wanted(list(keys), list(threads))


def _logs(loaded: Loaded) -> dict[UUID, CustomerLog]:
    logs = {
        customer_id: CustomerLog(customer_id, locked.state, drawn=locked.drawn)
        for customer_id, locked in loaded.locked.items()
    }
    for row in loaded.known:
        log = logs[row.customer_id]
        if row.stored is not None:
            log.known[row.source, row.id] = row.stored
        elif row.fact.thread is not None:
            log.threads.setdefault(row.fact.thread, []).append(row.fact)
    return logs


def _refusal(entry: Entry, locked: LockedState | None) -> Outcome | None:
    if locked is None:
        return NotFound("customer_not_found", "There is no such customer.")
    if locked.erased_at is not None:
        return Conflict("erased", "This customer was erased; nothing may be written any more.")
    if locked.merged_into is not None:
        return Rerouted(locked.merged_into)
    if entry.identity_revision is not None and entry.identity_revision != locked.identity_revision:
        return Rerouted()
    return None


def _is_due(logs: dict[UUID, CustomerLog], entry: Entry, model: Model) -> bool:
    drawn = logs[entry.customer_id].drawn
    return drawn is not None and is_due(drawn, entry.touchpoint.received_at, model)


async def _catch_up(
    connection: asyncpg.Connection, entries: Sequence[Entry], logs: dict[UUID, CustomerLog], model: Model
) -> None:
    """Tell first what silence did to these bands since the last sweep: a touchpoint was faster than the next one.

    Rare, and so a statement of its own: few bands that may have changed have, and few customers are due.
    """
    overtaken = dict[UUID, tuple[datetime, list[Crossing]]]()
    for entry in entries:
        log, now = logs[entry.customer_id], entry.touchpoint.received_at
        if entry.customer_id not in overtaken and log.drawn is not None:
            overtaken[entry.customer_id] = now, crossings(log.state, log.drawn, now, model)
    keys = [(who, SOURCE, one.touchpoint.id) for who, (_, missed) in overtaken.items() for one in missed]
    if not keys:
        return
    for row in await load_known(connection, Wanted(keys, [])):
        if row.stored is not None:
            logs[row.customer_id].known[row.source, row.id] = row.stored
    for customer_id, (now, missed) in overtaken.items():
        if missed:
            catch_up(logs[customer_id], missed, now, model)


def _decide(log: CustomerLog, entry: Entry, model: Model) -> Outcome:
    try:
        if entry.told:
            return record(log, entry.touchpoint, model)
        return record_untold(log, entry.touchpoint)
    except Problem as problem:
        return problem


async def _write(connection: asyncpg.Connection, logs: dict[UUID, CustomerLog], model: Model) -> None:
    changed = [log for log in logs.values() if log.fresh]
    if not changed:
        return
    for log in changed:
        settle(log, model)
    # After all are settled: a run's last row gets its outcome then.
    rows = [(log.customer_id, point, kept.outcome) for log in changed for point, kept in log.fresh]
    if not await write(connection, rows, [_saved(log, model) for log in changed]):
        raise LostRace


def _saved(log: CustomerLog, model: Model) -> SavedState:
    if log.health is None:
        raise AssertionError("a log with new rows was not settled")
    scored_at = log.fresh[-1][0].received_at
    return SavedState(log.customer_id, log.state, draw(log.state, log.health, scored_at, model, log.drawn))
