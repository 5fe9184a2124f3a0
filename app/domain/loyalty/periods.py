"""Days, months and their ends in the programme's time zone. A month later is the same day, or the last there is."""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from app.domain.problems import refused
from app.domain.zones import zone_names

Rounding = Literal["none", "month_end", "year_end"]

ROUNDINGS: Final[tuple[Rounding, ...]] = get_args(Rounding)
_DAY: Final = timedelta(days=1)
_MONTHS: Final = 12


def zone_of(name: object) -> ZoneInfo:
    """The zone of an IANA name. Raises Invalid `unknown_timezone`."""
    if not isinstance(name, str) or name not in zone_names():
        raise refused("#/time_zone", "unknown_timezone", "must be an IANA name, for example Europe/Berlin")
    return ZoneInfo(name)


def months_on(day: date, months: int) -> date:
    """The same day `months` later (earlier when negative), or the last day of a month that is too short for it."""
    index = day.year * _MONTHS + day.month - 1 + months
    year, month = divmod(index, _MONTHS)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


@lru_cache(maxsize=4_096)
def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day, UTC; where clocks skip midnight or the whole day, the instant they skip it."""
    naive = datetime.combine(day, time())
    # A repeated midnight is two instants and the day starts with the first. A skipped one is read with the offset
    # before the gap and with that after it; only the first reading falls on the day, and it is where the gap ends.
    readings = [naive.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    on_the_day = [at for at in readings if at.astimezone(zone).date() == day]
    return min(on_the_day) if on_the_day else start_of_day(day + _DAY, zone)


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant after a local day, UTC."""
    return start_of_day(day + _DAY, zone)


def days_on(at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The same time on the wall `days` later, UTC: a day with a change of clocks has 23 or 25 hours."""
    if not days:
        return at.astimezone(UTC)
    # Of a time that comes twice it is the first: a sum has no fold.
    return (at.astimezone(zone) + days * _DAY).astimezone(UTC)


def expiry(occurred_at: datetime, months: int, rounding: Rounding, zone: ZoneInfo) -> datetime:
    """When points stop: the first instant they are not valid, UTC.

    They live whole local days: through the day `months` after the local day they were earned on (the last of a shorter
    month), rounded on to the end of that month or year.
    """
    return _expiry(occurred_at.astimezone(zone).date(), months, rounding, zone)


@lru_cache(maxsize=4_096)
def _expiry(day: date, months: int, rounding: Rounding, zone: ZoneInfo) -> datetime:
    last = months_on(day, months)
    if rounding == "month_end":
        last = last.replace(day=monthrange(last.year, last.month)[1])
    elif rounding == "year_end":
        last = date(last.year, 12, 31)
    return end_of_day(last, zone)


def window_start(at: datetime, months: int, zone: ZoneInfo) -> datetime:
    """Since when a rolling window of `months` that ends at `at` counts: from the start of that local day on, UTC."""
    return start_of_day(months_on(at.astimezone(zone).date(), -months), zone)


def local_month(at: datetime, zone: ZoneInfo) -> str:
    """YYYY-MM of the last instant before `at`, in the zone: what ends with November expires in November."""
    return f"{(at - timedelta(microseconds=1)).astimezone(zone):%Y-%m}"


def local_year(at: datetime, zone: ZoneInfo) -> int:
    """The year on the wall."""
    return at.astimezone(zone).year


def start_of_year(year: int, zone: ZoneInfo) -> datetime:
    """The first instant of a local year, UTC."""
    return start_of_day(date(year, 1, 1), zone)
