import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.customers import Customer, Profile
from app.domain.health.state import EMPTY
from app.domain.identifiers import Identifier
from app.domain.ids import uuid7
from app.storage import customers, identifiers
from app.storage.customers import Filter
from app.storage.database import driver
from app.storage.identifiers import Holding
from app.usecases.search_customers import search_customers

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
NOBODY = UUID(int=0)


@pytest.fixture
async def bare(session: AsyncSession) -> asyncpg.Connection:
    return await driver(session)


async def add(connection: asyncpg.Connection, count: int, start: int = 0) -> list[UUID]:
    """Customers `Ada 0`, `Ada 1`, ... with two identifiers each; the later ones have the greater ids."""
    ids = [uuid7(1_700_000_000_000 + start + number) for number in range(count)]
    await customers.create(connection, ids, EMPTY.encode(), NOW)
    holdings = [
        Holding(customer_id, Identifier(kind, value, value), customer_id)
        for number, customer_id in enumerate(ids, start)
        for kind, value in (("external_id", str(number)), ("email", f"{number}@example.com"))
    ]
    assert await identifiers.claim(connection, holdings)
    await identifiers.attach(connection, holdings, NOW)
    for number, customer_id in enumerate(ids, start):
        await customers.save(connection, customer_id, Profile(name=f"Ada {number}"), NOW)
    return ids


async def statements(connection: asyncpg.Connection, work: Callable[[], Awaitable[object]]) -> int:
    seen: list[object] = []
    with connection.query_logger(seen.append):
        await work()
        await asyncio.sleep(0)  # the logger is called by the loop
    return len(seen)


async def test_what_is_saved_is_read_again(bare: asyncpg.Connection) -> None:
    [customer_id] = await add(bare, 1)
    profile = Profile("Ada", "en", "Europe/London", "email", ("a", "b"), "ben", {"é": [1, {"b": None}]})
    await customers.save(bare, customer_id, profile, NOW)
    customer = await customers.existing(bare, customer_id)
    assert customer == Customer(
        customer_id, profile, customer.identifiers, NOW, NOW, 3, 0, "unknown", None, None
    )
    assert [(held.type, held.value, held.created_at) for held in customer.identifiers] == [
        ("email", "0@example.com", NOW),
        ("external_id", "0", NOW),
    ]


async def test_who_does_not_exist_is_none(bare: asyncpg.Connection) -> None:
    assert await customers.get(bare, NOBODY) is None
    assert await customers.identities(bare, [NOBODY]) == {}


async def test_a_list_takes_one_statement_and_a_search_two_however_many_there_are(
    bare: asyncpg.Connection,
) -> None:
    async def newest() -> list[Customer]:
        return await customers.newest(bare, 50, Filter("unknown"))

    async def search() -> object:
        return await search_customers(bare, "ada", 50, Filter(), None)

    counts = []
    for start in (0, 20):
        await add(bare, 20, start)
        counts.append((await statements(bare, newest), await statements(bare, search)))
    assert counts == [(1, 2), (1, 2)]
    assert len(await newest()) == 40


async def test_a_page_begins_where_the_last_one_ended(bare: asyncpg.Connection) -> None:
    ids = await add(bare, 5)
    first = await customers.newest(bare, 2)
    second = await customers.newest(bare, 9, before=first[-1].id)
    assert [customer.id for customer in [*first, *second]] == ids[::-1]


@pytest.mark.parametrize("narrow", [Filter(), Filter("unknown"), Filter(tag="vip"), Filter("unknown", "vip")])
async def test_every_page_of_a_large_list_reads_little(bare: asyncpg.Connection, narrow: Filter) -> None:
    """A page from the middle must not read what lies before it: that is what a keyset is for."""
    count = 4000
    ids = [uuid7(1_700_000_000_000 + number) for number in range(count)]
    await customers.create(bare, ids, EMPTY.encode(), NOW)
    await bare.execute("UPDATE customers SET tags = '{vip}'")
    await bare.execute("ANALYZE customers, customer_states")
    seen: list[str] = []
    with bare.query_logger(lambda query: seen.append(query.query)):
        page = await customers.newest(bare, 10, narrow, ids[100])
        await asyncio.sleep(0)  # the logger is called by the loop
    assert [customer.id for customer in page] == ids[99:89:-1]
    values = [10, ids[100], *([narrow.band] if narrow.band else []), *([[narrow.tag]] if narrow.tag else [])]
    plan = await bare.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {seen[0]}", *values)
    read = "\n".join(line[0] for line in plan)
    # A table that was never analysed, here the empty one of identifiers, is planned by guesses.
    assert not re.search(r"Seq Scan on (customers|customer_states)\b", read), read


async def test_a_released_identifier_is_free(bare: asyncpg.Connection) -> None:
    [one, other] = await add(bare, 2)
    email = Identifier("email", "0@example.com", "0@example.com")
    assert await identifiers.count(bare, one) == 2
    await identifiers.release(bare, other, email)  # not theirs: nothing happens
    assert await identifiers.holders(bare, [("email", email.key)]) == {("email", email.key): one}
    await identifiers.release(bare, one, email)
    assert await identifiers.held(bare, one, email) is None
    assert await identifiers.holders(bare, [("email", email.key)]) == {}
    assert await identifiers.claim(bare, [Holding(other, email, other)])


async def test_what_somebody_holds_cannot_be_claimed(bare: asyncpg.Connection) -> None:
    [one, other] = await add(bare, 2)
    taken, free = Identifier("external_id", "0", "0"), Identifier("crm", "1", "1")
    assert not await identifiers.claim(bare, [Holding(other, free, other), Holding(other, taken, other)])
    assert (await identifiers.holders(bare, [("external_id", "0")]))["external_id", "0"] == one


async def test_a_bare_value_finds_its_holders_of_every_type(bare: asyncpg.Connection) -> None:
    [one, other] = await add(bare, 2)
    await identifiers.claim(bare, [Holding(other, Identifier("crm", "0", "0"), other)])
    assert await identifiers.holders_of_values(bare, ["0"]) == {
        ("external_id", "0"): one,
        ("crm", "0"): other,
    }
