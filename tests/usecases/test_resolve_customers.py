import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identifiers import Reference, parse_body_reference
from app.domain.problems import Problem
from app.storage.database import Database, driver
from app.usecases.resolve_customers import Raced, Resolution, Resolved, resolve, resolve_customers

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.fixture
async def bare(session: AsyncSession) -> asyncpg.Connection:
    return await driver(session)


@pytest.fixture
async def database_of_its_own(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, pool_size=2, hot_size=20, wait_seconds=20, statement_timeout_seconds=20)
    yield opened
    await opened.close()


def named(**identifiers: str) -> Reference:
    return parse_body_reference(identifiers)


def by_id(customer_id: UUID) -> Reference:
    return Reference(customer_id, ())


async def one(
    connection: asyncpg.Connection,
    reference: Reference,
    *,
    may_add_identifiers: bool = True,
    may_create: bool = True,
) -> Resolution:
    (resolution,) = await resolve_customers(
        connection, [reference], NOW, may_add_identifiers=may_add_identifiers, may_create=may_create
    )
    return resolution


async def made(connection: asyncpg.Connection, **identifiers: str) -> Resolved:
    resolution = await one(connection, named(**identifiers))
    assert isinstance(resolution, Resolved)
    assert resolution.created
    return resolution


def refused(resolution: Resolution) -> tuple[str, dict[str, Any]]:
    assert isinstance(resolution, Problem)
    return resolution.code, resolution.members


async def counts(connection: asyncpg.Connection) -> tuple[int, ...]:
    tables = ("customers", "customer_states", "identifier_claims", "customer_identifiers")
    return tuple([await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables])  # noqa: S608 - names above


async def test_none_matching_creates_the_customer_with_all_its_identifiers(bare: asyncpg.Connection) -> None:
    ada = await made(bare, external_id="42", email="Ada@example.com")
    assert await one(bare, named(email="ADA@EXAMPLE.COM")) == Resolved(ada.customer_id, 0, created=False)
    assert await one(bare, by_id(ada.customer_id)) == Resolved(ada.customer_id, 0, created=False)
    assert await counts(bare) == (1, 1, 2, 2)


async def test_any_that_matches_finds_the_customer_and_unknown_ones_are_added(
    bare: asyncpg.Connection,
) -> None:
    ada = await made(bare, external_id="42")
    assert await one(bare, named(external_id="42", email="ada@example.com")) == Resolved(
        ada.customer_id, 0, created=False
    )
    assert await one(bare, named(email="ada@example.com")) == Resolved(ada.customer_id, 0, created=False)
    assert await bare.fetchval("SELECT revision FROM customers WHERE id = $1", ada.customer_id) == 2


async def test_two_identifiers_of_two_customers_are_a_conflict_that_names_both(
    bare: asyncpg.Connection,
) -> None:
    ada, bob = await made(bare, external_id="1"), await made(bare, email="bob@example.com")
    before = await counts(bare)
    resolution = await one(bare, named(external_id="1", email="bob@example.com", crm="new"))
    both = sorted([ada.customer_id, bob.customer_id])
    assert refused(resolution) == ("identity_conflict", {"customers": [str(each) for each in both]})
    assert await counts(bare) == before


async def test_an_untrusted_caller_does_not_learn_whom_it_confused(bare: asyncpg.Connection) -> None:
    await made(bare, external_id="1")
    await made(bare, email="bob@example.com")
    resolution = await one(bare, named(external_id="1", email="bob@example.com"), may_add_identifiers=False)
    assert refused(resolution) == ("identity_conflict", {})


async def test_an_untrusted_caller_may_create_a_customer_and_not_extend_one(bare: asyncpg.Connection) -> None:
    created = await one(bare, named(external_id="1", email="a@example.com"), may_add_identifiers=False)
    assert isinstance(created, Resolved)
    again = await one(bare, named(external_id="1", email="a@example.com"), may_add_identifiers=False)
    assert again == Resolved(created.customer_id, 0, created=False)
    more = await one(bare, named(external_id="1", email="b@example.com"), may_add_identifiers=False)
    assert refused(more)[0] == "identifier_not_allowed"
    assert await counts(bare) == (1, 1, 2, 2)


async def test_nobody_is_created_for_a_uuid_or_where_creating_is_not_allowed(
    bare: asyncpg.Connection,
) -> None:
    assert refused(await one(bare, by_id(uuid4())))[0] == "customer_not_found"
    assert refused(await one(bare, named(external_id="1"), may_create=False))[0] == "customer_not_found"
    assert await counts(bare) == (0, 0, 0, 0)


