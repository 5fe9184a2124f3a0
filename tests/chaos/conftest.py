"""The server that the short storms share: each has a database of its own on it."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos import postgres
from tests.chaos.postgres import Postgres


@pytest.fixture(scope="session")
async def server() -> AsyncIterator[Postgres]:
    # Short, because a socket lives in it.
    with tempfile.TemporaryDirectory(prefix="chaos-") as home:
        async with postgres.running(Path(home)) as running:
            yield running
