"""The one door into the log: a list of touchpoints in, one outcome each, a constant number of statements."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

from app.domain.descriptions import order_id_of
from app.domain.health.model import Model
from app.domain.identifiers import Reference
from app.domain.loyalty.known_orders import OrderStep
from app.domain.loyalty.occasions import OCCASIONS
from app.domain.loyalty.passbook import MONEY, NewMoney
from app.domain.loyalty.plain_passbook import AnyPassbook
from app.domain.problems import Conflict, NotFound, Problem, Unavailable
from app.domain.recording import (
    UNTOLD,
    CustomerLog,
    Recorded,
    Stored,
    catch_up,
    is_counted,
    record,
    record_counted,
    record_untold,
    settle,
)
from app.domain.silence import SOURCE, Crossing, crossings, draw, is_due
from app.domain.touchpoints import Touchpoint
from app.storage import voids
from app.storage.identifiers import Key
from app.storage.loading import MOST_NAMES, AskedByName, Loaded, load
from app.storage.loyalty.buyers import Buyers
from app.storage.loyalty.programs import all_rules
from app.storage.recording import LostRace, Written, lock, write, write_unchanged
from app.storage.states import SavedState, StateRow
from app.storage.touchpoints import Wanted, load_known
from app.usecases.loyalty.earn import (
    NO_EARNING,
    NO_PASSBOOKS,
    RELOADS,
    Earning,
    Passbooks,
    buyers_in,
    earning_at,
    open_passbooks,
    passbooks_of,
    tier_touchpoints,
)
from app.usecases.loyalty.earn_occasions import earn_occasions, occasions_in


class Entry(NamedTuple):
    """A touchpoint for a customer. `told`: the caller waits for the effect on health (a single post).

    Who named the customer by identifiers says why these mean this customer: `identity_revision` is the one under which
    a cache took them for it, or `claimed` are the identifiers as they were looked up just now. The row of the customer
    decides whether that still holds. Both are empty when the caller named the customer itself. `step`: what a whole
    order says of the touchpoint that it wrote. `loaded`: what was read just now of the customer and of this touchpoint.
    """

    customer_id: UUID
    touchpoint: Touchpoint
    told: bool = True
    identity_revision: int | None = None
    claimed: Sequence[Key] = ()
    step: OrderStep | None = None
    loaded: Loaded | None = None


class Rerouted(NamedTuple):
    """Nothing was stored: the customer is another one by now. Look the reference up again (`to`: the survivor)."""

    to: UUID | None = None


Outcome: TypeAlias = Recorded | Rerouted | Problem


async def record_touchpoints(
    connection: asyncpg.Connection, entries: Sequence[Entry], model: Model, earning: Earning = NO_EARNING
) -> list[Outcome]:
    """Record all entries, each as if it had come alone and in this order; outcomes in the same order.

    Runs inside the caller's transaction, whose commit makes it true. What is wrong with one entry (`id_reused`,
    `customer_not_found`, `erased`) is its outcome and no one else's. `earning`: by which programmes money earns; who
    writes no money needs none. Raises LostRace, and what the database raises.
    """
    await lock(connection, _wanted(entries, earning))
    loaded, earning, _ = await _loaded(connection, entries, earning)
    logs = _logs(loaded, model)
    due = _due(entries, loaded, logs, model)
    if due:
        await _catch_up(connection, due, logs, model)
    books = await _passbooks(connection, entries, loaded, logs, earning)
    outcomes = _outcomes(entries, loaded, logs, model, books)
    written = _written(logs, model, books)
    if written is not None and not await write(connection, written):
        raise LostRace
    counted = [(log.customer_id, *one) for log in logs.values() for one in log.counted]
    if counted:
        await voids.mark_counted(connection, counted)
    await _earn_occasions(connection, entries, outcomes, model)
    return outcomes


async def record_group(
    connection: asyncpg.Connection, entries: Sequence[Entry], model: Model, earning: Earning = NO_EARNING
) -> list[Outcome]:
    """The same for one who is in no transaction: two statements while nobody else writes for these customers, three
    where money is given back.

    What was read is written if it still stands, else it is all done again under the lock; so are the few whose band
    time has changed since anybody looked, because what silence did is told first, purchases that their order has
    counted, because these are taken back, and occasions of loyalty, which earn.
    """
    loaded, earning, buyers = await _loaded(connection, entries, earning, with_accounts=True)
    logs = _logs(loaded, model)
    may_earn = any(entry.touchpoint.kind in OCCASIONS for entry in entries)
    if not may_earn and not _due(entries, loaded, logs, model):
        at_hand = None if buyers is None else passbooks_of(buyers, loaded, earning)
        books = at_hand or await _passbooks(connection, entries, loaded, logs, earning)
        outcomes = _outcomes(entries, loaded, logs, model, books)
        written = _written(logs, model, books)
        is_plain = not any(log.counted for log in logs.values())
        if written is None or (is_plain and await write_unchanged(connection, written, _versions(loaded))):
            return outcomes
    async with connection.transaction():
        return await record_touchpoints(connection, entries, model, earning)


async def _loaded(
    connection: asyncpg.Connection, entries: Sequence[Entry], earning: Earning, *, with_accounts: bool = False
) -> tuple[Loaded, Earning, Buyers | None]:
    """What concerns the group, and the rules of the same snapshot: a programme that another process has just published
    counts from its publication on. `with_accounts`: also whose accounts were read with it, if these say enough.

    Raises LostRace when the rules keep changing.
    """
    loaded = entries[0].loaded if with_accounts and len(entries) == 1 else None
    for _ in range(RELOADS):
        buyers = buyers_in(_money(entries), earning) if with_accounts else None
        if loaded is None or buyers is not None:
            loaded = await load(connection, _wanted(entries, earning), buyers)
        if loaded.programs in {None, earning.revision}:
            return loaded, earning, buyers
        now = max(entry.touchpoint.received_at for entry in entries)
        earning, loaded = earning_at(await all_rules(connection), earning.shop_currency, now), None
    raise LostRace


def _money(entries: Sequence[Entry]) -> Iterable[tuple[UUID, Touchpoint, OrderStep | None]]:
    """The touchpoints of a group that are about money, whose they are, and what a whole order says of them."""
    return ((one.customer_id, one.touchpoint, one.step) for one in entries if one.touchpoint.kind in MONEY)


async def _passbooks(
    connection: asyncpg.Connection,
    entries: Sequence[Entry],
    loaded: Loaded,
    logs: Mapping[UUID, CustomerLog],
    earning: Earning,
) -> Passbooks:
    """The passbooks of those who bring new money; none where no programme was ever published."""
    if earning.program is None:
        return NO_PASSBOOKS
    bought = [
        (entry.customer_id, entry.touchpoint, entry.step)
        for entry in entries
        if entry.touchpoint.kind in MONEY
        and _refusal(entry, loaded) is None
        and (entry.touchpoint.source, entry.touchpoint.id) not in logs[entry.customer_id].known
    ]
    if not bought:
        return NO_PASSBOOKS
    return await open_passbooks(connection, bought, loaded, earning)


async def record_with_points(
    connection: asyncpg.Connection,
    entries: Sequence[Entry],
    model: Model,
    points: Mapping[str, list[dict[str, Any]]],
) -> list[Recorded] | None:
    """Record new entries, and save what became of their customers' accounts (`changed_parts`), in one statement.

    For one who is in no transaction and holds no lock. None when that cannot be: something changed meanwhile, silence
    is to be told first, an entry is refused or was there before. Then nothing is written.
    """
    loaded = await load(connection, _wanted(entries, NO_EARNING))
    logs = _logs(loaded, model)
    if _due(entries, loaded, logs, model):
        return None
    outcomes = _outcomes(entries, loaded, logs, model, NO_PASSBOOKS)
    recorded = [one for one in outcomes if isinstance(one, Recorded) and not one.duplicate]
    written = _written(logs, model, NO_PASSBOOKS)
    if written is None or len(recorded) < len(entries):
        return None
    whole = replace(written, points=points)
    return recorded if await write_unchanged(connection, whole, _versions(loaded)) else None


async def _earn_occasions(
    connection: asyncpg.Connection, entries: Sequence[Entry], outcomes: Sequence[Outcome], model: Model
) -> None:
    """Let what is new and is an occasion of loyalty earn, and tell the tiers that it raised."""
    told = [
        (entry.customer_id, entry.touchpoint)
        for entry, outcome in zip(entries, outcomes, strict=True)
        if entry.touchpoint.kind in OCCASIONS and isinstance(outcome, Recorded) and not outcome.duplicate
    ]
    if not told:
        return
    try:
        moves = await earn_occasions(connection, occasions_in(told), told[-1][1].received_at)
    except Unavailable:
        # Rules that have just changed: the group is done again under the new ones.
        raise LostRace from None
    if moves:
        await record_touchpoints(connection, [Entry(*move) for move in moves], model)


def _versions(loaded: Loaded) -> Mapping[UUID, str]:
    return {customer_id: row.version for customer_id, row in loaded.states.items()}


def _outcomes(
    entries: Sequence[Entry],
    loaded: Loaded,
    logs: Mapping[UUID, CustomerLog],
    model: Model,
    books: Passbooks,
) -> list[Outcome]:
    """What becomes of each entry, as if it had come alone and in this order.

    First of all of them in the log, then of all in the passbooks: twice through the same code is faster than from one
    to the other and back.
    """
    outcomes: list[Outcome] = []
    new_money: list[tuple[AnyPassbook, Stored, NewMoney]] = []
    for entry in entries:
        refused = _refusal(entry, loaded)
        if refused is not None:
            outcomes.append(refused)
            continue
        log = logs[entry.customer_id]
        book = books.get(entry.customer_id) if entry.touchpoint.kind in MONEY else None
        # Before it is folded: what it is to the points depends on what was there.
        is_first = not log.state.n
        is_bought = book is not None and any(
            one.kind == "purchase" for one in log.thread(entry.touchpoint.fact)
        )
        outcome = _decide(log, entry, model)
        outcomes.append(outcome)
        if book is not None and isinstance(outcome, Recorded) and not outcome.duplicate:
            money = NewMoney(entry.touchpoint, is_first, is_bought, entry.step)
            new_money.append((book, outcome.stored, money))
    for book, stored, money in new_money:
        stored.loyalty = book.follow(money)
    return outcomes


def asked_by_name(reference: Reference, touchpoint: Touchpoint, earning: Earning) -> AskedByName | None:
    """What `load_named` is asked for a touchpoint that comes alone; None when more must be known of its customer."""
    names = [(each.type, each.key) for each in reference.identifiers]
    is_money = touchpoint.kind in MONEY
    if len(names) not in range(1, MOST_NAMES + 1) or (is_money and earning.program is not None):
        return None
    asks_rules = bool(earning.shop_currency) and is_money
    return AskedByName(names, touchpoint.source, touchpoint.id, touchpoint.fact.thread, asks_rules)


def _wanted(entries: Sequence[Entry], earning: Earning) -> Wanted:
    keys = {(e.customer_id, e.touchpoint.source, e.touchpoint.id) for e in entries}
    threads = {
        (e.customer_id, e.touchpoint.fact.thread) for e in entries if e.touchpoint.fact.thread is not None
    }
    claimed = {(e.customer_id, kind, value) for e in entries for kind, value in e.claimed}
    # Who writes no money names no currency.
    asks_rules = bool(earning.shop_currency) and any(e.touchpoint.kind in MONEY for e in entries)
    if earning.program is None:
        return Wanted(keys, threads, claimed, programs=asks_rules)
    ordered = {
        (e.customer_id, order_id)
        for e in entries
        if e.touchpoint.kind in MONEY
        and e.step is None
        and (order_id := order_id_of(e.touchpoint.thread)) is not None
    }
    tags = earning.asks_segments and any(e.touchpoint.kind == "purchase" for e in entries)
    return Wanted(keys, threads, claimed, ordered, tags, asks_rules)


def _logs(loaded: Loaded, model: Model) -> dict[UUID, CustomerLog]:
    logs = {
        customer_id: CustomerLog(customer_id, model.taking(row.state), row.identity_revision, drawn=row.drawn)
        for customer_id, row in loaded.states.items()
    }
    for row in loaded.known:
        log = logs[row.customer_id]
        if row.stored is not None:
            row.stored.namesake = log.known.get((row.source, row.id))
            log.known[row.source, row.id] = row.stored
        elif row.fact.thread is not None:
            log.threads.setdefault(row.fact.thread, []).append(row.fact)
    return logs


def _refusal(entry: Entry, loaded: Loaded) -> Outcome | None:
    row: StateRow | None = loaded.states.get(entry.customer_id)
    if row is None:
        return NotFound("customer_not_found", "There is no such customer.")
    if row.erased_at is not None:
        return Conflict("erased", "This customer was erased; nothing may be written any more.")
    if row.merged_into is not None:
        return Rerouted(row.merged_into)
    if entry.identity_revision is not None and entry.identity_revision != row.identity_revision:
        return Rerouted()
    if any((entry.customer_id, kind, value) not in loaded.held for kind, value in entry.claimed):
        return Rerouted()
    return None


def _due(
    entries: Sequence[Entry], loaded: Loaded, logs: Mapping[UUID, CustomerLog], model: Model
) -> list[Entry]:
    """The entries before which it must be told what silence did."""
    return [
        entry
        for entry in entries
        if (log := logs.get(entry.customer_id)) is not None
        and log.drawn is not None
        and is_due(log.drawn, entry.touchpoint.received_at, model)
        and _refusal(entry, loaded) is None
    ]


async def _catch_up(
    connection: asyncpg.Connection, entries: Sequence[Entry], logs: Mapping[UUID, CustomerLog], model: Model
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
    for row in await load_known(connection, keys):
        if row.stored is not None:
            logs[row.customer_id].known[row.source, row.id] = row.stored
    for customer_id, (now, missed) in overtaken.items():
        if missed:
            log = logs[customer_id]
            catch_up(log, missed, now, model.of(log.state))


def _decide(log: CustomerLog, entry: Entry, model: Model) -> Recorded | Problem:
    touchpoint = entry.touchpoint
    try:
        model = model.of(log.state)
        if entry.step is None and is_counted(log, touchpoint):
            return record_counted(log, touchpoint, model)
        return record(log, touchpoint, model) if entry.told else record_untold(log, touchpoint)
    except Problem as problem:
        return problem


def _written(logs: Mapping[UUID, CustomerLog], model: Model, books: Passbooks) -> Written | None:
    """What is to be written for the outcomes to be true; None when nothing is new."""
    changed = [log for log in logs.values() if log.fresh]
    if not changed:
        return None
    for log in changed:
        settle(log, model.of(log.state))
    # After all are settled: a run's last row gets its outcome then, and tiers move after what moved them.
    for customer_id, book in books.items():
        for touchpoint in tier_touchpoints(book, logs[customer_id].fresh):
            logs[customer_id].keep(touchpoint, UNTOLD)
    rows = [
        (log.customer_id, point, kept.outcome, kept.loyalty) for log in changed for point, kept in log.fresh
    ]
    return Written(rows, [_saved(log, model) for log in changed], books.rows() if books else {})


def _saved(log: CustomerLog, model: Model) -> SavedState:
    if log.health is None:
        raise AssertionError("a log with new rows was not settled")
    scored_at = log.fresh[-1][0].received_at
    return SavedState(log.customer_id, log.state, draw(log.state, log.health, scored_at, model, log.drawn))
