import asyncio
from uuid import UUID

import pytest

from app.domain.health.model import shipped
from app.domain.health.state import EMPTY
from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.post_touchpoints import post_touchpoints
from app.usecases.replay_states import Replay, replay_states
from app.usecases.verify import verify
from tests.usecases.posts import NOW, post

MODEL = shipped()
CUSTOMERS = 7


@pytest.fixture
async def shop(store: Database, lanes: Lanes, identities: Identities) -> dict[UUID, bytes]:
    """Seven customers with purchases, and what is stored of them."""
    posts = [
        post(f"p{n}-{days}", {"external_id": str(n)}, days_ago=days)
        for n in range(CUSTOMERS)
        for days in (1, 9)
    ]
    answers = await post_touchpoints(identities, lanes, posts, NOW, may_add_identifiers=True)
    assert not [answer for answer in answers if isinstance(answer, BaseException)]
    return await states(store)


async def states(store: Database) -> dict[UUID, bytes]:
    async with store.hot_reading() as connection:
        rows = await connection.fetch("SELECT customer_id, state FROM customer_states ORDER BY customer_id")
        return dict(rows)


async def spoil(store: Database, stored: bytes = EMPTY.encode()) -> None:
    async with store.hot_transaction() as connection:
        await connection.execute("UPDATE customer_states SET state = $1", stored)


async def test_what_holds_is_left_alone(store: Database, shop: dict[UUID, bytes]) -> None:
    async with store.hot_reading() as connection:
        before = await connection.fetch("SELECT customer_id, xmin FROM customer_states ORDER BY customer_id")
    assert await replay_states(store, MODEL, page=2) == Replay(replayed=CUSTOMERS)
    async with store.hot_reading() as connection:
        after = await connection.fetch(
            "SELECT customer_id, xmin FROM customer_states WHERE state = ANY ($1) ORDER BY customer_id",
            list(shop.values()),
        )
    assert [row["customer_id"] for row in before] == [row["customer_id"] for row in after]


@pytest.mark.parametrize("stored", [EMPTY.encode(), b"\x63 of another release"])
async def test_spoilt_states_become_those_of_their_logs(
    store: Database, shop: dict[UUID, bytes], stored: bytes
) -> None:
    await spoil(store, stored)
    dry = await replay_states(store, MODEL, page=3, dry_run=True)
    assert (dry.replayed, dry.changed, dry.failed) == (CUSTOMERS, CUSTOMERS, 0)
    assert len(dry.first) == 5
    assert set((await states(store)).values()) == {stored}
    done = await replay_states(store, MODEL, page=3)
    assert (done.replayed, done.changed, done.resumed) == (CUSTOMERS, CUSTOMERS, 0)
    assert await states(store) == shop
    assert not any(result.differences for result in await verify(store))
    async with store.hot_reading() as connection:
        assert await connection.fetchval("SELECT count(*) FROM customer_states WHERE score IS NULL") == 0


async def test_a_replay_that_was_stopped_goes_on_where_it_ended(
    store: Database, shop: dict[UUID, bytes]
) -> None:
    await spoil(store)

    class Stopped(Exception):
        pass

    def stop(replay: Replay, _customers: int) -> None:
        if replay.replayed >= 4:
            raise Stopped

    with pytest.raises(Stopped):
        await replay_states(store, MODEL, page=2, watch=stop)
    done = [customer_id for customer_id, state in (await states(store)).items() if state == shop[customer_id]]
    assert done == sorted(shop)[:4]
    went_on = await replay_states(store, MODEL, page=2)
    assert (went_on.resumed, went_on.replayed, went_on.changed) == (4, CUSTOMERS, CUSTOMERS)
    assert await states(store) == shop
    assert (await replay_states(store, MODEL)).resumed == 0


async def test_a_replay_can_begin_again(store: Database, shop: dict[UUID, bytes]) -> None:
    def stop(replay: Replay, _customers: int) -> None:
        if replay.replayed:
            raise KeyError

    with pytest.raises(KeyError):
        await replay_states(store, MODEL, page=2, watch=stop)
    await spoil(store)
    again = await replay_states(store, MODEL, page=2, restart=True)
    assert (again.resumed, again.changed) == (0, CUSTOMERS)
    assert await states(store) == shop


async def test_two_who_replay_at_once_share_the_work(store: Database, shop: dict[UUID, bytes]) -> None:
    await spoil(store)
    one, other = await asyncio.gather(*(replay_states(store, MODEL, page=1) for _ in range(2)))
    assert await states(store) == shop
    assert one.changed + other.changed >= CUSTOMERS


async def test_a_log_that_cannot_be_read_is_named_and_its_state_stays(
    store: Database, shop: dict[UUID, bytes]
) -> None:
    somebody = min(shop)
    async with store.hot_transaction() as connection:
        await connection.execute(
            """
            INSERT INTO touchpoints (customer_id, origin_customer_id, source, id, kind, occurred_at, received_at,
              thread, properties, body_sha256, outcome)
            VALUES ($1, $1, 'shop', 'bad', 'complaint_opened', $2, $2, 'complaint:c', '{"severity": "awful"}',
              sha256('b'), 'null')
            """,
            somebody,
            NOW,
        )
    done = await replay_states(store, MODEL)
    assert (done.replayed, done.changed, done.failed) == (CUSTOMERS, 0, 1)
    assert [(one.customer_id, one.what) for one in done.first] == [
        (somebody, "the log cannot be read: ValueError")
    ]
    assert await states(store) == shop


@pytest.mark.usefixtures("shop")
async def test_posts_that_come_meanwhile_are_in_the_states(
    store: Database, lanes: Lanes, identities: Identities
) -> None:
    await spoil(store)
    posts = [post(f"late{n}", {"external_id": str(n % CUSTOMERS)}, days_ago=n) for n in range(40)]

    async def keep_posting() -> None:
        for one in posts:
            (answer,) = await post_touchpoints(identities, lanes, [one], NOW, may_add_identifiers=True)
            assert not isinstance(answer, BaseException)

    # A post onto a spoilt state is folded into it; the replay repairs both.
    await asyncio.gather(keep_posting(), replay_states(store, MODEL, page=1))
    assert not any(result.differences for result in await verify(store))
