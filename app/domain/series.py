"""A customer's health over time, as the model in force at each time saw it. A fold of the log, never stored."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from app.domain.health.explain import delta
from app.domain.health.facts import Fact
from app.domain.health.form import Form
from app.domain.health.history import walk
from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.state import State, empty
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
    earlier: tuple[datetime, States] | None = None if opening is None else (opening.until, _opened(opening))
    for at, key, states in _merged(happened, reigns, opening):
        if at >= since and (after is None or (at, key) > after):
            model = _model_at(reigns, at)
            form = model.form
            if key:
                then, before = earlier or (at, {form: empty(form)})
                known = before.get(form, empty(form))
                change: Change | None = _change((then, known), at, states[form], model)
            else:
                change = None
            points.append(_point(at, key, states[form], model, change))
            if len(points) == limit:
                break
        earlier = at if opening is None else max(at, opening.until), states
    return points


def reigns_over(reigns: Sequence[Reign], form: Form, opening: OpeningState | None) -> list[Reign]:
    """The reigns that say anything of a customer whose state has this form.

    A model of another form that was published since has not reached them: a replay will. Of a log that was purged only
    models of its own form can be asked, at any time.
    """
    if opening is not None and not opening.state.is_empty:
        return [reign for reign in reigns if reign.model.form == form]
    last = max(
        (place for place, reign in enumerate(reigns) if reign.model.form == form), default=len(reigns) - 1
    )
    return list(reigns[: last + 1])


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
    nothing = {form: empty(form) for form in _forms(reigns)}
    begun = nothing | _opened(opening)
    for (_, _, states), (following, _, _) in pairwise(
        [(since, "", begun), *_states(happened, reigns, opening), (None, "", nothing)]
    ):
        while at <= until and (following is None or at < following):
            model = _model_at(reigns, at)
            points.append(_point(at, "", states[model.form], model))
            at += step
    return points


States = Mapping[Form, State]
"""A customer's state at one time in each form that somebody reads."""


def _forms(reigns: Sequence[Reign]) -> list[Form]:
    return list(dict.fromkeys(reign.model.form for reign in reigns))


def _opened(opening: OpeningState | None) -> dict[Form, State]:
    return {} if opening is None or opening.state.is_empty else {opening.state.form: opening.state}


def _states(
    happened: Sequence[Happened], reigns: Sequence[Reign], opening: OpeningState | None
) -> Iterator[tuple[datetime, str, States]]:
    ordered = sorted(happened, key=lambda one: (one.at, one.fact.id))
    forms, purged = _forms(reigns), _opened(opening)
    walks = zip(*(walk((one.fact for one in ordered), form) for form in forms), strict=True)
    for one, steps in zip(ordered, walks, strict=True):
        states = {form: state for form, (_, state) in zip(forms, steps, strict=True)}
        for form, gone in purged.items():
            states[form] = gone.plus(states[form])
        yield one.at, one.fact.id, states


def _merged(
    happened: Sequence[Happened], reigns: Sequence[Reign], opening: OpeningState | None
) -> Iterator[tuple[datetime, str, States]]:
    """What happened and the marks among it, each with the states as of then."""
    marks = [reign.since for reign in reigns[1:]]
    passed = 0
    states: States | None = None
    for at, key, following in _states(happened, reigns, opening):
        while passed < len(marks) and marks[passed] <= at:
            if states is not None:
                yield marks[passed], "", states
            passed += 1
        states = following
        yield at, key, states
    if states is not None:
        yield from ((mark, "", states) for mark in marks[passed:])


def _model_at(reigns: Sequence[Reign], at: datetime) -> Model:
    """Reigns are few, and the last one is asked for most."""
    return next((reign.model for reign in reversed(reigns) if reign.since <= at), reigns[0].model)


def _point(at: datetime, key: str, state: State, model: Model, change: Change | None = None) -> Point:
    health = score(state, seconds(at), model)
    return Point(at, key, health.score, health.band, model.version, health.score_exact, change)