async def test_a_merged_customer_leads_to_the_survivor(bare: asyncpg.Connection) -> None:
    alias, survivor = await made(bare, external_id="1"), await made(bare, external_id="2")
    await bare.execute(
        "UPDATE customer_states SET merged_into = $2 WHERE customer_id = $1",
        alias.customer_id,
        survivor.customer_id,
    )
    expected = Resolved(survivor.customer_id, 0, created=False, named_as=alias.customer_id)
    assert await one(bare, by_id(alias.customer_id)) == expected
    assert await one(bare, named(external_id="1")) == expected
    assert await one(bare, named(external_id="1", email="new@example.com")) == expected
    assert await one(bare, named(external_id="1", crm="newer", email="new@example.com")) == expected
    assert await bare.fetch(
        "SELECT DISTINCT customer_id FROM identifier_claims WHERE type <> 'external_id'"
    ) == [(alias.customer_id,)]
    # Two names of what is one customer by now are no conflict.
    resolution = await one(bare, named(external_id="1", email="new@example.com"))
    assert resolution == expected


async def test_an_erased_customer_is_a_conflict(bare: asyncpg.Connection) -> None:
    gone = await made(bare, external_id="1")
    await bare.execute(
        "UPDATE customer_states SET erased_at = $2 WHERE customer_id = $1", gone.customer_id, NOW
    )
    assert refused(await one(bare, by_id(gone.customer_id)))[0] == "erased"
    assert refused(await one(bare, named(external_id="1", email="a@example.com")))[0] == "erased"


async def test_a_list_is_resolved_as_if_one_by_one(bare: asyncpg.Connection) -> None:
    references = [
        named(external_id="1"),
        named(external_id="1", email="a@example.com"),
        named(email="a@example.com"),
        named(external_id="2"),
        named(external_id="2", email="a@example.com"),
        named(crm="x", phone="+4915112345678"),
        named(phone="+4915112345678", external_id="2"),
        named(crm="x"),
    ]
    together = await resolve_customers(bare, references, NOW)
    ids = [each.customer_id if isinstance(each, Resolved) else each.code for each in together]
    first, _, _, second, _, third, _, _ = ids
    assert ids == [first, first, first, second, "identity_conflict", third, "identity_conflict", third]
    assert [isinstance(each, Resolved) and each.created for each in together] == [
        True, False, False, True, False, True, False, False,
    ]  # fmt: skip
    assert await counts(bare) == (3, 3, 5, 5)


async def test_random_lists_come_to_the_same_as_one_by_one(bare: asyncpg.Connection) -> None:
    random_ = random.Random(7)

    def reference() -> Reference:
        kinds = random_.sample(("external_id", "crm", "email"), random_.choice((1, 1, 2, 3)))
        return named(**{kind: str(random_.randrange(12)) for kind in kinds})

    def normal(resolutions: list[Resolution], seen: dict[UUID, int]) -> list[tuple[object, ...]]:
        return [
            (seen.setdefault(each.customer_id, len(seen)), each.created)
            if isinstance(each, Resolved)
            else (each.code, *sorted(seen[UUID(one)] for one in each.members["customers"]))
            for each in resolutions
        ]

    for _ in range(20):
        references = [reference() for _ in range(30)]
        trials = []
        for step in (1, len(references), 7):
            transaction = bare.transaction()
            await transaction.start()
            resolutions: list[Resolution] = []
            for start in range(0, len(references), step):
                resolutions += await resolve_customers(bare, references[start : start + step], NOW)
            claims = await bare.fetch("SELECT type, value_key, customer_id FROM identifier_claims")
            seen: dict[UUID, int] = {}
            trials.append((normal(resolutions, seen), {(a, b): seen[c] for a, b, c in claims}))
            assert await bare.fetchval(
                "SELECT count(*) FROM identifier_claims JOIN customer_identifiers USING (type, value_key, customer_id)"
            ) == len(claims)
            await transaction.rollback()
        assert trials[0] == trials[1] == trials[2]


