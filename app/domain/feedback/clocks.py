"""The clocks of a complaint. They count business time, pause, warn once and breach once, and a breach stays."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from app.domain.feedback.calendars import Calendar, after_business_time, business_time

ClockName = Literal["acknowledge", "first_response", "resolution"]
Notice = Literal["warning", "breach"]

NAMES: Final[tuple[ClockName, ...]] = ("acknowledge", "first_response", "resolution")
WARN_SHARE: Final = 0.8
"""The share of its target after which a clock warns."""

_ZERO: Final = timedelta()


class Targets(NamedTuple):
    """What is promised, in business days."""

    acknowledge: float = 1
    first_response: float = 1
    resolution: float = 5


TARGETS: Final[Mapping[str, Targets]] = MappingProxyType(
    dict.fromkeys(("low", "medium", "high", "critical"), Targets())
)
"""The promises by severity, as shipped; a shop passes its own."""


@dataclass(frozen=True, slots=True)
class Clock:
    """One promise. `target` and `paused` are business time, `paused` that of the pauses that are over.

    `due_at` is None while paused. `warned_at` and `breached_at` say when it happened, not when it was found; once set
    they stay. `changed_at` is the latest instant anything was done: a later deed of a host whose clock is behind counts
    as done then, so that no clock runs backwards.
    """

    name: ClockName
    started_at: datetime
    changed_at: datetime
    target: timedelta
    due_at: datetime | None
    warn_at: datetime | None
    paused: timedelta = _ZERO
    paused_since: datetime | None = None
    stopped_at: datetime | None = None
    warned_at: datetime | None = None
    breached_at: datetime | None = None

    @property
    def breached(self) -> bool:
        """Whether the promise was broken, as far as was looked."""
        return self.breached_at is not None

    @property
    def next_look_at(self) -> datetime | None:
        """After when a look finds something new. None: never, as things are."""
        if self.stopped_at is not None or self.breached:
            return None
        return self.due_at if self.warned_at is not None else self.warn_at


class Event(NamedTuple):
    """Something a clock has to say, and when it came about."""

    clock: ClockName
    notice: Notice
    at: datetime


def started(
    name: ClockName, at: datetime, days: float, calendar: Calendar, *, warn_share: float = WARN_SHARE
) -> Clock:
    """A clock that runs from `at` and is due after `days` business days."""
    return _timed(Clock(name, at, at, days * calendar.business_day, None, None), calendar, warn_share)


def elapsed(clock: Clock, at: datetime, calendar: Calendar) -> timedelta:
    """The business time that counts against the target, as of `at`; the pauses are not in it."""
    end = _end(clock, at)
    return business_time(calendar, clock.started_at, end) - paused_time(clock, at, calendar)


def paused_time(clock: Clock, at: datetime, calendar: Calendar) -> timedelta:
    """The business time of all pauses, as of `at`; that of the running one is in it."""
    if clock.paused_since is None:
        return clock.paused
    return clock.paused + business_time(calendar, clock.paused_since, _end(clock, at))


def looked(clock: Clock, at: datetime) -> tuple[Clock, list[Event]]:
    """The clock after a look at `at`, and what it had not said before: at most one warning and one breach.

    A breach without a warning before it says both: what was found late is told all the same.
    """
    if clock.stopped_at is not None or clock.paused_since is not None:
        return clock, []
    events: list[Event] = []
    if clock.warned_at is None and clock.warn_at is not None and clock.warn_at <= at:
        events.append(Event(clock.name, "warning", clock.warn_at))
        clock = replace(clock, warned_at=clock.warn_at)
    if clock.breached_at is None and clock.due_at is not None and clock.due_at < at:
        events.append(Event(clock.name, "breach", clock.due_at))
        clock = replace(clock, breached_at=clock.due_at)
    return clock, events


def paused(clock: Clock, at: datetime) -> tuple[Clock, list[Event]]:
    """The clock at rest, and what it had to say before. Pausing what is paused or stopped changes nothing."""
    if clock.paused_since is not None or clock.stopped_at is not None:
        return clock, []
    at = max(at, clock.changed_at)
    clock, events = looked(clock, at)
    return replace(clock, paused_since=at, changed_at=at, due_at=None, warn_at=None), events


def resumed(clock: Clock, at: datetime, calendar: Calendar, *, warn_share: float = WARN_SHARE) -> Clock:
    """The clock running again, due later by the business time of the pause."""
    if clock.paused_since is None or clock.stopped_at is not None:
        return clock
    at = max(at, clock.changed_at)
    whole = paused_time(clock, at, calendar)
    running = _timed(replace(clock, paused=whole, paused_since=None, changed_at=at), calendar, warn_share)
    if running.due_at is None or running.warn_at is None:
        return running
    # One that was paused with nothing left is due again at once, not at a time within its pause.
    return replace(running, due_at=max(running.due_at, at), warn_at=max(running.warn_at, at))


def stopped(clock: Clock, at: datetime, calendar: Calendar) -> tuple[Clock, list[Event]]:
    """The clock after its promise was kept, or broken for good: a breach nobody had looked for is found here."""
    if clock.stopped_at is not None:
        return clock, []
    at = max(at, clock.changed_at)
    clock, events = looked(clock, at)
    whole = paused_time(clock, at, calendar)
    return replace(clock, stopped_at=at, changed_at=at, paused=whole, paused_since=None), events


def retargeted(
    clock: Clock, at: datetime, days: float, calendar: Calendar, *, warn_share: float = WARN_SHARE
) -> tuple[Clock, list[Event]]:
    """The clock under another promise: counted from its own start, with the pauses it had.

    What was broken under the promise before stays broken; a nearer promise may be broken at once, which the next look
    finds. A stopped clock keeps the promise it was stopped under.
    """
    if clock.stopped_at is not None:
        return clock, []
    at = max(at, clock.changed_at)
    clock, events = looked(clock, at)
    changed = replace(clock, target=days * calendar.business_day, changed_at=at)
    return (changed if changed.paused_since else _timed(changed, calendar, warn_share)), events


def _end(clock: Clock, at: datetime) -> datetime:
    return at if clock.stopped_at is None else min(at, clock.stopped_at)


def _timed(clock: Clock, calendar: Calendar, warn_share: float) -> Clock:
    """With the times at which, if nothing happens, it warns and is due.

    Pauses move both by their business time: due is when target + paused business time have gone since the start.
    """
    warn = after_business_time(calendar, clock.started_at, clock.target * warn_share + clock.paused)
    due = after_business_time(calendar, clock.started_at, clock.target + clock.paused)
    return replace(clock, warn_at=warn, due_at=due)
