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
from app.storage import states, touchpoints
from app.storage.states import LockedState, SavedState
from app.usecases.write_rows import write_rows


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
Overtaken: TypeAlias = dict[UUID, tuple[datetime, list[Crossing]]]


async def record_touchpoints(
    connection: asyncpg.Connection, entries: Sequence[Entry], model: Model
) -> list[Outcome]:
    """Record all entries, each as if it had come alone and in this order; outcomes in the same order.

    Runs inside the caller's transaction, whose commit makes it true. What is wrong with one entry (`id_reused`,
    `customer_not_found`, `erased`) is its outcome and no one else's. Raises LostRace, and what the database raises.
    """
    locked = await states.lock(connection, sorted({entry.customer_id for entry in entries}))
    refused = [_refusal(entry, locked.get(entry.customer_id)) for entry in entries]
    open_entries = [entry for entry, no in zip(entries, refused, strict=True) if no is None]
    if not open_entries:
        return [no for no in refused if no is not None]
    logs = {
        customer_id: CustomerLog(customer_id, locked[customer_id].state, drawn=locked[customer_id].drawn)
        for customer_id in {entry.customer_id for entry in open_entries}
    }
    overtaken = _overtaken(open_entries, logs, model)
    await _load(connection, open_entries, logs, overtaken)
    for customer_id, (now, missed) in overtaken.items():
        catch_up(logs[customer_id], missed, now, model)
    outcomes = [
        _decide(logs[entry.customer_id], entry, model) if no is None else no
        for entry, no in zip(entries, refused, strict=True)
    ]
    await _save(connection, logs, model)
    return outcomes


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


def _overtaken(entries: Sequence[Entry], logs: dict[UUID, CustomerLog], model: Model) -> Overtaken:
    """Whose band changed in silence since the last sweep: a touchpoint that is faster than the next one tells it."""
    overtaken: Overtaken = {}
    looked: set[UUID] = set()
    for entry in entries:
        if entry.customer_id in looked:
            continue
        looked.add(entry.customer_id)
        log, now = logs[entry.customer_id], entry.touchpoint.received_at
        if log.drawn is not None and is_due(log.drawn, now, model):
            missed = crossings(log.state, log.drawn, now, model)
            if missed:
                overtaken[entry.customer_id] = now, missed
    return overtaken


async def _load(
    connection: asyncpg.Connection,
    entries: Sequence[Entry],
    logs: dict[UUID, CustomerLog],
    overtaken: Overtaken,
) -> None:
    keys = {(e.customer_id, e.touchpoint.source, e.touchpoint.id) for e in entries}
    keys |= {
        (customer, SOURCE, one.touchpoint.id) for customer, (_, missed) in overtaken.items() for one in missed
    }
    threads = {
        (e.customer_id, e.touchpoint.fact.thread) for e in entries if e.touchpoint.fact.thread is not None
    }
    for row in await touchpoints.load_known(connection, list(keys), list(threads)):
        log = logs[row.customer_id]
        if row.stored is not None:
            log.known[row.source, row.id] = row.stored
        elif row.fact.thread is not None:
            log.threads.setdefault(row.fact.thread, []).append(row.fact)


def _decide(log: CustomerLog, entry: Entry, model: Model) -> Outcome:
    try:
        if entry.told:
            return record(log, entry.touchpoint, model)
        return record_untold(log, entry.touchpoint)
    except Problem as problem:
        return problem


async def _save(connection: asyncpg.Connection, logs: dict[UUID, CustomerLog], model: Model) -> None:
    changed = {customer_id: log for customer_id, log in logs.items() if log.fresh}
    if not changed:
        return
    for log in changed.values():
        settle(log, model)
    await write_rows(connection, changed.values())
    await states.save(connection, [_saved(log, model) for log in changed.values()])


def _saved(log: CustomerLog, model: Model) -> SavedState:
    if log.health is None:
        raise AssertionError("a log with new rows was not settled")
    scored_at = log.fresh[-1][0].received_at
    return SavedState(log.customer_id, log.state, draw(log.state, log.health, scored_at, model, log.drawn))
