"""What happens to a touchpoint that reaches the log: the decision, from facts alone.

One `CustomerLog` holds what is known of one customer while the lock on its state row is held. Touchpoints are recorded
into it one after the other, as if they had come alone; nothing here waits, reads a clock or fails half-way.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from app.domain.health.explain import reasons
from app.domain.health.facts import Fact
from app.domain.health.model import Model
from app.domain.health.score import Health, score
from app.domain.health.state import State
from app.domain.health.threads import joined, pending
from app.domain.problems import Conflict
from app.domain.silence import Crossing, Drawn
from app.domain.touchpoints import Touchpoint, fact_key, seconds

NEUTRAL: Final = 50
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NULL: Final = "null"
UNTOLD: Final = _NULL
"""The outcome of a touchpoint whose caller was not told about health: JSON null."""
COUNTED: Final = "Its order has counted it already"


@dataclass(slots=True)
class Stored:
    """A row of the log, as far as a retry of it needs to know.

    `outcome` and `loyalty` are the JSON its caller was told of health and points; None: nothing to tell of points.
    """

    body_sha256: bytes
    occurred_at: datetime
    received_at: datetime
    outcome: str
    loyalty: str | None = None


class Recorded(NamedTuple):
    """The answer for one touchpoint: stored now, or known already (`duplicate`).

    `identity_revision` is the customer's at that moment: while it stays, the identifiers that led here lead here.
    """

    customer_id: UUID
    touchpoint: Touchpoint
    stored: Stored
    duplicate: bool
    pending_match: bool
    identity_revision: int


@dataclass(slots=True)
class CustomerLog:
    """One customer under lock: its state, the ids and the threads that concern this group, and what is new.

    `fresh` are the rows to insert. `health` is the score after the newest told fact, as of `scored_at` (seconds since
    1970). `run_from` is the state before a run of facts from batches: such a run is scored once, when it ends.
    `drawn` is what lists show of the customer, as it was before. `counted` are the fresh rows that are taken back at
    once, with what that is told.
    """

    customer_id: UUID
    state: State
    identity_revision: int = 0
    known: dict[tuple[str, str], Stored] = field(default_factory=dict)
    threads: dict[str, list[Fact]] = field(default_factory=dict)
    fresh: list[tuple[Touchpoint, Stored]] = field(default_factory=list)
    health: Health | None = None
    scored_at: int = -1
    run_from: State | None = None
    run_length: int = 0
    drawn: Drawn | None = None
    counted: list[tuple[Touchpoint, str]] = field(default_factory=list)

    def find(self, touchpoint: Touchpoint) -> Recorded | None:
        """The answer to a retry, or None for something new. Raises Conflict `id_reused` when the body differs."""
        stored = self.known.get((touchpoint.source, touchpoint.id))
        if stored is None:
            return None
        if stored.body_sha256 != touchpoint.body_sha256:
            raise Conflict("id_reused", "This id was used before with another body.")
        return self._recorded(touchpoint, stored, duplicate=True)

    def add(self, fact: Fact) -> None:
        """Fold a new fact into the state, with what it changes for the facts of its thread."""
        if fact.thread is None:
            self.state = joined(self.state, (), fact)
            return
        thread = self.threads.setdefault(fact.thread, [])
        self.state = joined(self.state, thread, fact)
        thread.append(fact)

    def thread(self, fact: Fact) -> Sequence[Fact]:
        """All known facts of the fact's thread; none when it stands alone."""
        return () if fact.thread is None else self.threads.get(fact.thread, ())

    def waits(self, fact: Fact) -> bool:
        """Whether the fact adds nothing yet because the one it names has not come."""
        if fact.thread is None or fact.kind == "purchase":
            return False
        return fact.id in pending(self.thread(fact))

    def keep(self, touchpoint: Touchpoint, outcome: str) -> Recorded:
        """Remember a new touchpoint: for the insert, and so that the same id later in the group is a retry."""
        stored = Stored(touchpoint.body_sha256, touchpoint.occurred_at, touchpoint.received_at, outcome)
        self.known[touchpoint.source, touchpoint.id] = stored
        self.fresh.append((touchpoint, stored))
        return self._recorded(touchpoint, stored, duplicate=False)

    def _recorded(self, touchpoint: Touchpoint, stored: Stored, *, duplicate: bool) -> Recorded:
        waits = self.waits(touchpoint.fact)
        return Recorded(self.customer_id, touchpoint, stored, duplicate, waits, self.identity_revision)

    def health_before(self, state: State, now: int, model: Model) -> Health:
        """The health of `state` at `now`; a fact that follows another within the second need not score it again."""
        if self.health is not None and self.scored_at == now and state is self.state:
            return self.health
        return score(state, now, model)


