"""The club of the tests, on a database of its own."""

import pytest

from app.storage.database import Database
from tests.usecases.loyalty.clubs import Club


@pytest.fixture
def club(store: Database) -> Club:
    return Club(store)
