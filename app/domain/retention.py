"""How long touchpoints are kept, and which of them may go.

What goes leaves its sum behind, so that the score stays what it was: the state of a customer is the sum of what their
threads add (health/threads.py). So a thread goes whole or not at all, and only once each of its facts is old enough.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple

from app.domain.health.facts import Fact
from app.domain.health.form import SHIPPED, Form
from app.domain.health.history import fold
from app.domain.health.state import State
from app.domain.health.threads import contribution
from app.domain.problems import Fault, Invalid

LEAST_DAYS: Final = 60
"""Longer than the 30 days of a trend and of what an answer may still change."""
MOST_DAYS: Final = 36_500

_PART: Final = re.compile(r"([a-z][a-z0-9_]{0,31}):([0-9]{1,5})", re.ASCII)

Retention = Mapping[str, timedelta]
"""How long touchpoints of a kind are kept; for ever when it is not there."""

NOTHING_GOES: Final[Retention] = MappingProxyType({})


def parse(text: str) -> Retention:
    """`kind:days` with commas between; empty: nothing goes. ValueError says what is wrong."""
    found: dict[str, timedelta] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        match = _PART.fullmatch(part)
        if match is None or match[1] in found:
            raise ValueError("not `kind:days` with commas between, each kind once")
        days = int(match[2])
        if not LEAST_DAYS <= days <= MOST_DAYS:
            raise ValueError(f"days must be between {LEAST_DAYS} and {MOST_DAYS}")
        found[match[1]] = timedelta(days=days)
    return found


class Old(NamedTuple):
    """A row of the log as a purge sees it. `stands`: it was not taken back."""

    source: str
    id: str
    occurred_at: datetime
    received_at: datetime
    kind: str
    stands: bool
    fact: Fact


def is_old(row: Old, retention: Retention, now: datetime) -> bool:
    """Whether it may go as far as its kind decides."""
    kept = retention.get(row.kind)
    return kept is not None and row.occurred_at < now - kept and row.received_at < now - kept


def purgeable(rows: Sequence[Old], retention: Retention, now: datetime) -> list[Old]:
    """Those of a customer's rows that may go: `rows` hold all that stand in the threads of the old ones.

    What was taken back counts nowhere, so it goes by its own age.
    """
    threads: dict[str, list[Old]] = defaultdict(list)
    gone = []
    for row in rows:
        if row.stands and row.fact.thread is not None:
            threads[row.fact.thread].append(row)
        elif is_old(row, retention, now):
            gone.append(row)
    for thread in threads.values():
        # An open complaint stays until it is resolved: its resolution must find it.
        is_open = contribution([row.fact for row in thread]).open_sev != 0
        if not is_open and all(is_old(row, retention, now) for row in thread):
            gone += thread
    return gone


def sum_of(rows: Sequence[Old], form: Form = SHIPPED) -> State:
    """What the rows that go add to the state, and what therefore stays of them."""
    return fold((row.fact for row in rows if row.stands), form)


class OpeningState(NamedTuple):
    """The sum of what was purged, and up to when it reaches: `until` by what happened, `known_until` by arrival."""

    state: State
    until: datetime
    known_until: datetime
    touchpoints: int

    def plus(self, other: "OpeningState") -> "OpeningState":
        """Both together: what was purged before and now, or of two customers who are one."""
        return OpeningState(
            self.state.plus(other.state),
            max(self.until, other.until),
            max(self.known_until, other.known_until),
            self.touchpoints + other.touchpoints,
        )


def folded(opening: OpeningState | None, facts: Iterable[Fact], form: Form) -> State:
    """The state of `form` of a log of which `opening` (None: nothing) was purged. Raises ValueError when that was of
    another form.
    """
    state = fold(facts, form)
    return state if opening is None else state.plus(opening.state)


def form_kept(opening: OpeningState | None) -> Form | None:
    """The only form in which a state can be folded again, because part of its log is gone; None: in any."""
    return None if opening is None or opening.state.is_empty else opening.state.form


def opened_by(rows: Sequence[Old], form: Form = SHIPPED) -> OpeningState:
    """What is kept of these rows, at least one, once they are gone; `form` is that of their customer's state."""
    return OpeningState(
        sum_of(rows, form),
        max(row.occurred_at for row in rows),
        max(row.received_at for row in rows),
        len(rows),
    )


def beyond_retention(
    opening: OpeningState | None, pointer: str, until: datetime, known_until: datetime
) -> None:
    """Raises Invalid `beyond_retention` when a question reaches back to before what was purged.

    `until` and `known_until` are the ends of what is asked for.
    """
    if opening is None or (until >= opening.until and known_until >= opening.known_until):
        return
    raise purged(pointer)


def purged(pointer: str) -> Invalid:
    """What happened until then is not known any more."""
    detail = "What happened until then was purged; only later times can be read."
    return Invalid("beyond_retention", detail, errors=[Fault(pointer, "beyond_retention", detail)])
