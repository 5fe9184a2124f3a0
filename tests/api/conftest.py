"""The whole service over a database of its own: real connections, real commits, no socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from app.domain import keys
from app.main import create_app
from app.settings import Settings
from app.usecases.create_key import create_key

# The same in every process: parametrised tests hold it in their names.
_BODY = keys.SECRET_PREFIX + "t" * 32
ADMIN_KEY = _BODY + keys._checksum(_BODY)


@dataclass(frozen=True)
class Service:
    """A running application, and clients of it."""

    app: FastAPI
    stack: AsyncExitStack

    async def client(
        self, key: str | None = None, client: tuple[str, int] = ("203.0.113.7", 4711)
    ) -> httpx.AsyncClient:
        """A client that sends this key with everything; by default from another host."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(self.app, client=client)
        made = httpx.AsyncClient(transport=transport, base_url="http://rapport.test", headers=headers)
        return await self.stack.enter_async_context(made)

    async def key(
        self,
        preset: str = "admin",
        *,
        scopes: Iterable[str] | None = None,
        origins: Iterable[str] = (),
        source: str = "shop-test",
        expires_at: datetime | None = None,
        networks: Iterable[str] = (),
        rate_per_minute: int | None = None,
    ) -> str:
        """A new key in the database."""
        now = datetime.now(UTC)
        grant = keys.grant(
            preset=preset,
            source=source,
            scopes=scopes,
            origins=origins,
            expires_at=expires_at,
            now=now,
            networks=networks,
            rate_per_minute=rate_per_minute,
        )
        async with self.app.state.database.transaction() as session:
            return (await create_key(session, grant, now, by="test"))[1]


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, admin_key=SecretStr(ADMIN_KEY), pool_size=4)


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    app = create_app(settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield Service(app, stack)


@pytest.fixture
async def stranger(service: Service) -> httpx.AsyncClient:
    """Somebody without a key."""
    return await service.client()


@pytest.fixture
async def admin(service: Service) -> httpx.AsyncClient:
    """Somebody with the admin key of the settings."""
    return await service.client(ADMIN_KEY)


@pytest.fixture
async def site(service: Service) -> AsyncIterator[str]:
    """The address of the service on a real socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(service.app, log_config=None, access_log=False, lifespan="off", ws="none")
    )
    serving = asyncio.create_task(server.serve([listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving
    listener.close()