def catch_up(log: CustomerLog, crossings: Sequence[Crossing], now: datetime, model: Model) -> None:
    """Record what silence did to the band until `now`, before anything else; what is known already is left out."""
    for touchpoint, before, after, why in crossings:
        if (touchpoint.source, touchpoint.id) not in log.known:
            log.keep(touchpoint, outcome_json(before, after, why, model))
    log.health, log.scored_at = score(log.state, seconds(now), model), seconds(now)


def record(log: CustomerLog, touchpoint: Touchpoint, model: Model) -> Recorded:
    """Record one touchpoint whose caller is told what it did to the customer's health.

    Raises Conflict `id_reused`. The log is unchanged when it raises or when the touchpoint is a retry.
    """
    known = log.find(touchpoint)
    if known is not None:
        return known
    settle(log, model)
    fact, was, now = touchpoint.fact, log.state, seconds(touchpoint.received_at)
    before = log.health_before(was, now, model)
    log.add(fact)
    after = score(log.state, now, model)
    log.health, log.scored_at = after, now
    why = reasons(fact, was, log.state, before, after, now, model, log.thread(fact))
    return log.keep(touchpoint, outcome_json(before, after, why, model))


def is_counted(log: CustomerLog, touchpoint: Touchpoint) -> bool:
    """Whether the whole order that a posted purchase belongs to has written its purchase already: it is one order."""
    fact = touchpoint.fact
    if fact.kind != "purchase" or fact.thread is None:
        return False
    written = fact_key(touchpoint.source, f"{fact.thread}:")
    return any(one.kind == "purchase" and one.id.startswith(written) for one in log.thread(fact))


def record_counted(log: CustomerLog, touchpoint: Touchpoint, model: Model) -> Recorded:
    """Record a purchase that its order has counted: a row of the log that is taken back at once and changes nothing.

    Raises Conflict `id_reused`. `settle` has to precede it: a run of untold facts ends here.
    """
    known = log.find(touchpoint)
    if known is not None:
        return known
    settle(log, model)
    now = seconds(touchpoint.received_at)
    health = log.health_before(log.state, now, model)
    log.health, log.scored_at = health, now
    outcome = outcome_json(health, health, [COUNTED], model)
    log.counted.append((touchpoint, outcome))
    return log.keep(touchpoint, outcome)


def record_untold(log: CustomerLog, touchpoint: Touchpoint) -> Recorded:
    """Record one touchpoint of a batch, whose caller is told only that it is stored. Raises Conflict `id_reused`.

    `settle` must follow before the rows are written.
    """
    known = log.find(touchpoint)
    if known is not None:
        return known
    if log.run_from is None:
        log.run_from = log.state
    log.run_length += 1
    log.add(touchpoint.fact)
    return log.keep(touchpoint, UNTOLD)


def settle(log: CustomerLog, model: Model) -> None:
    """Score the run of untold facts that is open, if any.

    A lone fact gets its own effect as outcome. Of several nobody was told which did what, so their rows say nothing.
    """
    if log.run_from is None:
        return
    touchpoint, stored = log.fresh[-1]
    now = seconds(touchpoint.received_at)
    after = score(log.state, now, model)
    if log.run_length == 1:
        before = score(log.run_from, now, model)
        fact = touchpoint.fact
        why = reasons(fact, log.run_from, log.state, before, after, now, model, log.thread(fact))
        stored.outcome = outcome_json(before, after, why, model)
    log.health, log.scored_at, log.run_from, log.run_length = after, now, None, 0


def outcome_json(before: Health, after: Health, why: Sequence[str], model: Model) -> str:
    """The `health` member of an answer: whole scores as of now, their difference, and why.

    `before` is null on the first evidence; `delta` is then the distance from the neutral 50 (api.md, Touchpoints).
    """
    was, now = before.score, after.score
    delta = 0 if now is None else now - (NEUTRAL if was is None else was)
    # By hand: nothing but the reasons and the model's name can need escaping.
    return (
        f'{{"score":{_NULL if now is None else now},"band":"{after.band}","before":{_NULL if was is None else was},'
        f'"delta":{delta},"band_changed":{"true" if before.band != after.band else "false"},'
        f'"reasons":{_encode(list(why))},"model":{_encode(model.version)}}}'
    )
