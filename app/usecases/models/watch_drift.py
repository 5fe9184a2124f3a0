"""Once a day: does the active model still know the shop? Nothing is published by itself; a person is told.

A sample of customers is folded twice, as the log stood one horizon ago and as it stands now. Of several processes one
looks, and takes its time: requests go first.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from app.domain.health.drift import drift_of
from app.domain.health.facts import Fact
from app.domain.health.history import fold
from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.state import State
from app.domain.problems import Unavailable
from app.domain.retention import form_kept
from app.domain.touchpoints import seconds
from app.storage import models, verification
from app.storage.database import Database, is_canceled, is_retryable
from app.storage.models import SeenDrift
from app.storage.privacy import purging
from app.storage.touchpoints import fact_of_row
from app.storage.verification import FIRST_ID
from app.usecases.models.active_model import ActiveModel

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 60.0
"""Between two looks at whether a look is due."""
EVERY: Final = timedelta(days=1)
"""From one look to the next."""
GIVEN_UP: Final = timedelta(hours=2)
"""After so long a look that somebody began and did not end is begun again."""
MOST_CUSTOMERS: Final = 20_000
PAGE: Final = 100
"""Customers folded at once: some tens of milliseconds of one thread."""
IDS: Final = 5000
"""Customers walked past in one statement."""
IDLE_SHARE: Final = 4
"""Times the work, for which a look rests after each page; its share of a core is a fifth."""
LONGEST_REST_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Sample:
    """What is gathered page by page."""

    chances: list[float] = field(default_factory=list)
    outcomes: list[bool] = field(default_factory=list)
    scores_then: list[float] = field(default_factory=list)
    scores_now: list[float] = field(default_factory=list)

    def add(self, facts: Sequence[Fact], stored: State, model: Model, then: int, now: int) -> None:
        """Look at one customer at both times, by the model that scores them."""
        state = model.taking(stored)
        own = model.of(state)
        points = score(state, now, own).score_exact
        if points is not None:
            self.scores_now.append(points)
        was = score(fold((fact for fact in facts if fact.at <= then), state.form), then, own)
        if was.score_exact is not None:
            self.scores_then.append(was.score_exact)
        if was.purchase_probability is not None:
            self.chances.append(was.purchase_probability)
            self.outcomes.append(any(fact.kind == "purchase" and then < fact.at <= now for fact in facts))


async def watch_drift(
    database: Database,
    model: Model,
    now: datetime,
    *,
    most_customers: int = MOST_CUSTOMERS,
    idle_share: float = IDLE_SHARE,
) -> SeenDrift | None:
    """Look if nobody has for a day; what was found and written down, None when it is not due or no window has closed.

    The window is the model's horizon up to `now`. Left out is whose log was purged after it opened. Raises what the
    database raises: then the look is begun again after GIVEN_UP.
    """
    async with database.hot_transaction() as connection:
        if not await models.claim_drift(connection, model.version, now, now - EVERY, now - GIVEN_UP):
            return None
    opened = now - timedelta(days=round(model.horizon_days))
    sample = await _sampled(database, model, opened, now, most_customers, idle_share)
    drift = await asyncio.to_thread(
        drift_of, sample.chances, sample.outcomes, sample.scores_then, sample.scores_now
    )
    seen = SeenDrift(now, opened, drift)
    async with database.hot_transaction() as connection:
        await models.save_drift(connection, model.version, seen)
    if drift.reasons:
        log.warning(
            "model_drifted", model=model.version, ece=drift.ece, psi=drift.psi, customers=drift.customers
        )
    return seen


async def _sampled(
    database: Database, model: Model, opened: datetime, now: datetime, most: int, idle_share: float
) -> _Sample:
    async with verification.snapshot(database) as connection:
        every = max(1, -(-await verification.count(connection, "customer_states") // most))
    sample, after = _Sample(), FIRST_ID
    while True:
        async with verification.snapshot(database) as connection:
            ids = await verification.customers_after(connection, after, IDS)
        # The end of an id is random: whoever it picks has nothing in common.
        chosen = [one for one in ids if one.int % every == 0]
        for start in range(0, len(chosen), PAGE):
            began = time.monotonic()
            await _add_page(database, sample, chosen[start : start + PAGE], model, opened, now)
            await asyncio.sleep(min(LONGEST_REST_SECONDS, idle_share * (time.monotonic() - began)))
        if len(ids) < IDS:
            return sample
        after = ids[-1]


async def _add_page(
    database: Database, sample: _Sample, ids: Sequence[UUID], model: Model, opened: datetime, now: datetime
) -> None:
    async with verification.snapshot(database) as connection:
        held = _decoded(await verification.states_of(connection, ids))
        known = [who for who, state in held.items() if state.is_empty or model.reading(state.form)]
        openings = await purging.openings(connection, known)
        whole = [who for who in known if form_kept(openings.get(who)) is None]
        # One log at a time is in memory, and folded in a thread: requests are answered meanwhile.
        async for who, rows in verification.logs_of(connection, whole):
            try:
                facts = [fact_of_row(row) for row in rows]
            except (ValueError, TypeError, KeyError, AttributeError):
                # `verify` names a log that cannot be read; one is not worth the others.
                continue
            await asyncio.to_thread(sample.add, facts, held[who], model, seconds(opened), seconds(now))


def _decoded(stored: Sequence[tuple[UUID, bytes]]) -> dict[UUID, State]:
    """The states that can be read; `verify` names the others."""
    held = {}
    for who, state in stored:
        with contextlib.suppress(ValueError):
            held[who] = State.decode(state)
    return held


async def keep_watching_drift(
    database: Database,
    model: ActiveModel,
    pause_seconds: float,
    watch: Callable[[SeenDrift | None], None] = lambda _seen: None,
    *,
    looks: bool = True,
) -> None:
    """`watch_drift` every `pause_seconds`, the first after one pause, until cancelled; `watch` is told what is written
    down of the active model. Not `looks`: others do, and this process only tells.
    """
    away = False
    while True:
        await asyncio.sleep(pause_seconds)
        try:
            if looks:
                await watch_drift(database, model.current, datetime.now(UTC))
            async with database.hot_reading() as connection:
                found = await models.find(connection, model.current.version)
        except Exception as error:
            if not (isinstance(error, Unavailable) or is_retryable(error) or is_canceled(error)):
                log.exception("drift_not_watched")
            elif not away:
                log.warning("drift_not_watched", error=type(error).__name__)
            away = True
        else:
            away = False
            watch(None if found is None else found.drift)
