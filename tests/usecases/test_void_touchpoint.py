import random
from datetime import datetime, timedelta

import pytest

from app.domain.health.history import fold
from app.domain.health.model import shipped
from app.domain.health.state import EMPTY
from app.domain.identifiers import parse_reference
from app.domain.problems import Invalid, NotFound
from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.post_touchpoints import Post, post_touchpoints
from app.usecases.read_health import HealthReading, read_health
from app.usecases.verify import verify
from app.usecases.void_touchpoint import Voided, void_touchpoint
from tests.usecases.posts import NOW, post
from tests.usecases.test_read_health import history

ADA = parse_reference("external_id:42")
MODEL = shipped()


async def add(lanes: Lanes, identities: Identities, *posts: Post) -> None:
    answers = await post_touchpoints(identities, lanes, posts, NOW, may_add_identifiers=True)
    assert not [answer for answer in answers if isinstance(answer, BaseException)]


async def void(store: Database, id: str, source: str | None = None) -> Voided:  # noqa: A002 - the wire's own name
    async with store.hot_transaction() as connection:
        return await void_touchpoint(
            connection, ADA, id, source, by="helpdesk", reason="a test", model=MODEL, now=NOW
        )


async def health(
    store: Database, now: datetime = NOW, *, as_of: datetime | None = None, known_at: datetime | None = None
) -> HealthReading:
    return await read_health(store, ADA, MODEL, now, currency="EUR", as_of=as_of, known_at=known_at)


async def state_bytes(store: Database) -> bytes:
    async with store.hot_reading() as connection:
        stored: bytes = await connection.fetchval("SELECT state FROM customer_states")
        return stored


@pytest.mark.parametrize("seed", range(6))
async def test_voids_among_posts_leave_the_very_state_of_what_stands(
    store: Database, lanes: Lanes, identities: Identities, seed: int
) -> None:
    chosen = random.Random(seed)
    posts = history(seed, count=40)
    gone = set(chosen.sample(range(40), 25))
    await add(lanes, identities, *posts[:30])
    early = [number for number in gone if number < 30]
    for number in chosen.sample(early, len(early)):
        await void(store, posts[number].touchpoint.id)
    await add(lanes, identities, *posts[30:])
    for number in gone.difference(early):
        await void(store, posts[number].touchpoint.id)
    kept = [one.touchpoint.fact for number, one in enumerate(posts) if number not in gone]
    assert await state_bytes(store) == fold(kept).encode()
    assert {result.check.name: result.differences for result in await verify(store)}["states"] == 0
    assert await health(store) == await health(store, as_of=NOW)


async def test_what_is_written_and_voided_leaves_nothing(
    store: Database, lanes: Lanes, identities: Identities
) -> None:
    posts = history(7, count=20)
    await add(lanes, identities, *posts)
    for one in posts:
        await void(store, one.touchpoint.id)
    assert await state_bytes(store) == EMPTY.encode()
    assert (await health(store)).health.score is None


async def test_a_void_tells_what_it_did_and_again_the_same(
    store: Database, lanes: Lanes, identities: Identities
) -> None:
    await add(lanes, identities, post("p1", days_ago=40), post("p2", days_ago=3))
    first = await void(store, "p2")
    told = first.void.outcome
    assert told["delta"] == told["score"] - told["before"] < 0
    assert told["reasons"] == ["Taken back: Purchase of 10.00 EUR"]
    state = await state_bytes(store)
    again = await void(store, "p2")
    assert again.void == first.void
    assert await state_bytes(store) == state


async def test_without_its_purchase_a_refund_waits_again(
    store: Database, lanes: Lanes, identities: Identities
) -> None:
    refund = post("r", kind="refund", order_id="o", days_ago=1)
    await add(lanes, identities, post("p", order_id="o", days_ago=9), refund)
    told = (await void(store, "p")).void.outcome
    assert told["reasons"][1:] == ["What named it waits for it again"]
    assert await state_bytes(store) == EMPTY.encode()
    # The purchase comes once more, under another id.
    await add(lanes, identities, post("p2", order_id="o", days_ago=9))
    expected = fold([refund.touchpoint.fact, post("p2", order_id="o", days_ago=9).touchpoint.fact])
    assert await state_bytes(store) == expected.encode()


async def test_a_retry_of_what_was_voided_is_a_duplicate_and_brings_nothing_back(
    store: Database, lanes: Lanes, identities: Identities
) -> None:
    await add(lanes, identities, post("p"))
    await void(store, "p")
    (again,) = await post_touchpoints(identities, lanes, [post("p")], NOW, may_add_identifiers=True)
    assert not isinstance(again, BaseException)
    assert again.duplicate
    assert await state_bytes(store) == EMPTY.encode()


async def test_what_was_known_before_the_void_can_still_be_asked(
    store: Database, lanes: Lanes, identities: Identities
) -> None:
    await add(lanes, identities, post("p", days_ago=5))
    async with store.hot_transaction() as connection:
        later = NOW + timedelta(hours=1)
        await void_touchpoint(connection, ADA, "p", None, by="x", reason=None, model=MODEL, now=later)
    later += timedelta(hours=1)
    assert (await health(store, later, known_at=NOW)).health.score is not None
    assert (await health(store, later, known_at=later)).health.score is None
    assert (await health(store, later, as_of=NOW)).health.score is None


async def test_what_is_not_there_cannot_be_voided(
    store: Database, lanes: Lanes, identities: Identities
) -> None:
    await add(lanes, identities, post("p"))
    for id, source in (("q", None), ("p", "elsewhere")):  # noqa: A001 - the wire's own name
        with pytest.raises(NotFound) as missing:
            await void(store, id, source)
        assert missing.value.code == "touchpoint_not_found"


async def test_what_the_service_wrote_itself_stays(
    store: Database, lanes: Lanes, identities: Identities
) -> None:
    await add(lanes, identities, post("p"))
    async with store.hot_transaction() as connection:
        await connection.execute(
            """
            INSERT INTO touchpoints (customer_id, origin_customer_id, source, id, kind, occurred_at, received_at,
              body_sha256, outcome)
            SELECT customer_id, customer_id, 'rapport', 'b', 'band_changed', $1, $1, sha256('b'), 'null'
            FROM customer_states
            """,
            NOW,
        )
    with pytest.raises(Invalid) as refused:
        await void(store, "b")
    assert refused.value.code == "reserved_kind"


async def test_the_log_itself_is_not_touched(store: Database, lanes: Lanes, identities: Identities) -> None:
    await add(lanes, identities, post("p"))

    async def rows() -> list[object]:
        async with store.hot_reading() as connection:
            return list(await connection.fetch("SELECT *, xmin FROM touchpoints"))

    before = await rows()
    await void(store, "p")
    assert await rows() == before
