"""Everything about one customer for whoever is talking to them now: two statements, whatever the log holds."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg

from app.domain.context import Action, Context
from app.domain.customers import Customer, not_found
from app.domain.health.flags import red_flags
from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.standing import level_reasons, next_best_actions
from app.domain.health.value import value
from app.domain.identifiers import Reference
from app.domain.kinds import NO_KINDS, OwnKinds
from app.domain.money import minor_per_major
from app.domain.touchpoints import seconds
from app.storage import contexts, identifiers
from app.storage.contexts import Known
from app.usecases.find_customer import find_customer


class SealedContext(NamedTuple):
    """A context, and a digest of what it was read from."""

    context: Context
    seal: bytes


async def read_context(
    connection: asyncpg.Connection,
    reference: Reference,
    model: Model,
    now: datetime,
    *,
    touchpoints: int,
    currency: str,
    own_kinds: OwnKinds = NO_KINDS,
) -> SealedContext:
    """The customer as of `now`, with so many of their newest touchpoints, and sums in the shop's `currency`.

    Raises what `find_customer` raises.
    """
    labels = {name: kind.label for name, kind in own_kinds.items()}
    known = await _named(connection, reference, touchpoints, labels)
    if known is None or known.merged_into is not None or known.erased_at is not None:
        # Not the plain case: the general look-up follows merges and knows what to say.
        identity = await find_customer(connection, reference)
        known = await contexts.load(connection, identity.customer_id, touchpoints, labels)
    if known is None:
        raise not_found()
    return SealedContext(_context(known, model, now, currency), known.seal)


async def _named(
    connection: asyncpg.Connection, reference: Reference, touchpoints: int, labels: Mapping[str, str]
) -> Known | None:
    """Who is meant when the reference names exactly one customer."""
    keys = {(identifier.type, identifier.key) for identifier in reference.identifiers}
    named = set((await identifiers.holders(connection, keys)).values())
    if reference.customer_id is not None:
        named.add(reference.customer_id)
    if len(named) != 1:
        return None
    return await contexts.load(connection, named.pop(), touchpoints, labels)


def _context(known: Known, model: Model, now: datetime, currency: str) -> Context:
    state, at = known.state, seconds(now)
    health = score(state, at, model)
    flags = red_flags(state, at, model, opted_out=known.opted_out)
    customer = Customer(
        id=known.customer_id,
        profile=known.profile,
        identifiers=known.identifiers,
        created_at=known.created_at,
        updated_at=known.updated_at,
        revision=known.revision,
        purchases=state.n,
        # As of now and not of the last write: the answer would contradict itself.
        band=health.band,
        score=health.score_exact,
        scored_at=now,
    )
    return Context(
        now=now,
        customer=customer,
        first_purchase_at=None if state.t_first is None else datetime.fromtimestamp(state.t_first, UTC),
        health=health,
        reasons=level_reasons(state, health, at, model, currency),
        red_flags=flags,
        value=value(state, health, at, model, minor_per_major(currency)),
        currency=currency,
        open_complaints=known.open_complaints,
        answers=known.answers,
        recent=known.recent,
        actions=[Action(*action) for action in next_best_actions(state, health, flags, at, model)],
        notes=known.notes,
        override=known.override if known.override is not None and known.override.holds_at(now) else None,
        sentiment=known.sentiment,
    )
