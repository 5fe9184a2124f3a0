"""At which times a log is looked back from: the rule, from nothing but its span and the horizon."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from app.fitting.purchases import DAY

MOST_TESTS: Final = 3
MOST_TRAININGS: Final = 6
_MONTH_DAYS: Final = 30.44
# Below four weeks the ends of months lie further apart than the windows that are to be predicted.
_MONTHLY_FROM_DAYS: Final = 28


class Plan(NamedTuple):
    """Times in seconds since 1970, each the last second of a UTC day, in ascending order."""

    tests: tuple[int, ...]
    trainings: tuple[tuple[int, ...], ...]


def plan(first: int, last: int, horizon_days: int) -> Plan:
    """Where to test, and for each test where to learn from, for a log whose rows lie in first..last.

    Tests: the newest is the last end of a month (with a horizon under 28 days, or where no month fits: of a day) whose
    window closes by the end of the log. Earlier ones follow at the whole number of months nearest to the horizon
    (under 28 days: at the horizon), three at the most, as long as there is something to learn from before them.
    A log too short for that keeps one test that nothing can be learnt for, one too short for any window none.
    """
    end = _end_of_day(last)
    latest = end - horizon_days * DAY
    tests: list[int] = []
    step = 0
    while len(tests) < MOST_TESTS and (at := _test(latest, horizon_days, step)) > first:
        if tests and not trainings(first, at, horizon_days):
            break
        tests.append(at)
        step += 1
    if latest > first and not (tests and trainings(first, tests[0], horizon_days)):
        # No month fits, or the last one leaves nothing to learn from: the latest day may.
        tests = [latest]
    tests.reverse()
    return Plan(tuple(tests), tuple(trainings(first, at, horizon_days) for at in tests))


def trainings(first: int, at: int, horizon_days: int) -> tuple[int, ...]:
    """The times to learn from for use at `at`, for a log that begins at `first`; ascending, six at the most.

    The newest lies one horizon before `at`, so that its window has just closed; earlier ones follow at thirds of the
    horizon. Each needs as long a past as a third of the horizon: before that, nobody has had time to come back.
    """
    stride = stride_days(horizon_days) * DAY
    newest = at - horizon_days * DAY
    times = (newest - index * stride for index in range(MOST_TRAININGS))
    return tuple(sorted(time for time in times if time - first >= stride))


def stride_days(horizon_days: int) -> int:
    """Days between two training snapshots."""
    return max(1, round(horizon_days / 3))


def _test(latest: int, horizon_days: int, step: int) -> int:
    if horizon_days < _MONTHLY_FROM_DAYS:
        return latest - step * horizon_days * DAY
    months = max(1, round(horizon_days / _MONTH_DAYS))
    return _end_of_month(latest, step * months)


def _end_of_month(at: int, months_back: int) -> int:
    """The last second of the newest month that ends by `at`, or of one so many months earlier."""
    after = datetime.fromtimestamp(at + 1, UTC)
    months = after.year * 12 + after.month - 1 - months_back
    year, month = divmod(months, 12)
    return int(datetime(max(year, 1970), month + 1, 1, tzinfo=UTC).timestamp()) - 1


def _end_of_day(at: int) -> int:
    return at - at % DAY + DAY - 1


def dates(times: Sequence[int]) -> list[str]:
    """ISO dates of the days that end at `times`."""
    return [datetime.fromtimestamp(at, UTC).date().isoformat() for at in times]