async def test_the_number_of_statements_does_not_grow_with_the_list(bare: asyncpg.Connection) -> None:
    async def statements(count: int, offset: int) -> int:
        seen: list[str] = []
        with bare.query_logger(lambda query: seen.append(query.query)):
            known = [named(external_id=str(offset + n)) for n in range(count)]
            await resolve_customers(bare, known, NOW)
            more = [
                named(external_id=str(offset + n), email=f"{offset + n}@example.com") for n in range(count)
            ]
            await resolve_customers(bare, [*more, *[named(crm=str(offset + n)) for n in range(count)]], NOW)
            await asyncio.sleep(0)  # the logger is called by the loop
        return len(seen)

    few = await statements(3, 0)
    # Creating: who holds what, then claims, customers, states, identifiers. With known ones among them also who they
    # are, how many names they have, the lock and their revision.
    assert await statements(1250, 10) == few == 5 + 9


async def test_a_lost_claim_is_raced(database_of_its_own: Database) -> None:
    pool = await database_of_its_own.hot()
    async with pool.acquire() as ours, pool.acquire() as theirs:
        async with theirs.transaction():
            await resolve_customers(theirs, [named(external_id="1", email="a@example.com")], NOW)

            async def claim() -> None:
                async with ours.transaction():
                    await resolve_customers(ours, [named(external_id="1")], NOW)

            waiting = asyncio.create_task(claim())
            await asyncio.sleep(0.1)
            assert not waiting.done()
        with pytest.raises(Raced):
            await waiting
        assert await counts(ours) == (1, 1, 2, 2)


async def test_a_customer_who_changed_while_waiting_for_the_lock_is_raced(
    database_of_its_own: Database,
) -> None:
    pool = await database_of_its_own.hot()
    async with pool.acquire() as ours, pool.acquire() as theirs:
        await made(theirs, external_id="1")
        async with theirs.transaction():
            await theirs.execute("UPDATE customer_states SET identity_revision = identity_revision + 1")

            async def extend() -> None:
                async with ours.transaction():
                    await resolve_customers(ours, [named(external_id="1", email="a@example.com")], NOW)

            waiting = asyncio.create_task(extend())
            await asyncio.sleep(0.1)
        with pytest.raises(Raced):
            await waiting
        assert await counts(ours) == (1, 1, 1, 1)


async def test_what_is_known_is_resolved_without_a_transaction(database_of_its_own: Database) -> None:
    created = await resolve(database_of_its_own, [named(external_id="1")], NOW)
    known = await resolve(database_of_its_own, [named(external_id="1")], NOW)
    assert isinstance(created[0], Resolved)
    assert known == [Resolved(created[0].customer_id, 0, created=False)]
    async with database_of_its_own.hot_reading() as connection:
        assert await connection.fetchval("SELECT xmin::text FROM customers") == await connection.fetchval(
            "SELECT xmin::text FROM identifier_claims"
        )


async def test_sixteen_writers_of_overlapping_lists_agree(database_of_its_own: Database) -> None:
    people = [{"external_id": str(n), "email": f"person{n}@example.com"} for n in range(200)]
    random_ = random.Random(1)

    def lists() -> list[Reference]:
        chosen = random_.sample(people, 120)
        # Each list knows people by different subsets of their names, so that some create and others extend.
        return [
            named(**dict(random_.sample(sorted(one.items()), 2 if random_.random() < 0.7 else 1)))
            for one in chosen
        ]

    for round_ in range(3):
        requests = [lists() for _ in range(16)]
        answers = await asyncio.gather(*[resolve(database_of_its_own, request, NOW) for request in requests])
        async with database_of_its_own.hot_reading() as connection:
            claims = {
                (row["type"], row["value_key"]): row["customer_id"]
                for row in await connection.fetch("SELECT * FROM identifier_claims")
            }
            unnamed = await connection.fetchval(
                "SELECT count(*) FROM customers WHERE id NOT IN (SELECT customer_id FROM identifier_claims)"
            )
            stateless = await connection.fetchval(
                "SELECT count(*) FROM customers WHERE id NOT IN (SELECT customer_id FROM customer_states)"
            )
            unmatched = await connection.fetchval(
                """
                SELECT count(*)
                FROM identifier_claims FULL JOIN customer_identifiers USING (type, value_key, customer_id)
                WHERE identifier_claims.customer_id IS NULL OR customer_identifiers.customer_id IS NULL
                """
            )
            deadlocks = await connection.fetchval(
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            )
        assert (unnamed, stateless, unmatched, deadlocks) == (0, 0, 0, 0), round_
        for request, answer in zip(requests, answers, strict=True):
            for reference, resolution in zip(request, answer, strict=True):
                if isinstance(resolution, Resolved):
                    assert {claims[name.type, name.key] for name in reference.identifiers} == {
                        resolution.customer_id
                    }
                else:
                    assert resolution.code == "identity_conflict"
