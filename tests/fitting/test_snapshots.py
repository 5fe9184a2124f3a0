"""When a log is looked back from."""

from hypothesis import given
from hypothesis import strategies as st

from app.fitting.purchases import DAY
from app.fitting.snapshots import dates, plan, trainings
from tests.fitting.logs import START, seconds


def test_the_stated_snapshots_of_cdnow_follow_from_its_span() -> None:
    found = plan(seconds("1997-01-01"), seconds("1998-06-30"), 91)
    assert dates(found.tests) == ["1997-09-30", "1997-12-31", "1998-03-31"]
    assert dates(found.trainings[0]) == [
        "1997-02-01",
        "1997-03-03",
        "1997-04-02",
        "1997-05-02",
        "1997-06-01",
        "1997-07-01",
    ]


def test_the_stated_snapshots_of_online_retail_follow_from_its_span() -> None:
    found = plan(seconds("2010-12-01T08:26:00"), seconds("2011-12-09T12:50:00"), 90)
    # The ends of these days are the beginnings of 2011-06-01 and 2011-09-01.
    assert dates(found.tests) == ["2011-05-31", "2011-08-31"]
    assert found.tests[0] == seconds("2011-06-01") - 1


def test_a_short_horizon_steps_by_itself() -> None:
    found = plan(seconds("2024-01-01"), seconds("2024-03-31"), 7)
    assert dates(found.tests) == ["2024-03-10", "2024-03-17", "2024-03-24"]


def test_a_log_with_one_window_is_tested_without_learning() -> None:
    found = plan(START, START + 100 * DAY, 91)
    assert len(found.tests) == 1
    assert found.trainings == ((),)


def test_a_log_shorter_than_the_horizon_is_not_tested() -> None:
    assert plan(START, START + 50 * DAY, 91).tests == ()


@given(st.integers(0, 3000), st.integers(1, 800), st.integers(0, DAY - 1))
def test_no_snapshot_sees_what_comes_after_it(days: int, horizon_days: int, second: int) -> None:
    first, last = START, START + days * DAY + second
    found = plan(first, last, horizon_days)
    assert list(found.tests) == sorted(set(found.tests))
    assert len(found.tests) <= 3
    for at, times in zip(found.tests, found.trainings, strict=True):
        assert (at + 1) % DAY == 0
        assert first < at
        assert at + horizon_days * DAY <= last + DAY
        assert times == trainings(first, at, horizon_days)
        assert all(first < time and time + horizon_days * DAY <= at for time in times)
