"""The write path on a real PostgreSQL: from references and touchpoints to committed rows and true answers."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.domain.health.history import fold
from app.domain.health.model import shipped
from app.domain.health.state import State
from app.domain.ids import uuid7, uuid_hash
from app.domain.problems import Conflict, NotFound
from app.domain.recording import Recorded
from app.storage.database import Database
from app.storage.loading import load
from app.storage.touchpoints import Wanted
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.models.active_model import ActiveModel
from app.usecases.post_touchpoints import Post, Posted, post_touchpoints
from app.usecases.record_touchpoints import Entry, record_touchpoints
from app.usecases.verify import verify
from tests.usecases.posts import NOW, post


@pytest.fixture
def send(identities: Identities, lanes: Lanes) -> Any:
    async def send(*posts: Post) -> list[Posted]:
        return await post_touchpoints(identities, lanes, posts, NOW, may_add_identifiers=True)

    return send


def recorded(posted: Posted) -> Recorded:
    assert isinstance(posted, Recorded), posted
    return posted


async def rows(store: Database, sql: str, *arguments: Any) -> list[asyncpg.Record]:
    async with store.hot_reading() as connection:
        return list(await connection.fetch(sql, *arguments))


async def states(store: Database) -> dict[str, State]:
    found = await rows(
        store, "SELECT value_key, state FROM customer_states JOIN identifier_claims USING (customer_id)"
    )
    return {row["value_key"]: State.decode(row["state"]) for row in found}


async def test_a_purchase_creates_its_customer_and_is_answered_with_health(
    store: Database, send: Any
) -> None:
    answer = recorded((await send(post("1")))[0])
    told = json.loads(answer.stored.outcome)
    assert (answer.duplicate, answer.pending_match, told["before"], told["band"]) == (
        False,
        False,
        None,
        "healthy",
    )
    (row,) = await rows(
        store, "SELECT t.*, s.score, s.band FROM touchpoints t JOIN customer_states s USING (customer_id)"
    )
    assert row["customer_id"] == row["origin_customer_id"] == answer.customer_id
    assert (row["id"], row["amount_minor"], row["value_minor"], row["band"]) == ("1", 1000, 1000, "healthy")
    assert json.loads(row["outcome"]) == told
    assert round(row["score"]) == told["score"]


async def test_a_retry_is_answered_as_first_and_stores_nothing(store: Database, send: Any) -> None:
    first = recorded((await send(post("1")))[0])
    await send(post("2"))
    again = recorded((await send(post("1")))[0])
    assert again.duplicate
    assert json.loads(again.stored.outcome) == json.loads(first.stored.outcome)
    assert again.stored.received_at == first.stored.received_at
    assert (await states(store))["42"].n == 2


async def test_the_same_id_with_another_body_is_a_conflict_and_for_another_customer_another_touchpoint(
    store: Database, send: Any
) -> None:
    await send(post("1"))
    (conflict,) = await send(post("1", amount_minor=2))
    assert isinstance(conflict, Conflict)
    assert conflict.code == "id_reused"
    assert not recorded((await send(post("1", "external_id:43", amount_minor=2)))[0]).duplicate
    assert len(await rows(store, "SELECT FROM touchpoints")) == 2


async def test_one_list_is_answered_as_if_posted_one_by_one(store: Database, send: Any) -> None:
    nobody = uuid7(1)
    answers = await send(
        post("1", told=False),
        post("1", told=False),
        post("1", told=False, amount_minor=5),
        post("2", str(nobody), told=False),
        post("3", {"external_id": "42", "email": "ada@example.com"}, told=False),
        post("4", "email:ADA@example.com", told=False),
        post("5", "external_id:43", told=False),
        post("6", {"external_id": "43", "email": "ada@example.com"}, told=False),
    )
    assert [recorded(answer).duplicate for answer in (*answers[:2], *answers[4:7])] == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert isinstance(answers[2], Conflict)
    assert isinstance(answers[3], NotFound)
    assert isinstance(answers[7], Conflict)
    assert answers[7].code == "identity_conflict"
    found = await states(store)
    assert (found["42"].n, found["ada@example.com"].n, found["43"].n) == (3, 3, 1)


async def test_a_refund_before_its_order_waits_and_ends_like_one_behind_it(
    store: Database, send: Any
) -> None:
    early = await send(post("r", "external_id:a", "refund", amount_minor=300, order_id="A"))
    assert recorded(early[0]).pending_match
    assert (await states(store))["a"] == State()
    await send(post("p", "external_id:a", days_ago=3, order_id="A"))
    await send(post("p", "external_id:b", days_ago=3, order_id="A"))
    await send(post("r", "external_id:b", "refund", amount_minor=300, order_id="A"))
    found = await states(store)
    assert found["a"] == found["b"]
    assert found["a"].spend == 700


ORDER = (
    post("p", "external_id:x", days_ago=9, order_id="A"),
    post("r", "external_id:x", "refund", days_ago=1, amount_minor=300, order_id="A"),
    post("c", "external_id:x", "order_cancelled", order_id="A"),
)
ABOUT = (
    post("d", "external_id:x", "delivered", days_ago=5, order_id="A"),
    post("l", "external_id:x", "delivery_late", days_ago=6, order_id="A"),
)


@pytest.mark.parametrize("told", [True, False])
async def test_what_is_only_about_an_order_changes_nothing_about_it_in_any_order(
    store: Database, send: Any, *, told: bool
) -> None:
    without = fold(each.touchpoint.fact for each in ORDER)
    arrivals = list(itertools.permutations((*ORDER, *ABOUT)))[:: 3 if told else 7]
    for number, arrival in enumerate(arrivals):
        for each in arrival:
            mine = each._replace(reference=post("", f"external_id:{number}").reference, told=told)
            answer = recorded((await send(mine))[0])
            waits = each in ORDER[1:] and ORDER[0] not in arrival[: arrival.index(each)]
            assert answer.pending_match == waits
    found = await states(store)
    assert all(state == without for state in found.values())
    assert len(found) == len(arrivals)
    threads = await rows(store, "SELECT DISTINCT thread FROM touchpoints")
    assert [row["thread"] for row in threads] == ["order:A"]
    assert [result.check.name for result in await verify(store) if result.differences] == []


async def test_what_is_only_about_an_order_is_not_read_with_it(store: Database, send: Any) -> None:
    await send(*ORDER, *ABOUT)
    async with store.hot_reading() as connection:
        customer_id = await connection.fetchval("SELECT customer_id FROM touchpoints LIMIT 1")
        known = (
            await load(connection, Wanted([(customer_id, "shop", "none")], [(customer_id, "order:A")], []))
        ).known
    assert sorted(row.id for row in known) == ["c", "p", "r"]


async def test_any_order_of_arrival_in_any_groups_by_many_clients_ends_in_the_same_state(
    store: Database, identities: Identities, lanes: Lanes
) -> None:
    history = [
        post(str(index), "external_id:x", kind, days_ago=index * 7 % 90, order_id=f"o{index % 5}")
        for index, kind in enumerate(
            ["purchase", "refund", "visit", "order_cancelled", "purchase", "support_contact"] * 10
        )
    ]
    for seed, name in enumerate(("x", "y", "z")):
        mine = [each._replace(reference=post("", f"external_id:{name}").reference) for each in history]
        chance = random.Random(seed)
        chance.shuffle(mine)
        await asyncio.gather(
            *(
                post_touchpoints(
                    identities,
                    lanes,
                    [each._replace(told=chance.random() < 0.5)],
                    NOW,
                    may_add_identifiers=True,
                )
                for each in [*mine, *mine[:20]]
            )
        )
    found = await states(store)
    assert found["x"] == found["y"] == found["z"] == fold(each.touchpoint.fact for each in history)
    stored = await rows(store, "SELECT state FROM customer_states")
    assert len({row["state"] for row in stored}) == 1


async def test_a_touchpoint_that_the_database_refuses_fails_alone(store: Database, send: Any) -> None:
    good = [post(str(index), f"external_id:{index % 7}", told=False) for index in range(40)]
    bad = post("bad", "external_id:3", told=False)
    # What no validation lets through: PostgreSQL cannot store NUL.
    poison = bad._replace(touchpoint=bad.touchpoint._replace(description="\0"))
    answers = await send(*good[:20], poison, *good[20:])
    assert isinstance(answers[20], asyncpg.DataError | asyncpg.CharacterNotInRepertoireError)
    assert sum(isinstance(answer, Recorded) for answer in answers) == 40
    assert len(await rows(store, "SELECT FROM touchpoints")) == 40


async def test_a_writer_that_had_to_wait_for_the_lock_sees_what_was_written_meanwhile(
    store: Database, send: Any
) -> None:
    customer_id = recorded((await send(post("first")))[0]).customer_id
    entry = Entry(customer_id, post("same", order_id="A").touchpoint)
    refund = Entry(customer_id, post("refund", kind="refund", order_id="A").touchpoint)

    async def late() -> list[Any]:
        async with store.hot_transaction() as connection:
            return await record_touchpoints(connection, [entry, refund], shipped())

    async with store.hot_transaction() as connection:
        first: list[Any] = await record_touchpoints(connection, [entry], shipped())
        waiting = asyncio.create_task(late())
        await asyncio.sleep(0.2)
        assert not waiting.done()
    again, matched = await waiting
    assert not recorded(first[0]).duplicate
    assert recorded(again).duplicate
    assert not recorded(matched).pending_match


async def test_the_number_of_statements_does_not_grow_with_the_list(store: Database, send: Any) -> None:
    await send(*(post("first", f"external_id:{index}", told=False) for index in range(300)))
    customers = [row["customer_id"] for row in await rows(store, "SELECT customer_id FROM customer_states")]
    counts = []
    for turn, size in enumerate((1, 1, 10, 300)):
        entries = [
            Entry(customer_id, post(f"n{turn}", order_id="A").touchpoint) for customer_id in customers[:size]
        ]
        said: list[str] = []
        async with store.hot_transaction() as connection:
            with connection.query_logger(lambda query, said=said: said.append(query.query)):
                outcomes = await record_touchpoints(connection, entries, shipped())
        assert all(isinstance(outcome, Recorded) for outcome in outcomes)
        counts.append(len(said))
    # A new connection asks once for the types of arrays.
    assert counts[1:] == [3, 3, 3]


async def test_an_identifier_that_moved_on_is_looked_up_again(store: Database, send: Any) -> None:
    first = recorded((await send(post("1", {"external_id": "42", "email": "ada@example.com"})))[0])
    async with store.hot_transaction() as connection:
        await connection.execute("DELETE FROM identifier_claims WHERE value_key = 'ada@example.com'")
        await connection.execute("UPDATE customer_states SET identity_revision = identity_revision + 1")
    second = recorded((await send(post("2", "email:ada@example.com")))[0])
    assert second.customer_id != first.customer_id
    assert recorded((await send(post("3", "external_id:42")))[0]).customer_id == first.customer_id


@asynccontextmanager
async def processes(url: str, count: int) -> AsyncIterator[Sequence[tuple[Identities, Lanes]]]:
    """As many write paths as separate processes would have, on one database."""
    stores = [
        Database(url, pool_size=2, hot_size=6, wait_seconds=10, statement_timeout_seconds=10)
        for _ in range(count)
    ]
    paths = [
        (
            Identities(store, remembered=100, queue_limit=5000, group_limit=100),
            Lanes(store, ActiveModel(store), lanes=2, queue_limit=5000, group_limit=50),
        )
        for store in stores
    ]
    for identities, lanes in paths:
        identities.start()
        lanes.start()
    yield paths
    for identities, lanes in paths:
        await identities.drain()
        await lanes.drain()
    for store in stores:
        await store.close()


async def test_four_processes_on_the_same_customers_lose_and_double_nothing(
    store: Database, database_url: str
) -> None:
    chance = random.Random(7)
    everything = [
        post(str(index), f"external_id:{chance.randrange(12)}", days_ago=chance.randrange(100), told=False)
        for index in range(400)
    ]

    async def client(path: tuple[Identities, Lanes], mine: list[Post]) -> None:
        for start in range(0, len(mine), 40):
            answers = await post_touchpoints(*path, mine[start : start + 40], NOW, may_add_identifiers=True)
            assert all(isinstance(answer, Recorded) for answer in answers), answers

    async with processes(database_url, 4) as paths:
        # Everything is sent twice, by different processes, in different orders.
        shares = [chance.sample(everything, len(everything)) for _ in range(2)]
        await asyncio.gather(
            *(client(path, shares[number // 2][number % 2 :: 2]) for number, path in enumerate(paths))
        )
    assert len(await rows(store, "SELECT FROM touchpoints")) == 400
    found = await states(store)
    for name, state in found.items():
        mine = [each.touchpoint.fact for each in everything if each.reference.identifiers[0].key == name]
        assert state == fold(mine)


async def test_the_lane_of_a_customer_is_postgresqls_own_hash(store: Database) -> None:
    values = [uuid7(index * 1_000_003) for index in range(200)] + [UUID(int=0), UUID(int=2**128 - 1)]
    found = await rows(store, "SELECT id, uuid_hash(id) AS hash FROM unnest($1::uuid[]) AS id", values)
    assert {row["id"]: row["hash"] & 0xFFFFFFFF for row in found} == {
        value: uuid_hash(value) for value in values
    }
