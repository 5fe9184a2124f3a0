"""Business time: the hours of a week in one time zone, without holidays.

An instant is open when a clock on the shop's wall shows an open hour of a day that is no holiday. That is taken
literally where clocks change: an hour that is skipped has no length, one that is repeated is open twice.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from app.domain.problems import refused
from app.domain.zones import zone_names

Span = tuple[datetime, datetime]
"""From the first instant until before the second, both UTC."""

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MINUTES_A_DAY: Final = 1440
MOST_HOLIDAYS: Final = 1000
MOST_SPANS_A_DAY: Final = 6
_DAY: Final = timedelta(days=1)
_FURTHEST_DAYS: Final = 3660  # more than MOST_HOLIDAYS and every due time of a complaint


@dataclass(frozen=True)
class Calendar:
    """When a shop works. `week` holds, from Monday, (opens, closes) in minutes of the local day; 1440 is its end.

    Made by `calendar_of`, which checks it: at least one open hour, spans of a day in order and apart.
    """

    zone: str
    week: tuple[tuple[tuple[int, int], ...], ...]
    holidays: frozenset[date] = frozenset()

    @cached_property
    def tz(self) -> ZoneInfo:
        """The zone's rules."""
        return ZoneInfo(self.zone)

    @property
    def business_day(self) -> timedelta:
        """The length of one business day: an open week over its open days, so that five of five are a whole week."""
        lengths = [sum(closes - opens for opens, closes in spans) for spans in self.week if spans]
        return timedelta(minutes=sum(lengths) / len(lengths))


def calendar_of(
    *, time_zone: str, hours: Mapping[str, Sequence[Sequence[str]]], holidays: Iterable[str] = ()
) -> Calendar:
    """The calendar that a shop describes: `{"monday": [["09:00", "12:30"], ["13:30", "17:00"]], ...}`, "24:00" the end.

    Days that are left out are closed; `holidays` are ISO dates of the zone. Raises Invalid `unknown_timezone`,
    `unknown_day`, `invalid_hours`, `never_open`, `invalid_holiday`, `too_many_holidays`.
    """
    if time_zone not in zone_names():
        raise refused("#/time_zone", "unknown_timezone", "must be an IANA name, for example Europe/Berlin")
    if not set(hours) <= set(DAYS):
        raise refused("#/hours", "unknown_day", f"days are {', '.join(DAYS)}")
    week = tuple(_spans_of(day, hours.get(day, ())) for day in DAYS)
    if not any(week):
        raise refused("#/hours", "never_open", "at least one day must have hours")
    days = frozenset(_holiday(text) for text in holidays)
    if len(days) > MOST_HOLIDAYS:
        raise refused("#/holidays", "too_many_holidays", f"at most {MOST_HOLIDAYS} days")
    return Calendar(time_zone, week, days)


def business_time(calendar: Calendar, start: datetime, end: datetime) -> timedelta:
    """How long the shop is open from `start` until before `end`; zero when `end` is not later."""
    total = timedelta()
    for opens, closes in open_spans(calendar, start):
        if opens >= end:
            break
        total += min(closes, end) - opens
    return total


def after_business_time(calendar: Calendar, start: datetime, amount: timedelta) -> datetime:
    """The first instant, UTC, from `start` on by which the shop has been open for `amount`.

    Zero is over at once, also while the shop is closed. ValueError when ten years do not hold it.
    """
    left = amount
    if left <= timedelta():
        return start.astimezone(UTC)
    for opens, closes in open_spans(calendar, start):
        if left <= closes - opens:
            return opens + left
        left -= closes - opens
    raise ValueError("The calendar has no room for that much business time within ten years.")


def is_open(calendar: Calendar, at: datetime) -> bool:
    """Whether the shop works at this instant."""
    local = at.astimezone(calendar.tz)
    if local.date() in calendar.holidays:
        return False
    seconds = timedelta(
        hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    return any(
        timedelta(minutes=opens) <= seconds < timedelta(minutes=closes)
        for opens, closes in calendar.week[local.weekday()]
    )


def open_spans(calendar: Calendar, start: datetime) -> Iterator[Span]:
    """The open spans from `start` on for ten years, in order and apart; one may end where the next begins."""
    begin = start.astimezone(UTC)
    for since, until, offset in _even_spans(calendar.tz, begin):
        first = (since + offset).date()
        for number in range(((until + offset).date() - first).days + 1):
            for opens, closes in _of_day(calendar, first + number * _DAY, offset):
                if max(opens, since) < min(closes, until):
                    yield max(opens, since), min(closes, until)


def _of_day(calendar: Calendar, day: date, offset: timedelta) -> Iterator[Span]:
    """The spans of one local day under one offset from UTC."""
    if day in calendar.holidays:
        return
    midnight = datetime.combine(day, time(), UTC) - offset
    for opens, closes in calendar.week[day.weekday()]:
        yield midnight + timedelta(minutes=opens), midnight + timedelta(minutes=closes)


def _even_spans(zone: ZoneInfo, begin: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Days of 24 hours from `begin` on, cut where the zone's offset changes: (from, until, offset)."""
    since = begin
    for _ in range(_FURTHEST_DAYS):
        until = since + _DAY
        before, after = _offset(zone, since), _offset(zone, until)
        if before == after:
            yield since, until, before
        else:
            moment = _changes_at(zone, since, until)
            yield since, moment, before
            yield moment, until, after
        since = until


def _changes_at(zone: ZoneInfo, since: datetime, until: datetime) -> datetime:
    """The first instant of the offset that holds at `until`; clocks change on whole seconds, once a day at most."""
    low, high = int(since.timestamp()), int(until.timestamp()) + 1
    before = _offset(zone, since)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, datetime.fromtimestamp(middle, UTC)) == before:
            low = middle
        else:
            high = middle
    # Not before or after the day itself, which may begin and end within a second.
    return min(max(datetime.fromtimestamp(high, UTC), since), until)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _spans_of(day: str, given: Sequence[Sequence[str]]) -> tuple[tuple[int, int], ...]:
    pointer = f"#/hours/{day}"
    if len(given) > MOST_SPANS_A_DAY:
        raise refused(pointer, "invalid_hours", f"at most {MOST_SPANS_A_DAY} spans")
    spans = []
    for span in given:
        if len(span) != 2:  # noqa: PLR2004 - opens and closes
            raise refused(pointer, "invalid_hours", 'a span is two times, ["09:00", "17:00"]')
        spans.append((_minutes(pointer, span[0]), _minutes(pointer, span[1])))
    if any(opens >= closes for opens, closes in spans) or any(
        one[1] > other[0] for one, other in pairwise(spans)
    ):
        raise refused(pointer, "invalid_hours", "spans end after they begin, are in order and do not overlap")
    return tuple(spans)


def _minutes(pointer: str, text: str) -> int:
    if text == "24:00":
        return MINUTES_A_DAY
    try:
        # strptime also takes "9:5", which is more often a slip than meant.
        moment = datetime.strptime(text, "%H:%M").replace(tzinfo=UTC)
    except ValueError:
        moment = None
    if moment is None or len(text) != len("09:00"):
        raise refused(pointer, "invalid_hours", "times are HH:MM, the end of a day is 24:00")
    return moment.hour * 60 + moment.minute


def _holiday(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise refused("#/holidays", "invalid_holiday", "a holiday is a date, YYYY-MM-DD")
    return day
