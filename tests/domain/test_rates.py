"""The rate of a key is kept whatever comes, and nobody waits longer than told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.rates import MOST_DEBT_SECONDS, Rate, admit, per_minute, remaining

RATES = st.integers(1, 6_000_000).map(per_minute)
STEPS = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), max_size=60)
START = 1_760_000_000.0


@given(RATES, STEPS)
def test_in_any_window_no_more_is_admitted_than_the_quota_the_rate_and_what_is_owed(
    rate: Rate, steps: list[tuple[float, int]]
) -> None:
    now, arrival = START, 0.0
    taken: list[tuple[float, int]] = []
    for pause, cost in steps:
        now += pause
        arrival, wait = admit(arrival, now, rate, cost)
        if not wait:
            taken.append((now, cost))
    for first, (begin, _) in enumerate(taken):
        total = 0
        for end, cost in taken[first:]:
            # What was admitted before the last one, which alone may be larger than the quota.
            most = rate.quota + (end - begin) / rate.interval_seconds
            assert total + min(cost, rate.quota) <= most * (1 + 1e-6) + 1
            total += cost


@given(RATES, STEPS, st.integers(1, 40))
def test_whoever_waits_as_told_is_admitted_and_whoever_comes_earlier_is_not(
    rate: Rate, steps: list[tuple[float, int]], cost: int
) -> None:
    now, arrival = START, 0.0
    for pause, each in steps:
        now += pause
        arrival = admit(arrival, now, rate, each).arrival
    before, wait = admit(arrival, now, rate, cost)
    if wait:
        assert before == arrival
        assert admit(arrival, now + wait + 1e-5, rate, cost).wait_seconds == 0
        assert admit(arrival, now + wait * 0.9 - 1e-5, rate, cost).wait_seconds > 0


@given(RATES, STEPS)
def test_what_remains_can_be_used_at_once_and_no_more(rate: Rate, steps: list[tuple[float, int]]) -> None:
    now, arrival = START, 0.0
    for pause, cost in steps:
        now += pause
        arrival = admit(arrival, now, rate, cost).arrival
        left = remaining(arrival, now, rate)
        assert 0 <= left <= rate.quota
        if left:
            assert admit(arrival, now, rate, left).wait_seconds == 0
        if left + 2 <= rate.quota:
            assert admit(arrival, now, rate, left + 2).wait_seconds > 0


def test_a_minute_is_six_windows_of_ten_seconds() -> None:
    rate = per_minute(600)
    assert rate == Rate(100, 0.1)
    assert rate.window_seconds == pytest.approx(10)
    slow = per_minute(1)
    assert slow is not None
    assert (slow.quota, slow.window_seconds) == (1, 60)
    assert per_minute(0) is None


def test_what_is_larger_than_the_quota_is_taken_whole_once_nothing_is_owed_and_then_owed() -> None:
    rate = Rate(10, 1.0)
    arrival, wait = admit(0.0, START, rate, 25)
    assert wait == 0
    assert admit(arrival, START + 15.5, rate, 1).wait_seconds == pytest.approx(0.5)
    assert admit(arrival, START + 16, rate, 1).wait_seconds == 0
    assert admit(arrival, START + 16, rate, 25).wait_seconds == pytest.approx(9)


def test_a_clock_that_was_set_back_locks_nobody_out_for_longer_than_the_most_debt() -> None:
    rate = Rate(10, 1.0)
    arrival = START + 10 * MOST_DEBT_SECONDS
    assert admit(arrival, START, rate, 1).wait_seconds <= MOST_DEBT_SECONDS
