"""Two customers were not one after all: each gets back what is theirs, and what came in their name since."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.customers import erased
from app.domain.health.facts import Fact
from app.domain.health.form import Form
from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.state import State
from app.domain.merging import ids_in, merge_not_found, touchpoint_id, undo_blocked, without_gaps
from app.domain.recording import outcome_json
from app.domain.retention import folded, form_kept
from app.domain.silence import SOURCE
from app.domain.touchpoints import seconds
from app.storage import (
    consents,
    customers,
    merged_opinions,
    merges,
    merging,
    states,
    timeline,
    verification,
    voids,
)
from app.storage.merges import Merge
from app.storage.merging import Single
from app.storage.privacy import purging
from app.storage.states import StateRow
from app.storage.touchpoints import fact_of_row
from app.usecases.loyalty.tell_tiers import tell
from app.usecases.merges.find_merge import find_merge
from app.usecases.merges.merge_accounts import part_accounts
from app.usecases.merges.merge_customers import drawn_anew
from app.usecases.record_touchpoints import Entry
from app.usecases.tell_silence import tell_silence


class _Locked(NamedTuple):
    merge: Merge
    survivor: StateRow


async def undo_merge(
    connection: asyncpg.Connection, public_id: str, *, by: str, model: Model, now: datetime
) -> Merge:
    """The merge as undone, now or before. Both states are the folds of their own logs afterwards.

    Runs in the caller's transaction. Raises NotFound `merge_not_found`, Conflict `undo_blocked` or `erased`.
    """
    merge, survivor = await _locked(connection, public_id)
    if merge.undone_at is not None:
        return merge
    await _check_free(connection, survivor)
    await tell_silence(connection, [survivor], model, now)
    lines = await part_accounts(connection, merge, now)
    async with merging.privileged(connection):
        await merging.move(connection, merge.customer_id, merge.from_customer_id, merge.origins)
        await merging.return_singles(connection, merge.customer_id, merge.from_customer_id, _singles(merge))
        await merged_opinions.part(connection, merge.customer_id, merge.from_customer_id, merge.origins)
    await consents.draw_anew(connection, [merge.customer_id, merge.from_customer_id])
    await _empty_gaps(connection, merge, now)
    parted = await _folded(connection, [merge.customer_id, merge.from_customer_id], survivor.state.form)
    await states.save(connection, [drawn_anew(who, state, model, now) for who, state in parted.items()])
    await states.lead_on(connection, [merge.from_customer_id], None)
    others = [origin for origin in merge.origins if origin != merge.from_customer_id]
    await states.lead_on(connection, others, merge.from_customer_id)
    for who in parted:
        # Hints that led from the alias' identifiers to the survivor are wrong by now, and so may older ones be.
        await customers.revise_identity(connection, who)
    own, state = model.of(survivor.state), parted[merge.customer_id]
    before, after = (score(one, seconds(now), model.of(one)) for one in (survivor.state, state))
    await _take_back_line(
        connection, merge, outcome_json(before, after, ["The merge was undone"], own), by, now
    )
    await tell(connection, [Entry(merge.customer_id, one, told=False) for one in lines], model)
    await merges.mark_undone(connection, merge, by, now)
    return replace(merge, undone_by=by, undone_at=now)


async def _locked(connection: asyncpg.Connection, public_id: str) -> _Locked:
    """The merge and who survived it, everybody it is about locked in customer order."""
    found = await find_merge(connection, public_id)
    locked = await states.lock(connection, sorted({found.customer_id, *found.origins}))
    # Somebody may have undone it before the lock was ours.
    merge = await merges.find(connection, *ids_in(public_id))
    if merge is None:
        raise merge_not_found()
    return _Locked(merge, locked[merge.customer_id])


async def _check_free(connection: asyncpg.Connection, survivor: StateRow) -> None:
    """Chains are parted from their end: what was merged on goes back with the merge that took it there."""
    if survivor.erased_at is not None:
        raise erased()
    if survivor.merged_into is None:
        return
    who = [survivor.merged_into, *await merges.aliases(connection, survivor.merged_into)]
    later = await merges.standing(connection, who, survivor.customer_id)
    raise undo_blocked([] if later is None else [{"kind": "merge", "id": later.public_id}])


def _singles(merge: Merge) -> Mapping[str, Sequence[Single]]:
    return {table: [Single(*one) for one in rows] for table, rows in merge.kept["singles"].items()}


async def _empty_gaps(connection: asyncpg.Connection, merge: Merge, now: datetime) -> None:
    customer = await customers.existing(connection, merge.customer_id)
    profile = without_gaps(customer.profile, merge.kept["profile"])
    await customers.save(connection, merge.customer_id, profile, now)
    await customers.touch(connection, [merge.from_customer_id], now)


async def _folded(
    connection: asyncpg.Connection, customer_ids: Sequence[UUID], form: Form
) -> dict[UUID, State]:
    """The states of these logs. A sum cannot be parted: what stood in one thread meanwhile may have met since.

    They have the half-lives that both had together, but for one whose log was purged under others.
    """
    opened = await purging.openings(connection, customer_ids)
    facts: dict[UUID, list[Fact]] = {one: [] for one in customer_ids}
    async for customer_id, rows in verification.logs_of(connection, customer_ids):
        facts[customer_id] = [fact_of_row(row) for row in rows]
    found = {}
    for one, known in facts.items():
        opening = opened.get(one)
        # In a thread: a log of a hundred thousand facts takes a second, in which others want answers.
        found[one] = await asyncio.to_thread(folded, opening, known, form_kept(opening) or form)
    return found


async def _take_back_line(
    connection: asyncpg.Connection, merge: Merge, outcome: str, by: str, now: datetime
) -> None:
    """The line that told of the merge goes from the timeline; the log keeps it, and who took it back."""
    line = touchpoint_id(merge.public_id)
    row = await timeline.find(connection, merge.customer_id, line, SOURCE, SOURCE)
    if row is not None and row.void is None:
        await voids.mark(connection, row, now, by, "The merge was undone", json.loads(outcome))
