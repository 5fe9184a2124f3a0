"""Agents who work on complaints, and a look behind the service's back."""

from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from app.settings import Settings
from app.storage.database import connect_arguments
from tests.api.conftest import ADMIN_KEY, Service

SECRET = "k1:" + "s" * 32


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        admin_key=SecretStr(ADMIN_KEY),
        pool_size=4,
        sweep_seconds=0,
        link_secrets=SecretStr(SECRET),
    )


@pytest.fixture
async def agent(service: Service) -> httpx.AsyncClient:
    """A support tool."""
    return await service.client(await service.key("support", source="helpdesk"))


@pytest.fixture
async def owner(owner_url: str) -> Any:
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    yield connection
    await connection.close()
