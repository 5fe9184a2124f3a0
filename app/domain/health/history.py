"""Folds of a customer's facts: the whole at once, or step by step in the log's own order."""

from collections.abc import Iterable, Iterator
from operator import attrgetter

from app.domain.health.facts import Fact
from app.domain.health.form import SHIPPED, Form
from app.domain.health.state import State, empty
from app.domain.health.threads import contribution


def fold(facts: Iterable[Fact], form: Form = SHIPPED) -> State:
    """The state of `form` after all `facts`, in whatever order they come."""
    state = empty(form)
    threads: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.thread is None:
            state = state.plus(contribution((fact,), form))
        else:
            threads.setdefault(fact.thread, []).append(fact)
    for thread in threads.values():
        state = state.plus(contribution(thread, form))
    return state


def steps(facts: Iterable[Fact]) -> Iterator[tuple[Fact, State]]:
    """Each fact with the state once it is known, in (at, id) order. Cut anywhere, it is the state as of then."""
    return walk(sorted(facts, key=attrgetter("at", "id")))


def walk(facts: Iterable[Fact], form: Form = SHIPPED) -> Iterator[tuple[Fact, State]]:
    """Each fact with the state once it is known, in the order in which they are given."""
    state = nothing = empty(form)
    threads: dict[str, tuple[list[Fact], State]] = {}
    for fact in facts:
        if fact.thread is None:
            state = state.plus(contribution((fact,), form))
        else:
            known, held = threads.get(fact.thread, ([], nothing))
            known.append(fact)
            adds = contribution(known, form)
            state = state.minus(held).plus(adds)
            threads[fact.thread] = known, adds
        yield fact, state
