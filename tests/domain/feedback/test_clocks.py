"""The clocks of a complaint against a simulation minute by minute, and what they promise."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.feedback import clocks
from app.domain.feedback.calendars import DAYS, Calendar, calendar_of, is_open
from app.domain.feedback.clocks import (
    Clock,
    Event,
    elapsed,
    looked,
    paused,
    paused_time,
    resumed,
    retargeted,
    started,
    stopped,
)

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
OFFICE = calendar_of(
    time_zone="Europe/Berlin", hours={day: [["09:00", "17:00"]] for day in DAYS[:5]}, holidays=["2026-10-26"]
)
# Clocks go back in the night before the holiday; short days, so that a simulated week is short too.
SMALL = calendar_of(
    time_zone="Europe/Berlin",
    hours={day: [["01:00", "03:00"], ["12:00", "12:30"]] for day in DAYS},
    holidays=["2026-10-26"],
)
START = datetime(2026, 10, 24, 10, tzinfo=UTC)
MONDAY_NINE = datetime(2026, 11, 23, 8, tzinfo=UTC)


class Deed(NamedTuple):
    what: str
    minute: int


deeds = st.lists(
    st.builds(Deed, st.sampled_from(["pause", "resume", "look", "stop"]), st.integers(0, 4 * 1440)),
    max_size=8,
).map(lambda done: sorted(done, key=lambda deed: deed.minute))


def do(clock: Clock, deed: Deed, calendar: Calendar) -> tuple[Clock, list[Event]]:
    at = START + deed.minute * MINUTE
    match deed.what:
        case "pause":
            return paused(clock, at)
        case "resume":
            return resumed(clock, at, calendar), []
        case "stop":
            return stopped(clock, at, calendar)
    return looked(clock, at)


class Minute(NamedTuple):
    """What a stop-watch and a look at the wall every minute say at the end of a minute."""

    elapsed: int
    rested: int


def simulated(done: list[Deed], calendar: Calendar, until: int) -> list[Minute]:
    """The business minutes elapsed and rested by each minute from the start on."""
    counts, rests, stopped_for_good = [Minute(0, 0)], False, False
    at_minute: dict[int, list[str]] = {}
    for deed in done:
        at_minute.setdefault(deed.minute, []).append(deed.what)
    for minute in range(until):
        for what in at_minute.get(minute, ()):
            if stopped_for_good:
                continue
            rests = {"pause": True, "resume": False}.get(what, rests)
            stopped_for_good = what == "stop"
        open_now = is_open(calendar, START + minute * MINUTE) and not stopped_for_good
        last = counts[-1]
        counts.append(Minute(last.elapsed + (open_now and not rests), last.rested + (open_now and rests)))
    return counts


@given(deeds, st.integers(0, 5 * 1440))
def test_what_elapsed_and_what_rested_are_the_minutes_a_simulation_counts(
    done: list[Deed], minute: int
) -> None:
    clock = started("resolution", START, 1, SMALL)
    before = [deed for deed in done if deed.minute <= minute]
    for deed in before:
        clock, _ = do(clock, deed, SMALL)
    expected = simulated(before, SMALL, minute)[-1]
    at = START + minute * MINUTE
    assert elapsed(clock, at, SMALL) == expected.elapsed * MINUTE
    assert paused_time(clock, at, SMALL) == expected.rested * MINUTE


@given(deeds)
def test_a_clock_is_due_when_the_simulation_reaches_its_target(done: list[Deed]) -> None:
    clock = started("resolution", START, 1, SMALL)
    for deed in done:
        clock, _ = do(clock, deed, SMALL)
    if clock.due_at is None or clock.stopped_at or clock.breached:
        return
    counts = simulated(done, SMALL, 20 * 1440)
    target = int(clock.target / MINUTE)
    due = next(minute for minute, count in enumerate(counts) if count.elapsed >= target)
    latest_resume = max((deed.minute for deed in done if deed.what == "resume"), default=0)
    # A clock that was paused with nothing left is due again when it goes on.
    assert clock.due_at in (START + due * MINUTE, START + latest_resume * MINUTE)
    assert clock.due_at >= START + due * MINUTE


@given(deeds, st.lists(st.integers(0, 6 * 1440), min_size=2, max_size=6).map(sorted))
def test_clocks_never_run_backwards(done: list[Deed], looks: list[int]) -> None:
    clock = started("resolution", START, 1, SMALL)
    for deed in done:
        clock, _ = do(clock, deed, SMALL)
    last = max((deed.minute for deed in done), default=0)
    read = [elapsed(clock, START + (last + look) * MINUTE, SMALL) for look in looks]
    assert read == sorted(read)


@given(
    st.lists(
        st.builds(Deed, st.sampled_from(["pause", "resume", "look", "stop"]), st.integers(0, 5000)),
        max_size=8,
    )
)
def test_not_even_when_a_host_is_behind(done: list[Deed]) -> None:
    clock = started("resolution", START, 1, SMALL)
    counted, rested = timedelta(), timedelta()
    for deed in done:
        before = clock.changed_at
        clock, _ = do(clock, deed, SMALL)
        assert clock.changed_at >= before
        now, rest = elapsed(clock, clock.changed_at, SMALL), paused_time(clock, clock.changed_at, SMALL)
        assert now >= counted
        assert rest >= rested
        counted, rested = now, rest


@given(deeds, st.integers(0, 5 * 1440))
def test_a_pause_accounts_for_itself(done: list[Deed], minute: int) -> None:
    clock = started("resolution", START, 1, SMALL)
    for deed in (deed for deed in done if deed.minute <= minute and deed.what != "stop"):
        clock, _ = do(clock, deed, SMALL)
    at = START + minute * MINUTE
    whole = elapsed(started("resolution", START, 1, SMALL), at, SMALL)
    assert elapsed(clock, at, SMALL) + paused_time(clock, at, SMALL) == whole


@given(deeds, st.lists(st.integers(0, 30 * 1440), max_size=5))
def test_a_clock_says_each_thing_once_and_a_breach_stays(done: list[Deed], looks: list[int]) -> None:
    clock = started("resolution", START, 1, SMALL)
    told: list[str] = []
    was_broken = None
    for deed in sorted((*done, *(Deed("look", look) for look in looks)), key=lambda deed: deed.minute):
        clock, events = do(clock, deed, SMALL)
        told += [event.notice for event in events]
        assert all(event.at <= START + deed.minute * MINUTE for event in events)
        if was_broken is not None:
            assert clock.breached_at == was_broken
        was_broken = clock.breached_at
    assert told in ([], ["warning"], ["warning", "breach"])
    assert clock.breached == ("breach" in told)


def test_a_day_from_friday_afternoon_is_due_on_monday_afternoon() -> None:
    friday = datetime(2026, 11, 20, 14, tzinfo=UTC)  # three in the afternoon in Berlin
    clock = started("acknowledge", friday, 1, OFFICE)
    assert clock.due_at == datetime(2026, 11, 23, 14, tzinfo=UTC)
    assert clock.warn_at == friday + 2 * HOUR + timedelta(hours=64) + 4.4 * HOUR


def test_five_days_across_the_change_of_clocks_and_a_holiday() -> None:
    wednesday = datetime(2026, 10, 21, 10, tzinfo=UTC)  # noon, in summer
    clock = started("resolution", wednesday, 5, OFFICE)
    assert clock.due_at == datetime(2026, 10, 29, 11, tzinfo=UTC)  # noon, in winter, a holiday later


def test_exactly_on_time_is_in_time() -> None:
    clock = started("acknowledge", MONDAY_NINE, 1, OFFICE)
    due = MONDAY_NINE + 8 * HOUR
    assert clock.due_at == due
    assert not stopped(clock, due, OFFICE)[0].breached
    late, events = stopped(clock, due + MINUTE, OFFICE)
    assert late.breached_at == due
    assert events == [
        Event("acknowledge", "warning", MONDAY_NINE + 6.4 * HOUR),
        Event("acknowledge", "breach", due),
    ]


def test_a_pause_over_the_weekend_costs_only_its_business_time() -> None:
    clock = started("resolution", MONDAY_NINE, 5, OFFICE)
    friday = MONDAY_NINE + timedelta(days=4, hours=7)
    rests, _ = paused(clock, friday)
    assert rests.due_at is None
    assert rests.next_look_at is None
    again = resumed(rests, MONDAY_NINE + timedelta(days=7, hours=2), OFFICE)
    assert again.paused == 3 * HOUR
    assert again.due_at == MONDAY_NINE + timedelta(days=7, hours=3)


def test_another_priority_counts_from_the_start_and_keeps_the_pause() -> None:
    clock = started("resolution", MONDAY_NINE, 5, OFFICE)
    rests, _ = paused(clock, MONDAY_NINE + HOUR)
    again = resumed(rests, MONDAY_NINE + 3 * HOUR, OFFICE)
    sooner, events = retargeted(again, MONDAY_NINE + 4 * HOUR, 1, OFFICE)
    assert events == []
    assert sooner.due_at == MONDAY_NINE + timedelta(days=1, hours=2)
    assert sooner.started_at == MONDAY_NINE
    resting, _ = retargeted(rests, MONDAY_NINE + 2 * HOUR, 1, OFFICE)
    assert resting.due_at is None
    assert resumed(resting, MONDAY_NINE + 3 * HOUR, OFFICE).due_at == sooner.due_at


def test_another_priority_does_not_mend_a_breach_and_may_be_one() -> None:
    clock = started("resolution", MONDAY_NINE, 1, OFFICE)
    late = MONDAY_NINE + timedelta(days=2)
    longer, events = retargeted(clock, late, 5, OFFICE)
    assert [event.notice for event in events] == ["warning", "breach"]
    assert longer.breached_at == MONDAY_NINE + 8 * HOUR
    shorter, events = retargeted(started("resolution", MONDAY_NINE, 5, OFFICE), late, 1, OFFICE)
    assert events == []
    assert looked(shorter, late)[0].breached_at == MONDAY_NINE + 8 * HOUR


def test_the_worker_looks_for_the_warning_then_the_breach_then_never() -> None:
    clock = started("resolution", MONDAY_NINE, 1, OFFICE)
    assert clock.next_look_at == clock.warn_at
    warned, _ = looked(clock, MONDAY_NINE + 7 * HOUR)
    assert warned.next_look_at == clock.due_at
    broken, _ = looked(warned, MONDAY_NINE + 9 * HOUR)
    assert broken.next_look_at is None
    assert looked(broken, MONDAY_NINE + 99 * HOUR) == (broken, [])


def test_a_clock_warns_on_the_very_second_and_breaks_only_after_it() -> None:
    clock = started("resolution", MONDAY_NINE, 1, OFFICE)
    assert clock.warn_at is not None
    assert clock.due_at is not None
    assert [event.notice for event in looked(clock, clock.warn_at)[1]] == ["warning"]
    assert not looked(clock, clock.due_at)[0].breached


def test_resuming_what_runs_or_was_stopped_changes_nothing() -> None:
    clock = started("resolution", MONDAY_NINE, 1, OFFICE)
    assert resumed(clock, MONDAY_NINE + HOUR, OFFICE) == clock
    rests, _ = paused(clock, MONDAY_NINE + HOUR)
    ended, _ = stopped(rests, MONDAY_NINE + 2 * HOUR, OFFICE)
    assert (ended.paused, ended.paused_since) == (HOUR, None)
    assert resumed(ended, MONDAY_NINE + 3 * HOUR, OFFICE) == ended


def test_a_stopped_clock_is_left_alone() -> None:
    clock, _ = stopped(started("resolution", MONDAY_NINE, 1, OFFICE), MONDAY_NINE + HOUR, OFFICE)
    late = MONDAY_NINE + 99 * HOUR
    assert looked(clock, late) == (clock, [])
    assert paused(clock, late) == (clock, [])
    assert resumed(clock, late, OFFICE) == clock
    assert stopped(clock, late, OFFICE) == (clock, [])
    assert retargeted(clock, late, 0.1, OFFICE) == (clock, [])
    assert elapsed(clock, late, OFFICE) == HOUR


@pytest.mark.parametrize("severity", ["low", "medium", "high", "critical"])
def test_as_shipped_every_severity_has_one_one_and_five_days(severity: str) -> None:
    assert clocks.TARGETS[severity] == (1, 1, 5)
