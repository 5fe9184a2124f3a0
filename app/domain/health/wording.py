"""Figures as people say them."""

from app.domain.health.weights import DAY_SECONDS


def days(seconds: float) -> str:
    """A duration in whole days: "less than a day", "1 day", "12 days"."""
    count = whole_days(seconds)
    if count == 0:
        return "less than a day"
    return "1 day" if count == 1 else f"{count} days"


def ago(seconds: float) -> str:
    """How long since: "today", "1 day ago", "12 days ago"."""
    return f"{days(seconds)} ago" if whole_days(seconds) else "today"


def afterwards(seconds: float) -> str:
    """How long it took: "the same day", "after 1 day", "after 12 days"."""
    return f"after {days(seconds)}" if whole_days(seconds) else "the same day"


def whole_days(seconds: float) -> int:
    """Days rounded half up, never negative."""
    return max(0, int(seconds / DAY_SECONDS + 0.5))


def ordinal(count: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    endings = {} if count // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}
    return f"{count}{endings.get(count % 10, 'th')}"


def times(count: int) -> str:
    """Once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def points(value: float) -> str:
    """A distance in points without its sign: "1.0 point", "2.3 points"."""
    told = f"{abs(value):.1f}"
    return f"{told} point" if told == "1.0" else f"{told} points"


def percent(share: float) -> str:
    """A share of 1, rounded half up and at most "100 %"."""
    return f"{min(100, int(100 * share + 0.5))} %"
