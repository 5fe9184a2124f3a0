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
    happened: Sequence[Happened], reigns: Sequence[Reign], since: datetime, after: Place | None, limit: int
) -> list[Point]:
    """Up to `limit` points from `since` on, behind `after`: one for each fact, by time and id, and one for each
    publication of a model (a mark) since the customer's first fact.
    """
    points: list[Point] = []
    if limit < 1:
        return points
    earlier: tuple[datetime, State] | None = None
    for at, key, state in _merged(happened, reigns):
        if at >= since and (after is None or (at, key) > after):
            model = _model_at(reigns, at)
            change = _change(earlier or (at, EMPTY), at, state, model) if key else None
            points.append(_point(at, key, state, model, change))
            if len(points) == limit:
                break
        earlier = at, state
    return points


def _change(earlier: tuple[datetime, State], at: datetime, state: State, model: Model) -> Change:
    then, before = earlier
    was, waited, now = (
        score(known, seconds(moment), model) for known, moment in ((before, then), (before, at), (state, at))
    )
    return Change(delta(was, waited, model), delta(waited, now, model))


def by_step(
    happened: Sequence[Happened], reigns: Sequence[Reign], since: datetime, step: timedelta, until: datetime
) -> list[Point]:
    """Health read at `since` and then every `step` up to `until`, whatever happened in between."""
    points: list[Point] = []
    at = since
    for (_, _, state), (following, _, _) in pairwise(
        [(since, "", EMPTY), *_states(happened), (None, "", EMPTY)]
    ):
        while at <= until and (following is None or at < following):
            points.append(_point(at, "", state, _model_at(reigns, at)))
            at += step
    return points


def _states(happened: Sequence[Happened]) -> Iterator[tuple[datetime, str, State]]:
    ordered = sorted(happened, key=lambda one: (one.at, one.fact.id))
    for one, (fact, state) in zip(ordered, walk(one.fact for one in ordered), strict=True):
        yield one.at, fact.id, state


def _merged(happened: Sequence[Happened], reigns: Sequence[Reign]) -> Iterator[tuple[datetime, str, State]]:
    """What happened and the marks among it, each with the state as of then."""
    marks = [reign.since for reign in reigns[1:]]
    passed = 0
    state: State | None = None
    for at, key, following in _states(happened):
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
