"""Periods: local days as instants, and what they are compared with."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.feedback.periods import Period, period_of
from app.domain.problems import Invalid

BERLIN = ZoneInfo("Europe/Berlin")
days = st.dates(date(2000, 1, 1), date(2030, 1, 1))


def test_a_day_on_which_clocks_change_has_its_own_length() -> None:
    start, end = Period(date(2026, 10, 25), date(2026, 10, 26)).edges(BERLIN)
    assert (start, end - start) == (datetime(2026, 10, 24, 22, tzinfo=UTC), timedelta(hours=25))


def test_a_day_without_midnight_begins_when_the_clocks_go_on() -> None:
    start, end = Period(date(2018, 11, 4), date(2018, 11, 5)).edges(ZoneInfo("America/Sao_Paulo"))
    assert (start, end - start) == (datetime(2018, 11, 4, 3, tzinfo=UTC), timedelta(hours=23))


def test_months_are_compared_with_months_and_days_with_days() -> None:
    assert Period(date(2026, 3, 1), date(2026, 4, 1)).before() == Period(date(2026, 2, 1), date(2026, 3, 1))
    assert Period(date(2026, 1, 1), date(2026, 4, 1)).before() == Period(date(2025, 10, 1), date(2026, 1, 1))
    assert Period(date(2026, 3, 2), date(2026, 4, 1)).before() == Period(date(2026, 1, 31), date(2026, 3, 2))


@given(days, st.integers(1, 800))
def test_periods_follow_each_other_without_gap_or_overlap(first: date, length: int) -> None:
    period = period_of(first, first + timedelta(days=length))
    before = period.before()
    assert before.end == period.first
    assert before.first < before.end
    for zone in ("Europe/Berlin", "Africa/Cairo", "Pacific/Apia"):
        assert before.edges(ZoneInfo(zone))[1] == period.edges(ZoneInfo(zone))[0]


@pytest.mark.parametrize("length", [0, -1, 3661])
def test_empty_and_endless_periods_are_refused(length: int) -> None:
    with pytest.raises(Invalid) as refusal:
        period_of(date(2026, 1, 1), date(2026, 1, 1) + timedelta(days=length))
    assert refusal.value.code == "invalid_period"
