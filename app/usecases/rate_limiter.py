"""How fast each key goes, decided in memory and shared between processes once a second.

A request asks no database. Each process admits by its own knowledge and writes down once a second what it let every
key use; what comes back holds the use of all processes. So, of P processes that serve one database:

- one process alone keeps the limit exactly;
- within any w seconds all of them together admit at most `P * (quota + 2 s of the rate) + w of the rate`, and over a
  long time the rate itself: what was too much in one second is owed in the next;
- a process that cannot reach the database keeps the limit by itself and tells the others later.

Sources: GCRA in domain/rates.py. The memory is bounded: a key that owes nothing is forgotten.
"""

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from app.domain.problems import Limited, Unavailable
from app.domain.rates import Rate, admit
from app.storage import rates
from app.storage.database import Database
from app.storage.rates import Used

log = structlog.get_logger(__name__)

SHARE_SECONDS: Final = 1.0
MOST_KEYS: Final = 10_000


class Standing(NamedTuple):
    """Where a key stands against its rate after a request."""

    rate: Rate
    arrival: float
    now: float


def limited(wait_seconds: float) -> Limited:
    """Too fast."""
    return Limited(
        "rate_limited",
        "Too many requests with this key. Try again after Retry-After.",
        retry_after_seconds=max(1, math.ceil(wait_seconds)),
    )


class RateLimiter:
    """See the module. `clock` gives Unix seconds, because processes compare them."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._arrivals: dict[str, float] = {}
        self._unshared: dict[str, Used] = {}
        self.refused = 0

    def take(self, key_id: str, rate: Rate, cost: int = 1) -> Standing:
        """Use `cost` units of a key's rate. Raises Limited `rate_limited` with the seconds to wait."""
        now = self._clock()
        before = self._arrivals.get(key_id, 0.0)
        arrival, wait = admit(before, now, rate, cost)
        if wait:
            self.refused += 1
            raise limited(wait)
        self._use(key_id, arrival, now, cost * rate.interval_seconds)
        return Standing(rate, arrival, now)

    def recount(self, key_id: str, rate: Rate, cost: int) -> Standing:
        """Count the request that was just taken as one for `cost` units instead: a batch counts as its items.

        Raises Limited; the request is then not counted at all.
        """
        arrival = self._arrivals.get(key_id, 0.0)
        self._use(key_id, arrival - rate.interval_seconds, self._clock(), -rate.interval_seconds)
        return self.take(key_id, rate, cost)

    def standing(self, key_id: str, rate: Rate) -> Standing:
        """Where a key stands now; uses nothing."""
        return Standing(rate, self._arrivals.get(key_id, 0.0), self._clock())

    def _use(self, key_id: str, arrival: float, now: float, seconds: float) -> None:
        if len(self._arrivals) >= MOST_KEYS and key_id not in self._arrivals:
            oldest = next(iter(self._arrivals))
            del self._arrivals[oldest]
        self._arrivals[key_id] = arrival
        known = self._unshared.get(key_id)
        if known is not None:
            self._unshared[key_id] = Used(known.since, known.seconds + seconds)
        elif len(self._unshared) < MOST_KEYS:
            self._unshared[key_id] = Used(now, seconds)

    async def share(self) -> None:
        """Tell the other processes what was used here, and learn what was used there. Errors come as they are."""
        sent, self._unshared = self._unshared, {}
        now = self._clock()
        if sent:
            try:
                async with self._database.hot_reading() as connection:
                    known = await rates.merge(connection, sent, datetime.fromtimestamp(now, UTC))
            except BaseException:
                self._take_back(sent)
                raise
            for key_id, arrival in known.items():
                meanwhile = self._unshared.get(key_id)
                whole = arrival if meanwhile is None else arrival + meanwhile.seconds
                if key_id in self._arrivals:  # else it made room for another one
                    self._arrivals[key_id] = max(whole, self._arrivals[key_id])
        for key_id in [key_id for key_id, arrival in self._arrivals.items() if arrival <= now]:
            if key_id not in self._unshared:
                del self._arrivals[key_id]

    def _take_back(self, sent: dict[str, Used]) -> None:
        for key_id, used in sent.items():
            later = self._unshared.get(key_id)
            self._unshared[key_id] = used if later is None else Used(used.since, used.seconds + later.seconds)

    async def keep_sharing(self, pause_seconds: float = SHARE_SECONDS) -> None:
        """`share` for ever, until cancelled; a database that is away is told the next time."""
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                await self.share()
            except Unavailable:
                continue
            except Exception as error:  # sharing must not end silently
                log.warning("rates_not_shared", exc_info=error)
