"""Somebody says that two customers are one: all that is known of both is the survivor's, the other becomes an alias."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.state import EMPTY, State
from app.domain.identifiers import IdentifierRules, Reference
from app.domain.ids import uuid7
from app.domain.merging import (
    gaps_filled,
    merge_too_large,
    merged_state,
    merged_touchpoint,
    same_customer,
    with_gaps,
)
from app.domain.problems import Conflict
from app.domain.retention import folded, form_kept
from app.domain.silence import Drawn, draw
from app.domain.touchpoints import seconds
from app.storage import consents, customers, identifiers, merges, merging, states, verification
from app.storage.customers import Identity
from app.storage.merges import Merge
from app.storage.privacy import purging
from app.storage.states import SavedState, StateRow
from app.storage.touchpoints import fact_of_row
from app.usecases.find_customer import find_customer
from app.usecases.loyalty.tell_tiers import tell
from app.usecases.merges.merge_accounts import TABLE as ACCOUNTS
from app.usecases.merges.merge_accounts import merge_accounts
from app.usecases.record_touchpoints import Entry
from app.usecases.resolve_customers import Raced, until_settled
from app.usecases.tell_silence import tell_silence

UNSCORED = Drawn("unknown", None, None, None, None)
"""Of an alias nothing is shown."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who becomes whom, and why. `by` is the source that is shown for it."""

    into: Reference
    source: Reference
    reason: str
    by: str


class Merged(NamedTuple):
    """The merge; `is_new` is False for one that stood already."""

    merge: Merge
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Pair:
    """Both, locked; `origins` are the alias and everybody who was one of theirs."""

    into: StateRow
    source: StateRow
    origins: Sequence[UUID]


async def merge_customers(
    connection: asyncpg.Connection,
    wanted: Wanted,
    *,
    rules: IdentifierRules,
    model: Model,
    now: datetime,
    most_touchpoints: int,
) -> Merged:
    """The merge, made now or standing: asking again changes nothing.

    Runs in the caller's transaction. Raises what `find_customer` raises, Conflict `same_customer`,
    `too_many_identifiers`, `state_forms_differ`, or `merge_too_large` when more than `most_touchpoints` would move, and
    Unavailable `busy`.
    """
    found = await until_settled(connection, lambda: _found_and_locked(connection, wanted))
    if isinstance(found, Merge):
        return Merged(found, is_new=False)
    into, source = found.into.customer_id, found.source.customer_id
    held = await identifiers.count(connection, into) + await identifiers.count(connection, source)
    rules.check_room(held)
    if await merging.has_more_touchpoints(connection, source, most_touchpoints):
        raise merge_too_large(most_touchpoints)
    await tell_silence(connection, [found.into, found.source], model, now)
    shared = await merging.shared_threads(connection, into, source)
    into_state, source_state = await in_one_form(connection, found.into, found.source, model)
    merge_id = uuid7(int(now.timestamp() * 1000))
    brought, lines = await merge_accounts(connection, into, source, merge_id, now)
    async with merging.privileged(connection):
        moved = await merging.move(connection, source, into)
        singles = await merging.move_singles(connection, source, into)
    await consents.draw_anew(connection, [into, source])
    merge = Merge(
        customer_id=into,
        id=merge_id,
        from_customer_id=source,
        origins=tuple(found.origins),
        reason=wanted.reason,
        merged_by=wanted.by,
        merged_at=now,
        kept={"singles": singles, "profile": await _fill_gaps(connection, into, source, now)},
        moved=moved | ({ACCOUNTS: brought} if brought else {}),
    )
    await merges.add(connection, merge)
    state = merged_state(into_state, source_state, shared)
    await states.save(
        connection,
        [drawn_anew(into, state, model, now), SavedState(source, EMPTY, UNSCORED)],
    )
    await states.lead_on(connection, found.origins, into)
    merged_line = merged_touchpoint(merge.public_id, merge.from_customer_id, merge.merged_at)
    await tell(connection, [Entry(into, one, told=False) for one in (merged_line, *lines)], model)
    return Merged(merge, is_new=True)


async def _found_and_locked(connection: asyncpg.Connection, wanted: Wanted) -> _Pair | Merge:
    into = await find_customer(connection, wanted.into)
    source = await find_customer(connection, wanted.source)
    if into.customer_id == source.customer_id:
        return await _standing(connection, into, source)
    aliases = await merges.aliases(connection, source.customer_id)
    origins = sorted({source.customer_id, *aliases})
    # The aliases too, which will lead elsewhere; all in customer order.
    locked = await states.lock(connection, sorted({into.customer_id, *origins}))
    for identity in (into, source):
        row = locked.get(identity.customer_id)
        if row is None or not identity.holds_for(row):
            raise Raced
    # Whoever makes or parts an alias locks the survivor.
    if await merges.aliases(connection, source.customer_id) != aliases:
        raise Raced
    return _Pair(locked[into.customer_id], locked[source.customer_id], origins)


async def _standing(connection: asyncpg.Connection, into: Identity, source: Identity) -> Merge:
    """The merge that is asked for once more. Raises Conflict `same_customer` when it never was one."""
    if source.named_as is not None and source.named_as != into.named_as:
        who = [into.customer_id, *await merges.aliases(connection, into.customer_id)]
        known = await merges.standing(connection, who, source.named_as)
        if known is not None:
            return known
    raise same_customer()


async def _fill_gaps(
    connection: asyncpg.Connection, into: UUID, source: UUID, now: datetime
) -> dict[str, object]:
    profile = (await customers.existing(connection, into)).profile
    gaps = gaps_filled(profile, (await customers.existing(connection, source)).profile)
    # Written even without gaps: the identifiers, which belong to the customer, are others now.
    await customers.save(connection, into, with_gaps(profile, gaps), now)
    return gaps


async def in_one_form(
    connection: asyncpg.Connection, into: StateRow, source: StateRow, model: Model
) -> tuple[State, State]:
    """Both states with the same half-lives: where they differ, one is folded anew from its log.

    Both logs are as they were. That of the active model is preferred; who has lost a part of their log to a purge
    keeps the one they have. Raises Conflict `state_forms_differ` when that is so of both.
    """
    states_ = into.state, source.state
    if into.state.form == source.state.form or any(one.is_empty for one in states_):
        return states_
    rows = {row.customer_id: row for row in (into, source)}
    openings = await purging.openings(connection, list(rows))
    kept = {form_kept(openings.get(who)) for who in rows} - {None}
    if len(kept) > 1:
        raise state_forms_differ()
    form = next(iter(kept), None) or (
        model.form if model.form in {one.form for one in states_} else into.state.form
    )
    anew = {who: row.state for who, row in rows.items()}
    for who, row in rows.items():
        if row.state.form != form:
            logged = [facts async for _, facts in verification.logs_of(connection, [who])]
            facts = [fact_of_row(one) for log in logged for one in log]
            # In a thread: a log of a hundred thousand facts takes a second, in which others want answers.
            anew[who] = await asyncio.to_thread(folded, openings.get(who), facts, form)
    return anew[into.customer_id], anew[source.customer_id]


def state_forms_differ() -> Conflict:
    """Two sums with different half-lives cannot be added, and what they were made of is gone."""
    return Conflict(
        "state_forms_differ",
        "Both have lost a part of their log to a purge, and their scores use different half-lives.",
    )


def drawn_anew(customer_id: UUID, state: State, model: Model, now: datetime) -> SavedState:
    """The state with what lists show of it."""
    return SavedState(
        customer_id, state, draw(state, score(state, seconds(now), model.of(state)), now, model)
    )
