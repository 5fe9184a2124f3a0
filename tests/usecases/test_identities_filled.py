"""The memory of identifiers after a start: whoever fits is known without a look-up, and nobody who should not be."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from app.domain.identifiers import parse_body_reference
from app.domain.recording import Recorded
from app.storage import identifiers
from app.storage.database import Database
from app.usecases.identities import Found, Identities
from app.usecases.lanes import Lanes
from app.usecases.post_touchpoints import post_touchpoints
from tests.usecases.posts import NOW, post

SHOPPERS = 12


def fresh(store: Database, remembered: int = 100) -> Identities:
    return Identities(store, remembered=remembered, queue_limit=10, group_limit=10)


def known(identities: Identities, customer: Any) -> Found | None:
    return identities.hinted(parse_body_reference(customer))


@pytest.fixture
async def shoppers(identities: Identities, lanes: Lanes) -> list[UUID]:
    """The oldest customer first, each with two identifiers."""
    found = []
    for number in range(SHOPPERS):
        names = {"external_id": str(number), "email": f"{number}@example.com"}
        now = datetime.fromtimestamp(NOW.timestamp() + number, NOW.tzinfo)
        (posted,) = await post_touchpoints(
            identities, lanes, [post("1", names)], now, may_add_identifiers=True
        )
        assert isinstance(posted, Recorded)
        found.append(posted.customer_id)
    return found


@pytest.mark.parametrize("page", [1, 5, SHOPPERS, 100])
async def test_whoever_fits_is_known_from_the_start(store: Database, shoppers: list[UUID], page: int) -> None:
    started = fresh(store)
    assert await started.fill(page) == 2 * SHOPPERS
    for number, customer_id in enumerate(shoppers):
        for name in (f"external_id:{number}", f"email:{number}@example.com"):
            assert known(started, name) == Found(customer_id, 0)


async def test_the_newest_are_known_where_not_all_fit(store: Database, shoppers: list[UUID]) -> None:
    started = fresh(store, remembered=6)
    assert await started.fill(page=2) == 6
    remembered = [n for n in range(SHOPPERS) if known(started, {"external_id": str(n)}) is not None]
    assert remembered == [SHOPPERS - 3, SHOPPERS - 2, SHOPPERS - 1]
    assert known(started, "external_id:11") == Found(shoppers[11], 0)


async def test_what_was_learned_meanwhile_stays(store: Database, shoppers: list[UUID]) -> None:
    started = fresh(store)
    started.remember(parse_body_reference("external_id:3"), shoppers[4], 7)
    assert await started.fill() == 2 * SHOPPERS - 1
    assert known(started, "external_id:3") == Found(shoppers[4], 7)


async def test_the_merged_the_erased_and_what_came_with_an_alias_are_looked_up(
    store: Database, shoppers: list[UUID]
) -> None:
    merged, erased, survivor = shoppers[:3]
    async with store.hot_reading() as connection:
        await connection.execute(
            "UPDATE customer_states SET merged_into = $2 WHERE customer_id = $1", merged, survivor
        )
        await connection.execute(
            "UPDATE customer_states SET erased_at = $2 WHERE customer_id = $1", erased, NOW
        )
        await connection.execute(
            "UPDATE customer_identifiers SET origin_customer_id = $2 WHERE customer_id = $1 AND type = 'email'",
            survivor,
            merged,
        )
    started = fresh(store)
    assert await started.fill() == 2 * (SHOPPERS - 2) - 1
    for name in ("external_id:0", "external_id:1", "email:2@example.com"):
        assert known(started, name) is None
    assert known(started, "external_id:2") == Found(survivor, 0)


async def test_who_is_forgotten_while_memory_is_filled_stays_forgotten(
    store: Database, shoppers: list[UUID]
) -> None:
    """The page that names them was read before."""

    class _Late(Identities):
        async def fill(self, page: int = 1) -> int:
            filling = asyncio.create_task(super().fill(page))
            await asyncio.sleep(0)
            self.forget_customers([shoppers[5]])
            return await filling

    started = _Late(store, remembered=100, queue_limit=10, group_limit=10)
    assert await started.fill() == 2 * (SHOPPERS - 1)
    assert known(started, "external_id:5") is None
    # And only then: whoever comes back is remembered again.
    started.remember(parse_body_reference("external_id:5"), shoppers[5], 0)
    assert known(started, "external_id:5") == Found(shoppers[5], 0)


async def test_customers_without_identifiers_end_no_page(store: Database, shoppers: list[UUID]) -> None:
    async with store.hot_reading() as connection:
        for nameless in shoppers[4:8]:
            await connection.execute("DELETE FROM customer_identifiers WHERE customer_id = $1", nameless)
        found, before = await identifiers.newest(connection, shoppers[8], 2)
    assert (found, before) == ([], shoppers[6])
    assert await fresh(store).fill(page=2) == 2 * (SHOPPERS - 4)
