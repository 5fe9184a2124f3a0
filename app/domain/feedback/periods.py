"""Periods of whole local days, and the one before to compare with."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from app.domain.problems import Invalid, refused

_MONTHS_A_YEAR = 12
_LONGEST_DAYS = 3660
_DAY: Final = timedelta(days=1)
_USUAL: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Period:
    """From the beginning of the day `first` until that of the day `end`, in the shop's zone."""

    first: date
    end: date

    def edges(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """The same as instants in UTC: from the first until before the second.

        A day without midnight, because clocks go forward then, begins when they do; one with two, at the first.
        """
        return _midnight(self.first, zone), _midnight(self.end, zone)

    def before(self) -> "Period":
        """The period that ends where this one begins: as many months for whole months, else as many days.

        So March is compared with February, and 30 days with the 30 days before.
        """
        if self.first.day == self.end.day == 1:
            months = _months(self.end) - _months(self.first)
            return Period(_first_of(_months(self.first) - months), self.first)
        return Period(self.first - (self.end - self.first), self.first)


class Window(NamedTuple):
    """From `start` until before `end`, compared with what was from `before` until `start`."""

    start: datetime
    end: datetime
    before: datetime


def window_of(
    first: date | datetime | None, end: date | datetime | None, zone: ZoneInfo, now: datetime
) -> Window:
    """The window of figures that somebody asks for: days in the shop's zone, `end` not included, or instants.

    Without an end it ends with today, without a beginning it is 30 days long. Whole months are compared with as many
    before. Raises Invalid `invalid_period`.
    """
    last = now.astimezone(zone).date() + _DAY if end is None else end
    from_day = last - _USUAL if first is None else first
    if not isinstance(from_day, datetime) and not isinstance(last, datetime):
        period = period_of(from_day, last)
        before, _ = period.before().edges(zone)
        return Window(*period.edges(zone), before)
    start, stop = (one if isinstance(one, datetime) else _midnight(one, zone) for one in (from_day, last))
    if not timedelta() < stop - start <= timedelta(days=_LONGEST_DAYS):
        raise _invalid()
    return Window(start, stop, start - (stop - start))


def _invalid() -> Invalid:
    return refused("#/query/to", "invalid_period", "must be later than from, by ten years at most")


def period_of(first: date, end: date) -> Period:
    """A checked period, `end` not included. Raises Invalid `invalid_period`: empty, backwards, over ten years."""
    if not 0 < (end - first).days <= _LONGEST_DAYS:
        raise _invalid()
    return Period(first, end)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _months(day: date) -> int:
    return day.year * _MONTHS_A_YEAR + day.month - 1


def _first_of(months: int) -> date:
    return date(months // _MONTHS_A_YEAR, months % _MONTHS_A_YEAR + 1, 1)
