"""The clock on paper: when it looks, what it finds, and that looking at the right times is enough."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.health.facts import fact_of
from app.domain.loyalty import tiers
from app.domain.loyalty.account import Entry
from app.domain.loyalty.clock import LOOKS_AGAIN, Past, Rulebook, Seen, looked, next_look_at, until_the_end
from app.domain.loyalty.membership import Known, membership
from app.domain.loyalty.occasions import MOST_TIMES, birthdays, keys_of, occasion_of, open_key
from app.domain.loyalty.periods import window_start
from app.domain.loyalty.qualifying import Qualified
from app.domain.loyalty.tiers import Pause, Standing, points_in_window
from app.domain.loyalty.versions import Published, Tier, TierRules, Version
from app.domain.touchpoints import Touchpoint
from tests.domain.loyalty.ledgers import DAY, START, Ledger, day

BERLIN = ZoneInfo("Europe/Berlin")
RULES = TierRules((Tier("base", 0), Tier("silver", 300), Tier("gold", 900)), window_months=3, grace_days=10)
VERSION = Version(tier_rules=RULES, expiry_warning_days=30)
BOOK = Rulebook((Published(1, VERSION, START - DAY),), BERLIN)
HORIZON = 400


def entry(seq: int, at: float, qualifying: int, qualified: float) -> Entry:
    return Entry(
        seq, "earn", 0, day(at), day(at), (), b"", b"", qualifying=qualifying, qualified_at=day(qualified)
    )


said = st.tuples(st.floats(0, 300), st.integers(-400, 600), st.floats(0, 300))


def entries_of(told: list[tuple[float, int, float]]) -> list[Entry]:
    return [
        entry(n, at, points, min(when, at)) for n, (at, points, when) in enumerate(sorted(told), 1) if points
    ]


@given(st.lists(said, max_size=30), st.floats(0, 400))
def test_sums_on_the_way_are_those_of_the_whole(told: list[tuple[float, int, float]], at: float) -> None:
    entries = entries_of(told)
    counted = Qualified(entries)
    for one in entries:
        if one.at <= day(at):
            counted.tell(one)
    since = window_start(day(at), RULES.window_months, BERLIN)
    assert counted.points(since, day(at)) == points_in_window(entries, day(at), RULES, BERLIN)


@given(st.lists(said, min_size=1, max_size=30))
def test_a_projection_from_sums_by_day_is_that_of_the_entries(told: list[tuple[float, int, float]]) -> None:
    entries, now = entries_of(told), day(301)
    standing, _ = tiers.history(entries, BOOK.rulings(), (), BERLIN, now)
    by_day: dict[date, int] = {}
    for one in entries:
        if one.qualified_at is not None:
            local = one.qualified_at.astimezone(BERLIN).date()
            by_day[local] = by_day.get(local, 0) + one.qualifying
    member = membership(Known("main", Ledger().account, standing, by_day), BOOK, None, now)
    if standing is None:
        assert member.projection is None
    else:
        assert member.projection == tiers.projection(standing, entries, now, RULES, BERLIN)
        assert member.threat == tiers.warning(standing, entries, now, RULES, BERLIN)


earns = st.lists(st.tuples(st.integers(0, 120), st.integers(1, 700), st.integers(1, 200)), max_size=8)


@given(earns)
def test_looking_when_it_is_due_finds_all_that_looking_every_day_does(
    told: list[tuple[int, int, int]],
) -> None:
    often, due = Worker(told), Worker(told)
    for number in range(HORIZON):
        often.look(day(number))
        due.look_when_due(day(number))
    assert due.ledger.account.lots == often.ledger.account.lots
    assert due.standing == often.standing
    assert due.told == often.told
    assert len(due.told) == len(set(due.told))
    assert due.looks <= often.looks


class Worker:
    """A ledger, and somebody who looks at it."""

    def __init__(self, told: list[tuple[int, int, int]]) -> None:
        self.ledger, self.looks = Ledger(), 0
        self.standing: Standing | None = None
        self.warned: datetime | None = None
        self.due: datetime | None = None
        self.told: list[tuple[Any, ...]] = []
        for number, (at, points, lives) in enumerate(sorted(told)):
            self.look_when_due(day(at))
            self.ledger.at(at).earn(points, f"o{number}", lives=lives)
            self.look(day(at))

    def look_when_due(self, now: datetime) -> None:
        while self.due is not None and self.due <= now:
            self.look(self.due)

    def look(self, now: datetime) -> None:
        self.looks += 1
        seen = Seen(self.ledger.account, self.standing, self.warned)
        look = looked(seen, Past(self.ledger.entries), BOOK, self.due or now, now)
        self.ledger.now = now
        # Most looks find nothing to do, and then there is nothing to replay.
        if look.decision.entries:
            self.ledger.take(look.decision)
        self.ledger.account = look.decision.account
        self.standing, self.warned = look.standing, look.warned_until
        assert look.due_at is None or look.due_at > now
        self.due = look.due_at
        self.told += [("moved", one.at, one.before, one.after) for one in look.changes]
        self.told += [("lapses", one.expires_at, one.points) for one in look.expiring]


def test_an_open_complaint_is_looked_at_again_and_again() -> None:
    standing = Standing("gold", START, day(90), grace_until=day(100))
    seen = Seen(Ledger().account, standing)
    assert next_look_at(seen, VERSION, day(101), [Pause(day(95))]) == day(101) + LOOKS_AGAIN
    assert next_look_at(seen, VERSION, day(101), [Pause(day(95), day(120))]) == day(120)


def test_a_standing_that_begins_too_late_to_be_warned_of_is_looked_at_at_once() -> None:
    seen = Seen(Ledger().account, Standing("gold", START, day(5)))
    assert next_look_at(seen, VERSION, START) == day(5)
    assert next_look_at(seen, VERSION, START, is_new=True) == day(15 - RULES.warning_days)


def test_nothing_lives_longer_than_its_programme() -> None:
    ledger = Ledger()
    ledger.earn(10, "never")
    ledger.earn(10, "long", lives=50)
    ledger.earn(10, "short", lives=5)
    ends = [lot.expires_at for lot in until_the_end(ledger.account, day(20)).lots.values()]
    assert ends == [day(20), day(20), day(5)]
    assert until_the_end(ledger.account, None) is ledger.account


def touchpoint(kind: str, id: str = "t1", source: str = "shop", **members: Any) -> Touchpoint:  # noqa: A002 - the wire's own name
    fact = fact_of("visit", 0, id)
    return Touchpoint(source, id, kind, START, START, b"", fact, **members)


@pytest.mark.parametrize(
    "one, about",
    [
        (touchpoint("review"), "shop/t1"),
        (touchpoint("review_public", properties={"sku": "X1"}), "sku/X1"),
        (touchpoint("review", properties={"sku": 7}, thread="order:A-1"), "order/A-1"),
        (touchpoint("review", "feedback:fb_1", "rapport"), "answer/fb_1"),
        (touchpoint("review", "feedback:fb_1:2", "rapport"), "answer/fb_1"),
        (touchpoint("loyalty_joined"), None),
    ],
)
def test_an_occasion_is_once_for_what_it_is_about(one: Touchpoint, about: str | None) -> None:
    occasion = occasion_of(one)
    assert occasion is not None
    assert occasion.about == about


def test_a_visit_is_no_occasion() -> None:
    assert occasion_of(touchpoint("visit")) is None


@pytest.mark.parametrize(
    "now, zone, day, celebrated",
    [
        ("2027-02-28T12:00Z", "UTC", "2027-02-28", ("02-28", "02-29")),
        ("2028-02-28T12:00Z", "UTC", "2028-02-28", ("02-28",)),
        ("2028-02-29T12:00Z", "UTC", "2028-02-29", ("02-29",)),
        ("2026-12-31T23:30Z", "Europe/Berlin", "2027-01-01", ("01-01",)),
        ("2027-01-01T03:00Z", "America/New_York", "2026-12-31", ("12-31",)),
    ],
)
def test_birthdays_are_those_of_the_local_day(
    now: str, zone: str, day: str, celebrated: tuple[str, ...]
) -> None:
    at = datetime.fromisoformat(now)
    days = list(birthdays(at, ZoneInfo(zone)))
    assert (days[0].day, days[0].celebrated) == (date.fromisoformat(day), celebrated)
    assert days[0].begins <= at.astimezone(UTC) < days[0].ends
    assert [one.day for one in days] == [days[0].day - timedelta(days=n) for n in range(7)]


def test_without_a_version_only_points_are_looked_at() -> None:
    ledger = Ledger()
    ledger.earn(10, lives=50)
    seen = Seen(ledger.account, Standing("gold", START, day(5)))
    assert next_look_at(seen, None, START) == day(50)


def test_an_occasion_earns_anew_only_after_it_was_taken_back_and_not_for_ever() -> None:
    ledger = Ledger()
    for name in keys_of("signup"):
        assert open_key("signup", ledger.account.earns) == name
        ledger.earn(10, key=name, paid_minor=0)
        assert open_key("signup", ledger.account.earns) is None
        ledger.claw(key=name)
    assert len(ledger.account.earns) == MOST_TIMES
    assert open_key("signup", ledger.account.earns) is None
    # The key of the second time of one is the first key of no other.
    assert not set(keys_of("review:x")) & set(keys_of("review:2:x"))
