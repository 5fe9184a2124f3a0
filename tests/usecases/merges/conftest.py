import pytest

from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from tests.usecases.merges.shop import Shop


@pytest.fixture
def shop(store: Database, identities: Identities, lanes: Lanes) -> Shop:
    return Shop(store, identities, lanes)
