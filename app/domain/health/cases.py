"""Complaints that were closed, and whether their customers bought again: what weights of service are learnt from."""

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from app.domain.health.facts import Fact
from app.domain.health.form import Form
from app.domain.health.history import walk
from app.domain.health.state import State
from app.domain.health.threads import resolved_pairs
from app.domain.health.weights import DAY_SECONDS


class Case(NamedTuple):
    """A complaint closed at `at` (seconds since 1970), the state of its customer at that moment, and the outcome:
    whether they bought again within the horizon after it.
    """

    at: int
    state: State
    bought: bool


def closed_cases(facts: Iterable[Fact], until: int, horizon_days: int, form: Form) -> list[Case]:
    """The cases of one customer whose horizon has passed by `until`, in order; states are of `form`.

    Facts that happened later than a closing are unknown to its state. Of customers who had never bought by then there
    is no "again", and no case.
    """
    ordered = sorted(facts, key=attrgetter("at", "id"))
    bought_at = [fact.at for fact in ordered if fact.kind == "purchase"]
    closings = _closings(ordered)
    horizon = horizon_days * DAY_SECONDS
    cases = []
    for fact, state in walk(ordered, form):
        if fact.id not in closings or not state.n or fact.at + horizon > until:
            continue
        again = bisect_right(bought_at, fact.at + horizon) > bisect_right(bought_at, fact.at)
        cases.append(Case(fact.at, state, again))
    return cases


def _closings(facts: Iterable[Fact]) -> set[str]:
    """The ids of the resolutions that answer an opening."""
    threads: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.component == "complaints" and fact.thread is not None:
            threads.setdefault(fact.thread, []).append(fact)
    return {resolution.id for thread in threads.values() for _, resolution in resolved_pairs(thread)}
