"""Folds of a customer's facts: the whole at once, or step by step in the log's own order."""

from collections.abc import Iterable, Iterator
from operator import attrgetter

from app.domain.health.facts import Fact
from app.domain.health.state import EMPTY, State
from app.domain.health.threads import contribution


def fold(facts: Iterable[Fact]) -> State:
    """The state after all `facts`, in whatever order they come."""
    state = EMPTY
    threads: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.thread is None:
            state = state.plus(contribution((fact,)))
        else:
            threads.setdefault(fact.thread, []).append(fact)
    for thread in threads.values():
        state = state.plus(contribution(thread))
    return state


def steps(facts: Iterable[Fact]) -> Iterator[tuple[Fact, State]]:
    """Each fact with the state once it is known, in (at, id) order. Cut anywhere, it is the state as of then."""
    return walk(sorted(facts, key=attrgetter("at", "id")))


def walk(facts: Iterable[Fact]) -> Iterator[tuple[Fact, State]]:
    """Each fact with the state once it is known, in the order in which they are given."""
    state = EMPTY
    threads: dict[str, tuple[list[Fact], State]] = {}
    for fact in facts:
        if fact.thread is None:
            state = state.plus(contribution((fact,)))
        else:
            known, held = threads.get(fact.thread, ([], EMPTY))
            known.append(fact)
            adds = contribution(known)
            state = state.minus(held).plus(adds)
            threads[fact.thread] = known, adds
        yield fact, state
