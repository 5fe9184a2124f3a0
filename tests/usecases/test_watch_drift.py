"""The daily look at the active model: what it finds, that only one looks, and that nobody is published by it."""

import asyncio
from datetime import timedelta
from random import Random
from typing import Final

import pytest

from app.domain.health import drift
from app.domain.health.model import shipped
from app.storage import models
from app.storage.database import Database
from app.storage.models import SeenDrift
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.models.active_model import ActiveModel
from app.usecases.models.watch_drift import EVERY, GIVEN_UP, keep_watching_drift, watch_drift
from app.usecases.post_touchpoints import post_touchpoints
from tests.usecases.posts import NOW, post

MODEL: Final = shipped()
CUSTOMERS: Final = 60


@pytest.fixture
async def shop(identities: Identities, lanes: Lanes) -> None:
    """Customers who bought often until the window opened, and every second one once in it."""
    random = Random(3)
    posts = []
    for number in range(CUSTOMERS):
        customer = {"external_id": str(number)}
        for index in range(6):
            days = 95 + random.uniform(0, 60)
            posts.append(post(f"a{number}-{index}", customer, days_ago=days, told=False))
        if number % 2:
            posts.append(post(f"b{number}", customer, days_ago=30, told=False))
    posts.append(post("fresh", {"external_id": "fresh"}, days_ago=3, told=False))
    answers = await post_touchpoints(identities, lanes, posts, NOW, may_add_identifiers=True)
    assert not [answer for answer in answers if isinstance(answer, BaseException)]


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "ENOUGH_CUSTOMERS", 20)


async def looked(store: Database, **how: int) -> SeenDrift | None:
    return await watch_drift(store, MODEL, NOW, idle_share=0, **how)


@pytest.mark.usefixtures("shop", "few_are_enough")
async def test_what_happened_is_held_against_what_was_predicted(store: Database) -> None:
    seen = await looked(store)
    assert seen is not None
    assert (seen.drift.customers, seen.drift.bought) == (CUSTOMERS, CUSTOMERS // 2)
    assert seen.opened_at == NOW - timedelta(days=MODEL.horizon_days)
    assert seen.drift.ece is not None
    assert 0 < seen.drift.ece < 1
    # Everybody has been silent, or bought once since: scores lie elsewhere.
    assert seen.drift.psi is not None
    assert seen.drift.psi > drift.PSI_LIMIT
    async with store.hot_reading() as connection:
        stored = await models.find(connection, MODEL.version)
        statuses = await connection.fetch("SELECT status FROM scoring_models")
    assert stored is not None
    assert stored.drift == seen
    assert [row[0] for row in statuses] == ["active"]


@pytest.mark.usefixtures("shop")
async def test_a_small_shop_is_told_nothing(store: Database) -> None:
    seen = await looked(store)
    assert seen is not None
    assert (seen.drift.customers, seen.drift.ece, seen.drift.psi) == (CUSTOMERS, None, None)


@pytest.mark.usefixtures("shop")
async def test_one_looks_a_day_and_who_was_killed_is_followed(store: Database) -> None:
    both = await asyncio.gather(looked(store), looked(store))
    assert sorted(seen is None for seen in both) == [False, True]
    assert await looked(store) is None
    tomorrow = NOW + EVERY
    async with store.hot_transaction() as connection:
        assert await models.claim_drift(
            connection, MODEL.version, tomorrow, tomorrow - EVERY, tomorrow - GIVEN_UP
        )
    # Somebody looks, or was killed while looking.
    assert await watch_drift(store, MODEL, tomorrow + timedelta(minutes=1), idle_share=0) is None
    assert await watch_drift(store, MODEL, tomorrow + GIVEN_UP, idle_share=0) is not None


@pytest.mark.usefixtures("shop")
async def test_a_large_shop_is_looked_at_in_a_sample(store: Database) -> None:
    seen = await looked(store, most_customers=20)
    assert seen is not None
    assert 0 < seen.drift.customers < CUSTOMERS


@pytest.mark.usefixtures("shop")
async def test_a_state_that_cannot_be_read_is_left_out(store: Database) -> None:
    async with store.hot_transaction() as connection:
        await connection.execute(
            "UPDATE customer_states SET state = 'spoilt' WHERE customer_id = (SELECT min(customer_id::text)::uuid"
            " FROM customer_states)"
        )
    seen = await looked(store)
    assert seen is not None
    assert seen.drift.customers == CUSTOMERS - 1


@pytest.mark.usefixtures("shop")
async def test_a_loop_looks_and_tells_and_another_only_tells(store: Database) -> None:
    told: asyncio.Queue[SeenDrift | None] = asyncio.Queue()
    active = ActiveModel(store)
    telling = asyncio.create_task(keep_watching_drift(store, active, 0.01, told.put_nowait, looks=False))
    assert await asyncio.wait_for(told.get(), 30) is None
    looking = asyncio.create_task(keep_watching_drift(store, active, 0.01))
    async with asyncio.timeout(60):
        while (seen := await told.get()) is None:
            pass
    assert seen.drift.customers
    for task in (telling, looking):
        task.cancel()
    await asyncio.gather(telling, looking, return_exceptions=True)


async def test_an_empty_shop_is_looked_at_without_harm(store: Database) -> None:
    seen = await looked(store)
    assert seen is not None
    assert seen.drift == drift.Drift(0, 0, None, None)
