"""Qualifying points by when they count, of entries that are told one after the other: a fold asks for many windows."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import datetime

from app.domain.loyalty.account import Entry


class Qualified:
    """Sums over windows, each in the logarithm of the entries (a Fenwick tree over the times at which points count)."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Of all entries that will be told; none of them counts before it is."""
        self._times = sorted({entry.qualified_at for entry in entries if entry.qualified_at is not None})
        self._sums = [0] * (len(self._times) + 1)

    def tell(self, entry: Entry) -> None:
        """Let an entry count from now on."""
        if not entry.qualifying or entry.qualified_at is None:
            return
        place = bisect_left(self._times, entry.qualified_at) + 1
        while place < len(self._sums):
            self._sums[place] += entry.qualifying
            place += place & -place

    def points(self, since: datetime, until: datetime) -> int:
        """What was told and counts in [since, until]; a refund may have taken more than is there, which is none."""
        last, before = bisect_right(self._times, until), bisect_left(self._times, since)
        return max(self._up_to(last) - self._up_to(before), 0)

    def _up_to(self, place: int) -> int:
        total = 0
        while place:
            total += self._sums[place]
            place -= place & -place
        return total
