"""How fast a key may go: the generic cell rate algorithm (ITU-T I.371), which needs one number for each key.

That number is the *arrival*: the time (Unix seconds) at which everything admitted so far would have come, had it come
evenly. A key may run ahead of the clock by one window, which is its quota at once; what it uses moves the arrival on.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

BURST_SECONDS: Final = 10
"""How much of its rate may come at once: that of ten seconds, and at least one request."""

MOST_DEBT_SECONDS: Final = 3600.0
"""Nobody is further ahead than this, whatever was posted at once and however the clock was set meanwhile."""


@dataclass(frozen=True)
class Rate:
    """`quota` units in `window_seconds`, which is also how much may come at once."""

    quota: int
    interval_seconds: float

    @cached_property
    def window_seconds(self) -> float:
        """In which the quota is given again."""
        return self.quota * self.interval_seconds


def per_minute(units: int) -> Rate | None:
    """So many units a minute, evenly; None, no limit, for 0."""
    if units == 0:
        return None
    return Rate(max(1, units * BURST_SECONDS // 60), 60 / units)


class Admission(NamedTuple):
    """`wait_seconds` is 0 for what is admitted; else after which the same would be. `arrival` is then as it was."""

    arrival: float
    wait_seconds: float


_ROUNDING: Final = 1e-6  # doubles of today's Unix times are exact to a quarter of it


def admit(arrival: float, now: float, rate: Rate, cost: int) -> Admission:
    """Whether `cost` units may be used at `now` by whoever has this `arrival`.

    What costs more than the quota is admitted when nothing else is owed, and then owed whole: it could never be
    admitted otherwise, and the rate over time is kept.
    """
    begin = max(now, arrival)
    if begin - now > MOST_DEBT_SECONDS:
        begin = now + MOST_DEBT_SECONDS
    counted = min(rate.quota, cost)
    wait = begin - now + (counted - rate.quota) * rate.interval_seconds
    if wait > _ROUNDING:
        return Admission(arrival, wait)
    return Admission(begin + cost * rate.interval_seconds, 0.0)


def remaining(arrival: float, now: float, rate: Rate) -> int:
    """How many units could be used at once at `now`, from 0 to the quota."""
    ahead = max(0.0, arrival - now)
    return max(0, math.floor((rate.window_seconds - ahead) / rate.interval_seconds + _ROUNDING))
