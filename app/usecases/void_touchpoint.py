"""Somebody takes a touchpoint back that should not have been written: its effect goes, its row stays."""

import json
from datetime import datetime
from typing import NamedTuple

import asyncpg

from app.domain.descriptions import describe
from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.state import State
from app.domain.health.threads import pending, voided
from app.domain.identifiers import Reference
from app.domain.kinds import KINDS, reserved_kind
from app.domain.recording import outcome_json
from app.domain.silence import draw
from app.domain.touchpoints import seconds, touchpoint_not_found
from app.storage import states, timeline, voids
from app.storage.privacy import purging
from app.storage.states import SavedState, StateRow
from app.storage.timeline import Logged, Void
from app.usecases.lock_customer import lock_customer
from app.usecases.loyalty.take_back import take_back
from app.usecases.tell_silence import tell_silence


class Voided(NamedTuple):
    """The touchpoint, and its marker."""

    row: Logged
    void: Void


async def void_touchpoint(
    connection: asyncpg.Connection,
    reference: Reference,
    id: str,  # noqa: A002 - the wire's own name
    source: str | None,
    *,
    by: str,
    reason: str | None,
    model: Model,
    now: datetime,
    shop_currency: str | None = None,
) -> Voided:
    """The touchpoint as voided, now or before: doing it again changes nothing and is answered the same.

    The state becomes what it would be had the touchpoint never come, to the bit; what it earned goes, by the clawback
    policy of now. Without `shop_currency` points stay: another line says the same. Its id stays taken: a retry of the
    post is a duplicate and does not bring it back. Raises what `find_customer` raises, NotFound `touchpoint_not_found`,
    Invalid `reserved_kind` for what the service wrote itself.
    """
    locked = await lock_customer(connection, reference)
    row = await timeline.find(connection, locked.customer_id, id, source, by, locked.origin)
    if row is None:
        raise touchpoint_not_found()
    built_in = KINDS.get(row.kind)
    if row.void is None and built_in is not None and built_in.server_only:
        raise reserved_kind("#/path/id")
    return await void_logged(
        connection, locked, row, by=by, reason=reason, model=model, now=now, shop_currency=shop_currency
    )


async def void_logged(
    connection: asyncpg.Connection,
    locked: StateRow,
    row: Logged,
    *,
    by: str,
    reason: str | None,
    model: Model,
    now: datetime,
    shop_currency: str | None = None,
) -> Voided:
    """The same for a row of a locked customer that is at hand."""
    if row.void is not None:
        return Voided(row, row.void)
    at = seconds(now)
    state, why = await _without(connection, locked.state, row)
    own = model.of(locked.state)
    before, after = score(locked.state, at, own), score(state, at, own)
    void = Void(now, by, reason, json.loads(outcome_json(before, after, why, own)))
    await voids.mark(connection, row, now, by, reason, void.outcome)
    await tell_silence(connection, [locked], model, now)
    drawn = draw(state, after, now, model, locked.drawn)
    await states.save(connection, [SavedState(locked.customer_id, state, drawn)])
    if shop_currency is not None:
        await take_back(connection, row, shop_currency, now)
    return Voided(row, void)


async def _without(connection: asyncpg.Connection, state: State, row: Logged) -> tuple[State, list[str]]:
    """The state once the row is taken back, and what there is to say about it."""
    fact = row.fact
    if fact.component is None:
        return state, ["No effect on health"]
    told = describe(
        row.kind,
        amount_minor=row.amount_minor,
        currency=row.currency,
        order_id=None,
        properties=row.properties,
    )
    thread = await voids.others_of_thread(connection, row)
    without = voided(state, thread, fact)
    if fact.kind == "purchase" and without.n:
        span = await voids.purchase_span(connection, row)
        purged = purging.opening_state(await purging.opening(connection, row.customer_id))
        ends = [seconds(end) for end in span if end is not None]
        ends += [end for end in (purged.t_first, purged.t_last) if end is not None]
        without = without.spanning(min(ends, default=None), max(ends, default=None))
    waits = pending(thread) - pending([*thread, fact])
    return without, [f"Taken back: {told}", *(["What named it waits for it again"] if waits else [])]
