"""Business time against a simulation that looks at a clock on the wall every minute."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.feedback.calendars import (
    DAYS,
    Calendar,
    after_business_time,
    business_time,
    calendar_of,
    is_open,
    open_spans,
)
from app.domain.problems import Invalid

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
OFFICE = calendar_of(
    time_zone="Europe/Berlin",
    hours={day: [["09:00", "17:00"]] for day in DAYS[:5]},
    holidays=["2026-12-25", "2027-01-01"],
)
# Days on which clocks change: by an hour at night, by half an hour, at midnight, and by a whole day at the date line.
CHANGES = (
    ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 4, 23, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 4, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 6, 1, tzinfo=UTC)),
    ("UTC", datetime(2026, 6, 1, tzinfo=UTC)),
)


def at(text: str, zone: str = "Europe/Berlin") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@st.composite
def days_of_spans(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    edges = sorted(draw(st.sets(st.integers(0, 96).map(lambda quarter: 15 * quarter), max_size=4)))
    return tuple(zip(edges[::2], edges[1::2], strict=False))


@st.composite
def calendars_and_starts(draw: st.DrawFn) -> tuple[Calendar, datetime]:
    zone, change = draw(st.sampled_from(CHANGES))
    week = draw(st.tuples(*[days_of_spans()] * 7).filter(any))
    near = st.integers(-3, 4).map(lambda days: (change + timedelta(days=days)).date())
    holidays = draw(st.frozensets(near, max_size=2))
    start = change + draw(st.integers(-36 * 60, 24 * 60)) * MINUTE
    return Calendar(zone, week, holidays), start


def shows_open(calendar: Calendar, instant: datetime) -> bool:
    local = instant.astimezone(ZoneInfo(calendar.zone))
    minute = local.hour * 60 + local.minute
    spans = calendar.week[local.weekday()]
    return local.date() not in calendar.holidays and any(opens <= minute < closes for opens, closes in spans)


@given(calendars_and_starts(), st.integers(0, 3 * 24 * 60))
def test_business_time_is_the_number_of_open_minutes(
    given_calendar: tuple[Calendar, datetime], length: int
) -> None:
    calendar, start = given_calendar
    opened = sum(shows_open(calendar, start + number * MINUTE) for number in range(length))
    assert business_time(calendar, start, start + length * MINUTE) == opened * MINUTE


@given(calendars_and_starts(), st.integers(1, 20 * 60))
def test_an_amount_of_business_time_is_over_when_the_wall_clock_has_shown_it(
    given_calendar: tuple[Calendar, datetime], amount: int
) -> None:
    calendar, start = given_calendar
    found = after_business_time(calendar, start, amount * MINUTE)
    assert business_time(calendar, start, found) == amount * MINUTE
    assert shows_open(calendar, found - MINUTE)


@given(calendars_and_starts(), st.integers(0, 3000), st.integers(0, 3000))
def test_business_time_adds_up(given_calendar: tuple[Calendar, datetime], one: int, other: int) -> None:
    calendar, start = given_calendar
    between, end = start + one * MINUTE, start + (one + other) * MINUTE
    whole = business_time(calendar, start, end)
    assert whole == business_time(calendar, start, between) + business_time(calendar, between, end)
    assert timedelta() <= whole <= end - start
    assert business_time(calendar, end, start) == timedelta()


@given(calendars_and_starts(), st.integers(0, 3000))
def test_an_instant_is_open_when_the_wall_says_so(
    given_calendar: tuple[Calendar, datetime], minutes: int
) -> None:
    calendar, start = given_calendar
    instant = start + minutes * MINUTE
    assert is_open(calendar, instant) == shows_open(calendar, instant)


@given(calendars_and_starts())
def test_open_spans_are_in_order_and_apart(given_calendar: tuple[Calendar, datetime]) -> None:
    spans = open_spans(*given_calendar)
    end = given_calendar[1]
    for _ in range(20):
        opens, closes = next(spans)
        assert end <= opens < closes
        end = closes


def test_seconds_and_fractions_count() -> None:
    start = at("2026-11-23T16:59:59.5")
    assert after_business_time(OFFICE, start, timedelta(seconds=1)) == at("2026-11-24T09:00:00.5")


def test_a_weekend_and_holidays_are_no_business_time() -> None:
    friday = at("2026-12-24T16:00")
    assert after_business_time(OFFICE, friday, 2 * HOUR) == at("2026-12-28T10:00")
    assert business_time(OFFICE, friday, at("2026-12-28T09:30")) == 1.5 * HOUR


def test_nothing_is_over_at_once_even_on_a_sunday() -> None:
    sunday = at("2026-11-22T12:00")
    assert after_business_time(OFFICE, sunday, timedelta()) == sunday


def test_an_hour_that_is_skipped_has_no_length_and_one_that_is_repeated_two() -> None:
    night = calendar_of(time_zone="Europe/Berlin", hours={"sunday": [["01:00", "05:00"]]})
    for day, hours in (("2026-03-29", 3), ("2026-10-25", 5), ("2026-11-22", 4)):
        assert business_time(night, at(f"{day}T00:00"), at(f"{day}T12:00")) == hours * HOUR


def test_a_shop_that_never_closes_has_24_hours_a_day_whatever_the_clocks_do() -> None:
    always = calendar_of(time_zone="Europe/Berlin", hours={day: [["00:00", "24:00"]] for day in DAYS})
    start = at("2026-10-20T00:00").astimezone(UTC)
    assert after_business_time(always, start, 10 * 24 * HOUR) == start + 10 * 24 * HOUR


def test_five_business_days_of_five_are_a_week_however_long_the_days_are() -> None:
    uneven = calendar_of(
        time_zone="Europe/Berlin",
        hours={
            **{day: [["09:00", "12:00"], ["13:00", "18:00"]] for day in DAYS[:4]},
            "friday": [["09:00", "14:00"]],
        },
    )
    monday = at("2026-11-23T09:00")
    assert after_business_time(uneven, monday, 5 * uneven.business_day) == at("2026-11-27T14:00")
    assert OFFICE.business_day == 8 * HOUR


def test_a_calendar_that_is_full_of_holidays_says_so() -> None:
    days = frozenset(date(2026, 1, 1) + timedelta(days=number) for number in range(4000))
    closed = Calendar("UTC", (((0, 60),),) * 7, days)
    with pytest.raises(ValueError, match="ten years"):
        after_business_time(closed, datetime(2026, 1, 1, tzinfo=UTC), HOUR)
    assert (
        business_time(closed, datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
        == timedelta()
    )


@pytest.mark.parametrize(
    "given_, code",
    [
        ({"time_zone": "Europe/Atlantis"}, "unknown_timezone"),
        ({"time_zone": "../etc/passwd"}, "unknown_timezone"),
        ({"hours": {}}, "never_open"),
        ({"hours": {"monday": []}}, "never_open"),
        ({"hours": {"someday": [["09:00", "17:00"]]}}, "unknown_day"),
        ({"hours": {"monday": [["17:00", "09:00"]]}}, "invalid_hours"),
        ({"hours": {"monday": [["09:00", "09:00"]]}}, "invalid_hours"),
        ({"hours": {"monday": [["09:00", "13:00"], ["12:00", "17:00"]]}}, "invalid_hours"),
        ({"hours": {"monday": [["9:00", "17:00"]]}}, "invalid_hours"),
        ({"hours": {"monday": [["09:00", "25:00"]]}}, "invalid_hours"),
        ({"hours": {"monday": [["09:00"]]}}, "invalid_hours"),
        ({"hours": {"monday": [["00:00", "00:01"]] * 7}}, "invalid_hours"),
        ({"holidays": ["2026-02-30"]}, "invalid_holiday"),
        ({"holidays": ["20261225"]}, "invalid_holiday"),
        (
            {"holidays": [date.fromordinal(730_000 + day).isoformat() for day in range(1001)]},
            "too_many_holidays",
        ),
    ],
)
def test_calendars_that_cannot_be_are_refused(given_: dict[str, object], code: str) -> None:
    whole: dict[str, object] = {"time_zone": "Europe/Berlin", "hours": {"monday": [["09:00", "17:00"]]}}
    with pytest.raises(Invalid) as refusal:
        calendar_of(**whole | given_)  # type: ignore[arg-type]  # each case is about one member
    assert refusal.value.code == code
