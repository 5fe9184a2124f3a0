"""The band that is stored beside a state for lists, how long it surely holds, and what silence did to it meanwhile.

Every writer draws the band anew. Between two writes only time passes, so whoever comes next (a sweep, or a touchpoint
that is faster) can say what changed in which minute; it is written to the log as `band_changed`, each change once.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from app.domain.canonical import canonical_json
from app.domain.health.crossing import HORIZON_SECONDS, MINUTE_SECONDS, Change, holds_until, next_change
from app.domain.health.facts import fact_of
from app.domain.health.model import Model
from app.domain.health.score import Health, score
from app.domain.health.standing import silence_reasons
from app.domain.health.state import State
from app.domain.touchpoints import EPOCH, Touchpoint, fact_key, seconds

SOURCE: Final = "rapport"
"""The source of what the service writes itself."""

_MINUTE: Final = timedelta(seconds=MINUTE_SECONDS)
# A band changes a handful of times in years of silence; more would be a mistake, and must not go on for ever.
_MOST_CHANGES: Final = 100


class Drawn(NamedTuple):
    """What is stored beside a state: `band` and `score` (0 to 100) by the model `model` at the time `at`.

    The band surely holds until `until`; None: for ever, or nothing is known. All None before the first touchpoint.
    """

    band: str
    score: float | None
    at: datetime | None
    model: str | None
    until: datetime | None


class Crossing(NamedTuple):
    """A change of band that nobody caused: the row of the log that says so, and the health before and after."""

    touchpoint: Touchpoint
    before: Health
    after: Health
    reasons: list[str]


def draw(state: State, health: Health, now: datetime, model: Model, known: Drawn | None = None) -> Drawn:
    """What to store beside `state`, whose health at `now` is `health`. For the write path: see holds_until.

    `known` is what was stored before; its `until` is kept while it can be certified.
    """
    model = model.of(state)
    kept = None if known is None else known.until
    at = seconds(now)
    until = holds_until(state, health, at, model, None if kept is None else seconds(kept))
    return Drawn(health.band, health.score_exact, now, model.version, _moment(until, kept))


def draw_exactly(state: State, health: Health, now: datetime, model: Model) -> Drawn:
    """The same with `until` as the very minute in which the band changes, or else 730 days from now."""
    model, at = model.of(state), seconds(now)
    change = next_change(state, at, health.band, model)
    if change is not None:
        until: int | None = change.at
    else:
        until = None if holds_until(state, health, at, model) is None else at + HORIZON_SECONDS
    return Drawn(health.band, health.score_exact, now, model.version, _moment(until, None))


def is_due(drawn: Drawn, now: datetime, model: Model) -> bool:
    """Whether the band may be another one by `now` because time passed; a change of model is no such change.

    `model` is the active one, with those that still score others beside it.
    """
    # Bands change with the minute: one that changes at its end is noticed in it.
    if drawn.until is None or drawn.until - _MINUTE > now:
        return False
    return drawn.model == model.version or drawn.model in model.versions


def crossings(state: State, drawn: Drawn, now: datetime, model: Model) -> list[Crossing]:
    """The changes of band from when it was drawn until `now`, the earliest first; none when it is not due.

    They depend on the state and the time alone, so two who look find the same: each has its id from its minute.
    """
    model = model.of(state)
    if (
        drawn.at is None
        or drawn.until is None
        or drawn.model != model.version
        or not is_due(drawn, now, model)
    ):
        return []
    end = seconds(now)
    before = score(state, seconds(drawn.at), model)
    # Up to `until` nothing changed; the minute before is looked at because bands change with the minute.
    since = max(seconds(drawn.at), min(end, seconds(drawn.until)) - MINUTE_SECONDS)
    band, found = drawn.band, list[Crossing]()
    while len(found) < _MOST_CHANGES:
        change = next_change(state, since, band, model)
        if change is None or change.at > end:
            # A change in the minute that runs is told now, for what is stored from now on is the band of now.
            change = Change(score(state, end, model).band, end)
            if change.band == band:
                break
        after = score(state, change.at, model)
        found.append(_crossing(state, band, change, before, after, now, model))
        since, band, before = change.at, change.band, after
    return found


def _crossing(
    state: State, band: str, change: Change, before: Health, after: Health, now: datetime, model: Model
) -> Crossing:
    properties = {"from": band, "to": change.band, "score": after.score}
    minute = change.at // MINUTE_SECONDS
    name = f"band:{model.version}:{band}:{change.band}:{minute}"
    touchpoint = Touchpoint(
        source=SOURCE,
        id=name,
        kind="band_changed",
        occurred_at=EPOCH + timedelta(seconds=change.at),
        received_at=now,
        body_sha256=hashlib.sha256(canonical_json(properties)).digest(),
        fact=fact_of("band_changed", change.at, fact_key(SOURCE, name)),
        properties=properties,
    )
    return Crossing(touchpoint, before, after, silence_reasons(state, before, after, change.at, model))


def _moment(until: int | None, kept: datetime | None) -> datetime | None:
    if until is None:
        return None
    # The very same value, to the microsecond: an index is only spared when nothing in it changes.
    if kept is not None and seconds(kept) == until:
        return kept
    return EPOCH + timedelta(seconds=until)
