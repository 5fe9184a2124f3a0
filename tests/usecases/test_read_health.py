import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.domain.health.history import fold
from app.domain.health.model import COMPONENTS, shipped
from app.domain.health.score import BASE, score
from app.domain.identifiers import parse_reference
from app.domain.problems import Conflict, Invalid, NotFound, Problem
from app.domain.touchpoints import seconds
from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.post_touchpoints import Post, post_touchpoints
from app.usecases.read_health import MOST_RECENT, TREND, HealthReading, read_health
from tests.usecases.posts import NOW, post

MODEL = shipped()


@pytest.fixture
def log(store: Database, lanes: Lanes, identities: Identities) -> "Log":
    return Log(store, lanes, identities)


class Log:
    """The log of external_id:42, written through the one door."""

    def __init__(self, store: Database, lanes: Lanes, identities: Identities) -> None:
        self._store, self._lanes, self._identities = store, lanes, identities

    async def add(self, *posts: Post) -> None:
        answers = await post_touchpoints(self._identities, self._lanes, posts, NOW, may_add_identifiers=True)
        assert not [answer for answer in answers if isinstance(answer, BaseException)]

    async def health(
        self,
        reference: str = "external_id:42",
        *,
        now: datetime = NOW,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
    ) -> HealthReading:
        found = parse_reference(reference)
        return await read_health(
            self._store, found, MODEL, now, currency="EUR", as_of=as_of, known_at=known_at
        )


def history(seed: int, count: int = 60) -> list[Post]:
    """A random customer of 90 days, in random order of arrival; refunds and resolutions often come too early."""
    chosen = random.Random(seed)
    kinds = (
        "purchase",
        "purchase",
        "refund",
        "order_cancelled",
        "delivered",
        "visit",
        "support_contact",
        "nps",
        "referral",
    )
    complaints = ("complaint_opened", "complaint_resolved")
    posts = []
    for number in range(count):
        kind = chosen.choice((*kinds, *complaints))
        members: dict[str, Any] = {}
        if kind in complaints:
            members["properties"] = {"complaint_id": f"c{chosen.randint(1, 4)}", "severity": "high"}
        elif kind == "nps":
            members["properties"] = {"rating": chosen.randint(0, 10)}
        if kind in ("purchase", "refund", "order_cancelled", "visit", "support_contact", "delivered"):
            members["order_id"] = f"o{chosen.randint(1, 8)}"
        posts.append(post(f"t{number}", kind=kind, days_ago=chosen.random() * 90, told=False, **members))
    return posts


@pytest.mark.parametrize("seed", range(5))
async def test_the_stored_state_and_a_fold_of_the_log_tell_the_very_same(log: Log, seed: int) -> None:
    posts = history(seed)
    await log.add(*posts)
    now = await log.health()
    assert now == await log.health(as_of=NOW)
    assert now.health == score(fold(post.touchpoint.fact for post in posts), seconds(NOW), MODEL)


@pytest.mark.parametrize("seed", range(5))
async def test_components_add_up_and_the_trend_is_the_way_from_then_to_now(log: Log, seed: int) -> None:
    await log.add(*history(seed))
    now, then = await log.health(), await log.health(as_of=NOW - TREND)
    assert len(now.health.contributions) == len(now.evidence) == len(now.top) == len(COMPONENTS)
    assert now.health.score_exact is not None
    parts = sum(points for points in now.health.contributions if points is not None)
    assert BASE + parts == pytest.approx(now.health.score_exact, abs=1e-9)
    assert then.health.score_exact is not None
    assert now.trend == now.health.score_exact - then.health.score_exact


async def test_a_fact_counts_from_the_moment_it_happened(log: Log) -> None:
    await log.add(post("p", days_ago=10), post("c", kind="support_contact", days_ago=5))
    at = NOW - timedelta(days=10)
    assert (await log.health(as_of=at)).health.purchase_probability is not None
    before = (await log.health(as_of=at - timedelta(microseconds=1))).health
    assert (before.score, before.band) == (None, "unknown")


