"""`rapport verify` finds what it promises to find: each promise is broken once, behind the service's back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.domain.health.state import EMPTY, State
from app.domain.ids import uuid7
from app.storage.database import Database, connect_arguments
from app.storage.tables import APPEND_ONLY
from app.usecases import verify as module
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.post_touchpoints import Post, post_touchpoints
from app.usecases.resolve_customers import resolve
from app.usecases.verify import CHECKS, Result, verify
from tests.usecases.posts import NOW, post

STORY: list[tuple[str, dict[str, Any]]] = [
    ("purchase", {"order_id": "A-1", "days_ago": 9}),
    ("refund", {"order_id": "A-1", "amount_minor": 400, "days_ago": 2}),
    ("refund", {"order_id": "never came", "days_ago": 1}),
    ("visit", {}),
    ("complaint_opened", {"properties": {"complaint_id": "c1", "severity": "high"}, "days_ago": 3}),
    ("nps", {"properties": {"rating": 9}}),
]
HISTORY = [
    post(f"{number}-{step}", {"external_id": str(number), "email": f"{number}@example.com"}, kind, **members)
    for number in range(7)
    for step, (kind, members) in enumerate(STORY)
]


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    yield connection
    await connection.close()


@pytest.fixture
async def shop(identities: Identities, lanes: Lanes) -> None:
    """Seven customers with a history each."""
    await send(identities, lanes, HISTORY)


async def send(identities: Identities, lanes: Lanes, posts: list[Post]) -> None:
    answers = await post_touchpoints(identities, lanes, posts, NOW, may_add_identifiers=True)
    assert not [answer for answer in answers if isinstance(answer, BaseException)]


async def differing(store: Database) -> dict[str, list[str]]:
    """What each check that found something said first."""
    return {
        result.check.name: [one.what for one in result.first]
        for result in await verify(store)
        if result.differences
    }


async def one_customer(owner: asyncpg.Connection) -> UUID:
    found: UUID = await owner.fetchval("SELECT id FROM customers ORDER BY id LIMIT 1 OFFSET 3")
    return found


@pytest.mark.usefixtures("shop")
async def test_what_the_service_wrote_holds(store: Database) -> None:
    results = {result.check.name: result for result in await verify(store)}
    assert {name: result.differences for name, result in results.items()} == dict.fromkeys(results, 0)
    checked = {name: result.checked for name, result in results.items()}
    assert checked["states"] == checked["orphans"] == 7
    assert checked["identifiers"] == checked["claims"] == 14
    assert checked["append-only"] == len(APPEND_ONLY)
    assert checked["durability"] > 3


async def test_an_empty_database_holds(store: Database) -> None:
    assert await differing(store) == {}


@pytest.mark.usefixtures("shop")
async def test_small_pages_find_the_same_as_large_ones(
    store: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await owner.execute("UPDATE customer_states SET state = $1", EMPTY.encode())
    monkeypatch.setattr(module, "CUSTOMERS_PER_PAGE", 2)
    monkeypatch.setattr(module, "IDENTIFIERS_PER_PAGE", 3)
    seen: list[tuple[str, int, int | None]] = []

    def watch(result: Result, rows: int | None) -> None:
        seen.append((result.check.name, result.checked, rows))

    results = {result.check.name: result for result in await verify(store, watch)}
    assert results["states"].differences == results["states"].checked == 7
    assert results["orphans"].checked == 7
    assert results["claims"].checked == 14
    assert [entry for entry in seen if entry[0] == "states"] == [
        ("states", count, 7) for count in (0, 2, 4, 6, 7)
    ]


@pytest.mark.usefixtures("shop")
async def test_a_state_that_lost_an_update_is_named_with_the_members_that_differ(
    store: Database, owner: asyncpg.Connection
) -> None:
    customer_id = await one_customer(owner)
    stored = State.decode(
        await owner.fetchval("SELECT state FROM customer_states WHERE customer_id = $1", customer_id)
    )
    await owner.execute(
        "UPDATE customer_states SET state = $2 WHERE customer_id = $1",
        customer_id,
        stored._replace(spend=stored.spend + 1, eng30=0).encode(),
    )
    (result,) = [result for result in await verify(store) if result.differences]
    assert [(one.customer_id, one.what) for one in result.first] == [
        (customer_id, "the stored state is not that of the log: spend, eng30")
    ]


@pytest.mark.usefixtures("shop")
async def test_bytes_that_mean_the_same_but_are_not_canonical_are_a_difference(
    store: Database, owner: asyncpg.Connection
) -> None:
    stored: bytes = await owner.fetchval("SELECT state FROM customer_states LIMIT 1")
    # One more byte for the last number, which is said in its shape: the same number, written longer.
    members = int.from_bytes(stored[1:5], "little").bit_count()
    at = 5 + 4 * members - 2
    size = int.from_bytes(stored[at : at + 2], "little")
    padded = stored[:at] + (size + 1).to_bytes(2, "little") + stored[at + 2 :] + b"\x00"
    assert State.decode(padded) == State.decode(stored)
    await owner.execute("UPDATE customer_states SET state = $1 WHERE state = $2", padded, stored)
    found = await differing(store)
    assert set(found["states"]) == {"the stored state is right, its bytes are not the canonical ones"}


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "change, found",
    [
        (
            "UPDATE customer_states SET state = '\\x01' WHERE customer_id = $1",
            {"states": ["the stored state cannot be read"]},
        ),
        (
            "DELETE FROM touchpoints WHERE customer_id = $1 AND kind = 'visit'",
            {"states": ["the stored state is not that of the log: eng30"]},
        ),
        (
            "UPDATE touchpoints SET properties = '{\"rating\": \"none\"}' WHERE customer_id = $1 AND kind = 'nps'",
            {"states": ["the log cannot be read: ValueError"]},
        ),
        (
            "DELETE FROM identifier_claims WHERE customer_id = $1 AND type = 'email'",
            {"identifiers": ["an identifier that nobody claims"]},
        ),
        (
            "DELETE FROM customer_identifiers WHERE customer_id = $1 AND type = 'email'",
            {"claims": ["a claim on an identifier that the customer does not have"]},
        ),
    ],
)
async def test_what_does_not_fit_is_found(
    store: Database, owner: asyncpg.Connection, change: str, found: dict[str, list[str]]
) -> None:
    await owner.execute(change, await one_customer(owner))
    assert await differing(store) == found


@pytest.mark.usefixtures("shop")
async def test_an_identifier_claimed_for_somebody_else_names_both(
    store: Database, owner: asyncpg.Connection
) -> None:
    whose = await one_customer(owner)
    other: UUID = await owner.fetchval("SELECT id FROM customers WHERE id <> $1 LIMIT 1", whose)
    await owner.execute(
        "UPDATE identifier_claims SET customer_id = $2 WHERE customer_id = $1 AND type = 'email'",
        whose,
        other,
    )
    found = await differing(store)
    assert found["identifiers"] == [f"an identifier that customer {other} claims"]
    assert found["claims"] == ["a claim on an identifier that the customer does not have"]


@pytest.mark.usefixtures("shop")
async def test_touchpoints_without_a_customer_are_found_wherever_they_stand(
    store: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CUSTOMERS_PER_PAGE", 2)
    for stray in (UUID(int=1), UUID(int=2**128 - 1)):
        await owner.execute(
            """
            INSERT INTO touchpoints (customer_id, origin_customer_id, source, id, kind, occurred_at, received_at,
              body_sha256, outcome)
            SELECT $1, $1, source, id, kind, occurred_at, received_at, body_sha256, outcome FROM touchpoints LIMIT 2
            """,
            stray,
        )
    assert await differing(store) == {"orphans": ["touchpoints without a customer"] * 2}


async def test_a_customer_without_a_state_is_found(store: Database, owner: asyncpg.Connection) -> None:
    await owner.execute(
        "INSERT INTO customers (id, created_at, updated_at) VALUES ($1, $2, $2)", uuid7(1), NOW
    )
    assert await differing(store) == {"orphans": ["a customer without a state row"]}


@pytest.mark.usefixtures("shop")
async def test_a_touchpoint_that_stands_twice_is_found_where_no_key_forbids_it(
    store: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute("ALTER TABLE touchpoints DROP CONSTRAINT pk_touchpoints")
    await owner.execute("INSERT INTO touchpoints SELECT * FROM touchpoints WHERE kind = 'visit'")
    found = await differing(store)
    assert "1 touchpoints stand in the log more than once" in found["states"]


@pytest.mark.parametrize("privilege", ["UPDATE", "DELETE", "TRUNCATE", "UPDATE (description)"])
async def test_a_service_that_may_change_the_log_is_found(
    store: Database, owner: asyncpg.Connection, privilege: str
) -> None:
    await owner.execute(f"GRANT {privilege} ON touchpoints TO rapport_app")
    assert await differing(store) == {
        "append-only": [f"rapport_app may {privilege.split(maxsplit=1)[0]} touchpoints"]
    }


async def test_an_owner_who_may_change_the_log_is_only_noted(owner_url: str) -> None:
    store = Database(owner_url, pool_size=2, hot_size=1, wait_seconds=5, statement_timeout_seconds=10)
    results = {result.check.name: result for result in await verify(store)}
    await store.close()
    assert results["append-only"].differences == 0
    assert "may change the log" in results["append-only"].notes[0]


@pytest.mark.parametrize(
    "value, durable", [("off", False), ("local", False), ("remote_write", True), ("yes", True)]
)
async def test_a_login_that_does_not_wait_for_the_disk_is_found(
    store: Database, owner: asyncpg.Connection, database: str, value: str, *, durable: bool
) -> None:
    assert await differing(store) == {}
    await owner.execute(f"ALTER ROLE rapport_app IN DATABASE {database} SET synchronous_commit = '{value}'")
    # Connections of before go on as they were; the next login gets it.
    found = {"durability": [f"synchronous_commit is {value} for rapport_app in {database}"]}
    assert await differing(store) == ({} if durable else found)


async def test_a_database_that_does_not_wait_for_its_disk_is_found(
    store: Database, owner: asyncpg.Connection, database: str
) -> None:
    await owner.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    assert await differing(store) == {
        "durability": [
            "synchronous_commit is off",
            f"synchronous_commit is off for every role in {database}",
        ]
    }


async def test_a_table_that_a_crash_empties_is_found(store: Database, owner: asyncpg.Connection) -> None:
    await owner.execute("ALTER TABLE identifier_claims SET UNLOGGED")
    assert await differing(store) == {
        "durability": ["table identifier_claims is unlogged: a crash empties it"]
    }


async def test_writers_at_work_are_seen_whole_or_not_at_all(
    store: Database, identities: Identities, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CUSTOMERS_PER_PAGE", 3)
    done = asyncio.Event()

    async def write() -> None:
        for round_ in range(25):
            customers = [
                {"external_id": f"c{number}", "email": f"{round_}-{number}@example.com"}
                for number in range(5)
            ]
            posts: list[Any] = [post(f"{round_}-{number}", who) for number, who in enumerate(customers)]
            await send(identities, lanes, [*posts, *(post(f"{round_}-v", who, "visit") for who in customers)])
        done.set()

    writing = asyncio.create_task(write())
    passes = 0
    while not done.is_set():
        assert await differing(store) == {}
        passes += 1
    await writing
    assert passes > 2


async def test_customers_without_any_touchpoint_hold(store: Database) -> None:
    await resolve(store, [post("1", f"external_id:{number}").reference for number in range(3)], NOW)
    assert await differing(store) == {}


def test_checks_have_names_of_their_own() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
