"""Who would change band if a version scored instead of the active one. Reads only."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.domain.health.form import Form
from app.domain.health.model import BANDS, Model
from app.domain.health.score import score
from app.domain.health.state import State
from app.domain.health.versions import read
from app.domain.retention import folded, form_kept
from app.domain.touchpoints import seconds
from app.storage import states, verification
from app.storage.database import Database
from app.storage.privacy import purging
from app.storage.touchpoints import fact_of_row
from app.usecases.models.propose_model import existing

PAGE: Final = 1000
"""Customers read and scored at once: about 0.1 s of one thread."""
MOST_EXAMPLES: Final = 50


@dataclass(frozen=True, slots=True)
class Change:
    """One customer who would change band."""

    customer_id: UUID
    band_from: str
    band_to: str
    score_from: int | None
    score_to: int | None


@dataclass(slots=True)
class Preview:
    """How customers stand under the active model (`before`) and under the other one (`after`).

    `last` is where the walk in customer order ended; None: everybody was looked at.
    """

    version: str
    against: str
    customers: int = 0
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[Change] = field(default_factory=list)
    last: UUID | None = None


async def preview_model(
    database: Database,
    replica: Database,
    version: str,
    active: Model,
    now: datetime,
    *,
    after: UUID,
    most_customers: int,
) -> Preview:
    """Look at up to `most_customers` customers above `after`, in pages, each off the event loop.

    The model is that of `database`; the customers are read from `replica`, which may lag. Of a model with other
    half-lives the logs are folded by them, which takes longer. Raises NotFound `model_not_found`.
    """
    async with database.hot_reading() as connection:
        stored = await existing(connection, version)
    model = read(stored.parameters)
    preview = Preview(version, active.version)
    while preview.customers < most_customers:
        size = min(PAGE, most_customers - preview.customers)
        async with verification.snapshot(replica) as connection:
            page = await states.living_after(connection, after, size)
            held = {who: State.decode(state) for who, state in page}
            anew = await _in_form(connection, held, model.form)
        await asyncio.to_thread(_look, preview, held, anew, active, model, seconds(now))
        if len(page) < size:
            return preview
        after = page[-1][0]
    preview.last = after
    return preview


async def _in_form(
    connection: asyncpg.Connection, held: Mapping[UUID, State], form: Form
) -> Mapping[UUID, State]:
    """The states of those who would get other half-lives; who has lost a part of their log to a purge keeps theirs."""
    others = [who for who, state in held.items() if state.form != form and not state.is_empty]
    if not others:
        return {}
    opened = await purging.openings(connection, others)
    anew = {}
    async for customer_id, rows in verification.logs_of(connection, others):
        opening = opened.get(customer_id)
        if form_kept(opening) is None:
            facts = [fact_of_row(row) for row in rows]
            anew[customer_id] = await asyncio.to_thread(folded, opening, facts, form)
    return anew


def _look(
    preview: Preview,
    held: Mapping[UUID, State],
    anew: Mapping[UUID, State],
    active: Model,
    model: Model,
    now: int,
) -> None:
    for customer_id, state in held.items():
        own = active.of(state)
        was = score(state, now, own)
        after = anew.get(customer_id, state)
        reads = after.form == model.form or after.is_empty
        would = score(after, now, model if reads else own)
        preview.customers += 1
        preview.before[was.band] += 1
        preview.after[would.band] += 1
        if was.band != would.band:
            preview.transitions[was.band, would.band] += 1
            if len(preview.examples) < MOST_EXAMPLES:
                preview.examples.append(Change(customer_id, was.band, would.band, was.score, would.score))


def order_of(band: str) -> int:
    """Bands from best to worst, `unknown` last."""
    return BANDS.index(band) if band in BANDS else len(BANDS)
