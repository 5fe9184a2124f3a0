"""What earns without a purchase: joining, a review, a birthday. Each once for what it is about, by its natural key."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from app.domain.descriptions import order_id_of
from app.domain.loyalty.account import Earn
from app.domain.loyalty.periods import end_of_day, start_of_day
from app.domain.loyalty.rules import Event
from app.domain.silence import SOURCE

OCCASIONS: Final[Mapping[str, Event]] = MappingProxyType(
    {"loyalty_joined": "signup", "review": "review", "review_public": "review"}
)
"""The kinds of touchpoint that are an occasion. A member joins when the shop says so, with `loyalty_joined`."""

BIRTHDAY_DAYS: Final = 7
"""How long after a birthday it is still granted: a worker may have been away."""

MOST_TIMES: Final = 10
"""How often one occasion can earn when each time but the last was taken back. A shop corrects itself once or twice."""

_ANSWER: Final = "feedback:"


class Occasion(NamedTuple):
    """Something that earns once. `about` is what it is once for; None: once for ever (or a year, a birthday)."""

    event: Event
    at: datetime
    about: str | None = None


class Told(Protocol):
    """What a touchpoint says of an occasion, whether it is new or was written before."""

    @property
    def source(self) -> str:
        """Who told it."""

    @property
    def id(self) -> str:
        """Its id there."""

    @property
    def kind(self) -> str:
        """What it tells."""

    @property
    def occurred_at(self) -> datetime:
        """When that was."""

    @property
    def thread(self) -> str | None:
        """What it is about, as the log ties it."""

    @property
    def properties(self) -> Mapping[str, Any] | None:
        """What else it says."""


def occasion_of(touchpoint: Told) -> Occasion | None:
    """The occasion in a touchpoint.

    A review is about the product (`properties.sku`), else about the order, else about itself; an edited answer is the
    same review.
    """
    event = OCCASIONS.get(touchpoint.kind)
    if event is None:
        return None
    return Occasion(event, touchpoint.occurred_at, _about(touchpoint) if event == "review" else None)


def _about(touchpoint: Told) -> str:
    sku = (touchpoint.properties or {}).get("sku")
    if isinstance(sku, str) and sku:
        return f"sku/{sku}"
    order_id = order_id_of(touchpoint.thread)
    if order_id is not None:
        return f"order/{order_id}"
    if touchpoint.source == SOURCE and touchpoint.id.startswith(_ANSWER):
        # feedback:<answer>, and of an edited one feedback:<answer>:<revision>.
        return f"answer/{touchpoint.id.split(':')[1]}"
    return f"{touchpoint.source}/{touchpoint.id}"


def keys_of(key: str) -> tuple[str, ...]:
    """Under which natural keys an occasion earns, one after the other: anew once all that it earned was taken back."""
    return key, *(f"again:{time}:{key}" for time in range(2, MOST_TIMES + 1))


def open_key(key: str, earns: Mapping[str, Earn]) -> str | None:
    """The key under which an occasion earns now; None when it did, or has earned MOST_TIMES times."""
    for one in keys_of(key):
        earn = earns.get(one)
        if earn is None:
            return one
        if not earn.is_taken_back:
            return None
    return None


class Birthday(NamedTuple):
    """A local day, from its first instant on, and the birthdays (MM-DD) that are celebrated on it."""

    day: date
    begins: datetime
    ends: datetime
    celebrated: tuple[str, ...]


def birthdays(now: datetime, zone: ZoneInfo) -> Iterator[Birthday]:
    """The local day of `now` and the days before that are not given up yet, the latest first.

    Who was born on 29 February celebrates on the 28th of a year without one.
    """
    today = now.astimezone(zone).date()
    for back in range(BIRTHDAY_DAYS):
        day = today - timedelta(days=back)
        born = [f"{day:%m-%d}"]
        if (day.month, day.day) == (2, 28) and (day + timedelta(days=1)).day == 1:
            born.append("02-29")
        yield Birthday(day, start_of_day(day, zone), end_of_day(day, zone), tuple(born))
