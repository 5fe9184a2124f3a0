"""A customer's health looked at from elsewhere: as it was some days ago, or if something happened now."""

from collections.abc import Sequence
from typing import NamedTuple

from app.domain.health.explain import gain, purchase_now
from app.domain.health.facts import Fact, fact_of
from app.domain.health.history import fold
from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.state import State, empty
from app.domain.health.threads import contribution, resolved


class Opening(NamedTuple):
    """A complaint that is still open: when (seconds since 1970), and its severity in thousandths."""

    complaint_id: str
    at: int
    severity: int


class Help(NamedTuple):
    """What would raise the score, and by how many points; `complaint_id` when it is about one complaint."""

    action: str
    gain: float
    complaint_id: str | None = None


def what_would_help(state: State, openings: Sequence[Opening], now: int, model: Model) -> list[Help]:
    """Hypothetical facts at `now` that would raise the score by 0.1 points or more, the largest gain first.

    Each open complaint resolved, all of them when there are several, an average purchase, a top answer.
    """
    health = score(state, now, model)
    form = state.form
    answers = [resolved(opening.severity, opening.at, now, None, form) for opening in openings]
    candidates: list[tuple[str, State, str | None]] = [
        ("resolve_complaint", addition, opening.complaint_id)
        for opening, addition in zip(openings, answers, strict=True)
    ]
    if len(answers) > 1:
        together = empty(form)
        for addition in answers:
            together = together.plus(addition)
        candidates.append(("resolve_all_complaints", together, None))
    answer = contribution((fact_of("csat", now, "", properties={"rating": 5}),), form)
    candidates += [("purchase", purchase_now(state, now), None), ("answer_survey", answer, None)]
    scored = [
        Help(action, round(gain(state, health, addition, now, model), 1), complaint_id)
        for action, addition, complaint_id in candidates
    ]
    return sorted((help_ for help_ in scored if help_.gain > 0), key=lambda help_: -help_.gain)


def rewound(state: State, undone: Sequence[Fact], kept: Sequence[Fact], t_last: int | None) -> State:
    """The state without the facts in `undone`, which are the customer's latest.

    `kept` are all the other facts of their threads: without a refund, or without a resolution, these mean something
    else. `t_last` is the last purchase that stays, None when `undone` holds none.
    """
    was = state.minus(fold((*undone, *kept), state.form)).plus(fold(kept, state.form))
    if not was.n:
        return was
    # What came last is gone, so the first purchase stays the first.
    return was.spanning(state.t_first, state.t_last if t_last is None else t_last)