async def test_what_was_not_yet_known_can_be_left_out(log: Log) -> None:
    await log.add(post("p", days_ago=10))
    late = post(
        "c", kind="complaint_opened", days_ago=5, properties={"complaint_id": "c", "severity": "high"}
    )
    arrived = NOW + timedelta(hours=1)
    await log.add(late._replace(touchpoint=late.touchpoint._replace(received_at=arrived)))
    later = NOW + timedelta(hours=2)
    assert (await log.health(now=later, as_of=NOW)).red_flags == ("complaint_open",)
    assert (await log.health(now=later, as_of=NOW, known_at=NOW)).red_flags == ()
    assert (await log.health(now=later, known_at=NOW)).red_flags == ()
    assert (await log.health(now=later, known_at=arrived)).red_flags == ("complaint_open",)


async def test_nothing_was_known_so_there_is_no_trend(log: Log) -> None:
    await log.add(post("p", days_ago=29))
    assert (await log.health()).trend is None


async def test_without_a_recent_fact_the_trend_is_what_silence_did(log: Log) -> None:
    await log.add(post("p", days_ago=200), post("q", days_ago=100))
    trend = (await log.health()).trend
    assert trend is not None
    assert trend < 0


async def test_a_flood_of_recent_touchpoints_costs_the_trend_and_nothing_else(log: Log) -> None:
    await log.add(post("p", days_ago=60))
    await log.add(*(post(f"v{n}", kind="visit", days_ago=1, told=False) for n in range(MOST_RECENT + 1)))
    reading = await log.health()
    assert reading.trend is None
    assert reading.health.score is not None


async def test_each_component_names_the_touchpoints_that_weigh_most_and_none_that_wait(log: Log) -> None:
    await log.add(
        *(post(f"p{days}", days_ago=days, order_id=f"o{days}") for days in (40, 30, 20, 10)),
        post("r1", kind="refund", order_id="o40", days_ago=5),
        post("r2", kind="refund", order_id="unknown", days_ago=1),
    )
    top = dict(zip(COMPONENTS, (await log.health()).top, strict=True))
    assert [row.id for row in top["momentum"]] == ["p10", "p20", "p30"]
    assert [row.id for row in top["refunds"]] == ["r1"]
    assert top["complaints"] == []


async def test_every_open_complaint_could_be_resolved(log: Log) -> None:
    opened = [
        post(
            f"t{n}",
            kind="complaint_opened",
            days_ago=n,
            properties={"complaint_id": f"c{n}", "severity": "low"},
        )
        for n in (1, 2, 3)
    ]
    await log.add(*opened, post("r", kind="complaint_resolved", properties={"complaint_id": "c2"}))
    offered = (await log.health()).what_would_help
    assert {help_.complaint_id for help_ in offered if help_.action == "resolve_complaint"} == {"c1", "c3"}
    assert offered[0].action == "resolve_all_complaints"


@pytest.mark.parametrize(
    "times, code",
    [
        ({"as_of": NOW + timedelta(minutes=6)}, "in_the_future"),
        ({"known_at": NOW + timedelta(minutes=6)}, "in_the_future"),
        ({"as_of": datetime.fromisoformat("1969-12-31T23:59:59Z")}, "before_1970"),
    ],
)
async def test_a_time_that_cannot_be_asked_about_is_refused(
    log: Log, times: dict[str, datetime], code: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await log.health("external_id:42", now=NOW, **times)
    assert refused.value.code == code
    assert refused.value.errors[0].pointer == f"#/query/{next(iter(times))}"


async def test_a_clock_a_little_ahead_of_ours_is_forgiven(log: Log) -> None:
    await log.add(post("p"))
    assert (await log.health(as_of=NOW + timedelta(minutes=4))).health.score is not None


async def test_nobody_has_no_health(log: Log) -> None:
    with pytest.raises(NotFound) as missing:
        await log.health("external_id:nobody")
    assert missing.value.code == "customer_not_found"


async def test_the_erased_have_none_either(log: Log, store: Database) -> None:
    await log.add(post("p"))
    async with store.hot_transaction() as connection:
        await connection.execute("UPDATE customer_states SET erased_at = $1", NOW)
    with pytest.raises(Conflict) as gone:
        await log.health()
    assert isinstance(gone.value, Problem)
    assert gone.value.code == "erased"
