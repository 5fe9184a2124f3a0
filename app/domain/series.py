"""A customer's health over time, as the model in force at each time saw it. A fold of the log, never stored."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from app.domain.health.explain import delta
from app.domain.health.facts import Fact
from app.domain.health.history import walk
from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.state import EMPTY, State
from app.domain.retention import OpeningState
from app.domain.touchpoints import seconds


class Happened(NamedTuple):
    """A fact, and when it happened to the microsecond."""

    at: datetime
    fact: Fact


class Reign(NamedTuple):
    """From `since` on, `model` scored; before the first one the first one did."""

    since: datetime
    model: Model


class Place(NamedTuple):
    """Where a point stands in the series. A mark has no key, so it comes before what happened at its time."""

    at: datetime
    key: str


class Change(NamedTuple):
    """What moved the score since the point before, in points of each component, in the order of COMPONENTS.

    `time`: while nothing happened; `event`: by what had just happened. Together they are the whole difference, both
    ends read by the point's own model; where nothing was known the score counts as the neutral 50.
    """

    time: tuple[float, ...]
    event: tuple[float, ...]


class Point(NamedTuple):
    """Health at one time. `key` is the id of the fact that had just happened; empty for a mark and for a step, which
    have no `change`.
    """

    at: datetime
    key: str
    score: int | None
    band: str
    model: str
    score_exact: float | None = None
    change: Change | None = None

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.at, self.key)


def by_event(
    happened: Sequence[Happened],
    reigns: Sequence[Reign],
    since: datetime,
    after: Place | None,
    limit: int,
    opening: OpeningState | None = None,
) -> list[Point]:
    """Up to `limit` points from `since` on, behind `after`: one for each fact, by time and id, and one for each
    publication of a model (a mark) since the customer's first fact. `opening` is what was purged and counts on;
    `since` is not before its end.
    """
    points: list[Point] = []
    if limit < 1:
        return points
    earlier: tuple[datetime, State] | None = None if opening is None else (opening.until, opening.state)
    for at, key, state in _merged(happened, reigns, opening):
        if at >= since and (after is None or (at, key) > after):
            model = _model_at(reigns, at)
            change = _change(earlier or (at, EMPTY), at, state, model) if key else None
            points.append(_point(at, key, state, model, change))
            if len(points) == limit:
                break
        earlier = at if opening is None else max(at, opening.until), state
    return points


def _change(earlier: tuple[datetime, State], at: datetime, state: State, model: Model) -> Change:
    then, before = earlier
    was, waited, now = (
        score(known, seconds(moment), model) for known, moment in ((before, then), (before, at), (state, at))
    )
    return Change(delta(was, waited, model), delta(waited, now, model))


def by_step(
    happened: Sequence[Happened],
    reigns: Sequence[Reign],
    since: datetime,
    step: timedelta,
    until: datetime,
    opening: OpeningState | None = None,
) -> list[Point]:
    """Health read at `since` and then every `step` up to `until`, whatever happened in between."""
    points: list[Point] = []
    at = since
    for (_, _, state), (following, _, _) in pairwise(
        [(since, "", _opened(opening)), *_states(happened, opening), (None, "", EMPTY)]
    ):
        while at <= until and (following is None or at < following):
            points.append(_point(at, "", state, _model_at(reigns, at)))
            at += step
    return points


def _opened(opening: OpeningState | None) -> State:
    return EMPTY if opening is None else opening.state


def _states(
    happened: Sequence[Happened], opening: OpeningState | None
) -> Iterator[tuple[datetime, str, State]]:
    purged = _opened(opening)
    ordered = sorted(happened, key=lambda one: (one.at, one.fact.id))
    for one, (fact, state) in zip(ordered, walk(one.fact for one in ordered), strict=True):
        yield one.at, fact.id, state if opening is None else purged.plus(state)


def _merged(
    happened: Sequence[Happened], reigns: Sequence[Reign], opening: OpeningState | None
) -> Iterator[tuple[datetime, str, State]]:
    """What happened and the marks among it, each with the state as of then."""
    marks = [reign.since for reign in reigns[1:]]
    passed = 0
    state: State | None = None
    for at, key, following in _states(happened, opening):
        while passed < len(marks) and marks[passed] <= at:
            if state is not None:
                yield marks[passed], "", state
            passed += 1
        state = following
        yield at, key, state
    if state is not None:
        yield from ((mark, "", state) for mark in marks[passed:])


def _model_at(reigns: Sequence[Reign], at: datetime) -> Model:
    """Reigns are few, and the last one is asked for most."""
    return next((reign.model for reign in reversed(reigns) if reign.since <= at), reigns[0].model)


def _point(at: datetime, key: str, state: State, model: Model, change: Change | None = None) -> Point:
    health = score(state, seconds(at), model)
    return Point(at, key, health.score, health.band, model.version, health.score_exact, change)
