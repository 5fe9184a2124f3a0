"""Month ends and changes of clocks, as tables."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.loyalty.periods import (
    ROUNDINGS,
    days_on,
    end_of_day,
    expiry,
    local_month,
    local_year,
    months_on,
    start_of_day,
    window_start,
    zone_of,
)
from app.domain.problems import Invalid


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    "day, months, later",
    [
        ("2027-01-31", 1, "2027-02-28"),
        ("2028-01-31", 1, "2028-02-29"),
        ("2028-02-29", 12, "2029-02-28"),
        ("2027-02-28", 12, "2028-02-28"),
        ("2026-12-31", 2, "2027-02-28"),
        ("2026-11-30", 1, "2026-12-30"),
        ("2026-12-15", 1, "2027-01-15"),
        ("2027-03-31", -1, "2027-02-28"),
        ("2027-01-15", -1, "2026-12-15"),
        ("2027-01-15", -13, "2025-12-15"),
        ("2026-06-10", 0, "2026-06-10"),
    ],
)
def test_a_month_later_is_the_same_day_or_the_last_there_is(day: str, months: int, later: str) -> None:
    assert months_on(date.fromisoformat(day), months) == date.fromisoformat(later)


@pytest.mark.parametrize(
    "zone, earned, months, rounding, ends",
    [
        # Case 25: valid to the end of the last of February, in the zone of the programme.
        ("UTC", "2027-01-31T10:00Z", 1, "none", "2027-03-01T00:00Z"),
        ("UTC", "2028-01-31T10:00Z", 1, "none", "2028-03-01T00:00Z"),
        ("UTC", "2027-01-31T10:00Z", 1, "month_end", "2027-03-01T00:00Z"),
        ("Europe/Berlin", "2027-01-31T10:00Z", 1, "month_end", "2027-03-01T00:00+01:00"),
        # 23:30 UTC is the next local day in Berlin, and the day before in New York.
        ("Europe/Berlin", "2027-01-30T23:30Z", 1, "none", "2027-03-01T00:00+01:00"),
        ("America/New_York", "2027-02-01T03:00Z", 1, "none", "2027-03-01T00:00-05:00"),
        # Summer time lies between: the local midnight counts.
        ("Europe/Berlin", "2026-11-20T10:00Z", 8, "month_end", "2027-08-01T00:00+02:00"),
        ("Europe/Berlin", "2026-03-01T10:00Z", 12, "month_end", "2027-04-01T00:00+02:00"),
        ("Europe/Berlin", "2026-03-01T10:00Z", 12, "year_end", "2028-01-01T00:00+01:00"),
        ("Asia/Kathmandu", "2026-05-10T10:00Z", 12, "month_end", "2027-06-01T00:00+05:45"),
        # Sao Paulo skipped midnight of 4 November 2018, Samoa the whole of 30 December 2011.
        ("America/Sao_Paulo", "2018-10-03T12:00Z", 1, "none", "2018-11-04T01:00-02:00"),
        ("Pacific/Apia", "2011-11-29T12:00-10:00", 1, "none", "2011-12-31T00:00+14:00"),
        # Havana repeats the hour after midnight of 1 November 2026: the day starts with the first.
        ("America/Havana", "2026-09-30T12:00Z", 1, "month_end", "2026-11-01T00:00-04:00"),
    ],
)
def test_points_live_to_the_end_of_a_local_day(
    zone: str, earned: str, months: int, rounding: Any, ends: str
) -> None:
    assert expiry(utc(earned), months, rounding, ZoneInfo(zone)) == utc(ends)


@pytest.mark.parametrize(
    "at, days, later",
    [
        ("2026-03-28T10:00+01:00", 1, "2026-03-29T10:00+02:00"),
        ("2026-10-24T10:00+02:00", 1, "2026-10-25T10:00+01:00"),
        ("2026-03-28T02:30+01:00", 1, "2026-03-29T03:30+02:00"),
        ("2026-10-24T02:30+02:00", 1, "2026-10-25T02:30+02:00"),
        ("2026-10-25T02:30+01:00", 0, "2026-10-25T02:30+01:00"),
        ("2026-10-25T02:30+01:00", 364, "2027-10-24T02:30+02:00"),
        ("2026-11-20T10:00+01:00", 14, "2026-12-04T10:00+01:00"),
    ],
)
def test_days_later_the_clock_on_the_wall_shows_the_same(at: str, days: int, later: str) -> None:
    assert days_on(utc(at), days, ZoneInfo("Europe/Berlin")) == utc(later)


def test_a_window_starts_with_a_local_day() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert window_start(utc("2026-11-20T10:00Z"), 12, berlin) == utc("2025-11-20T00:00+01:00")
    assert window_start(utc("2028-02-29T10:00Z"), 12, berlin) == utc("2027-02-28T00:00+01:00")


def test_what_ends_with_a_month_expires_in_it() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert local_month(utc("2026-12-01T00:00+01:00"), berlin) == "2026-11"
    assert local_month(utc("2026-12-01T00:00:01+01:00"), berlin) == "2026-12"
    assert local_year(utc("2026-12-31T23:30Z"), berlin) == 2027


@pytest.mark.parametrize("name", ["Mars/Olympus", "", None, "europe/berlin "])
def test_only_known_zones_are_taken(name: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        zone_of(name)
    assert refusal.value.code == "unknown_timezone"
    assert [fault.pointer for fault in refusal.value.errors] == ["#/time_zone"]


@given(
    st.integers(0, 3 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    st.integers(1, 60),
    st.sampled_from(ROUNDINGS),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"]),
)
def test_expiry_is_later_and_at_the_start_of_a_day(
    at: datetime, months: int, rounding: Any, name: str
) -> None:
    zone = ZoneInfo(name)
    ends = expiry(at, months, rounding, zone)
    assert ends > at + timedelta(days=27 * months)
    day = ends.astimezone(zone).date()
    assert start_of_day(day, zone) == ends
    assert (ends - timedelta(microseconds=1)).astimezone(zone).date() < day
    assert end_of_day(day, zone) > ends
