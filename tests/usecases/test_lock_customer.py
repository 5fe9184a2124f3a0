import asyncio
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from app.domain.identifiers import Identifier, Reference, parse_body_reference
from app.domain.problems import NotFound
from app.storage.database import Database
from app.storage.states import StateRow
from app.usecases.add_identifier import add_identifier
from app.usecases.lock_customer import lock_customer
from app.usecases.remove_identifier import remove_identifier
from app.usecases.resolve_customers import Resolved, resolve, resolve_customers
from app.usecases.upsert_customer import upsert_customer

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
EMAIL = Identifier("email", "a@example.com", "a@example.com")
BY_EMAIL = Reference(None, (EMAIL,))


async def made(database: Database, **identifiers: str) -> UUID:
    resolution = (await resolve(database, [parse_body_reference(identifiers)], NOW))[0]
    assert isinstance(resolution, Resolved)
    return resolution.customer_id


async def locked_in_a_transaction_of_its_own(database: Database, reference: Reference) -> StateRow:
    async with database.hot_transaction() as connection:
        return await lock_customer(connection, reference)


async def move_email(connection: asyncpg.Connection, giver: UUID, taker: UUID) -> None:
    await remove_identifier(connection, Reference(giver, ()), EMAIL, NOW)
    await add_identifier(connection, Reference(taker, ()), EMAIL, NOW)


async def test_a_writer_who_waited_while_an_identifier_moved_locks_its_new_holder(store: Database) -> None:
    giver, taker = await made(store, crm="1", email="a@example.com"), await made(store, crm="2")
    async with store.hot_transaction() as connection:
        await move_email(connection, giver, taker)
        waiting = asyncio.create_task(locked_in_a_transaction_of_its_own(store, BY_EMAIL))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    assert (await waiting).customer_id == taker


async def test_a_writer_who_waited_while_an_identifier_left_finds_nobody(store: Database) -> None:
    giver = await made(store, crm="1", email="a@example.com")
    async with store.hot_transaction() as connection:
        await remove_identifier(connection, Reference(giver, ()), EMAIL, NOW)
        waiting = asyncio.create_task(locked_in_a_transaction_of_its_own(store, BY_EMAIL))
        await asyncio.sleep(0.1)
    with pytest.raises(NotFound):
        await waiting


async def test_an_upsert_that_waited_while_an_identifier_moved_changes_its_new_holder(
    store: Database,
) -> None:
    giver, taker = await made(store, crm="1", email="a@example.com"), await made(store, crm="2")

    async def rename() -> UUID:
        async with store.hot_transaction() as connection:
            customer, created = await upsert_customer(connection, BY_EMAIL, {"name": "Ada"}, NOW)
            assert not created
            return customer.id

    async with store.hot_transaction() as connection:
        await move_email(connection, giver, taker)
        waiting = asyncio.create_task(rename())
        await asyncio.sleep(0.1)
    assert await waiting == taker


async def test_a_removed_identifier_raises_the_identity_revision_and_an_added_one_does_not(
    store: Database,
) -> None:
    ada = await made(store, crm="1", email="a@example.com")
    async with store.hot_transaction() as connection:
        assert (await lock_customer(connection, BY_EMAIL)).identity_revision == 0
        await remove_identifier(connection, Reference(ada, ()), EMAIL, NOW)
        assert (await lock_customer(connection, Reference(ada, ()))).identity_revision == 1
        assert await add_identifier(connection, Reference(ada, ()), EMAIL, NOW)
        resolution = (await resolve_customers(connection, [BY_EMAIL], NOW))[0]
    assert resolution == Resolved(ada, 1, created=False)
