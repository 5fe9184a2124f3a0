"""A database for each test, and the write path on it as the service wires it."""

from collections.abc import AsyncIterator

import pytest

from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.models.active_model import ActiveModel


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=4, hot_size=8, wait_seconds=5, statement_timeout_seconds=10)
    yield database
    await database.close()


@pytest.fixture
async def lanes(store: Database) -> AsyncIterator[Lanes]:
    lanes = Lanes(store, ActiveModel(store), lanes=2, queue_limit=4096, group_limit=500)
    lanes.start()
    yield lanes
    await lanes.drain()


@pytest.fixture
async def identities(store: Database) -> AsyncIterator[Identities]:
    identities = Identities(store, remembered=1000, queue_limit=4096, group_limit=500)
    identities.start()
    yield identities
    await identities.drain()
