"""The whole service behind PgBouncer in transaction mode, which gives each transaction whichever session is free."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from app.main import create_app
from app.settings import Settings
from app.storage.database import Database, connect_arguments, is_away
from app.usecases import verify
from tests.api.conftest import ADMIN_KEY, Service
from tests.api.pooler import PGBOUNCER, SESSIONS, pooled

pytestmark = pytest.mark.skipif(
    PGBOUNCER is None, reason="no pgbouncer here; `apt-get install pgbouncer` brings one"
)
CUSTOMERS = 12
EVENTS = 10


@pytest.fixture
def pooler_url(database_url: str) -> Iterator[str]:
    with pooled(database_url) as url:
        yield url


@pytest.fixture
def settings(pooler_url: str) -> Settings:
    return Settings(
        database_url=pooler_url, admin_key=SecretStr(ADMIN_KEY), pool_size=4, pgbouncer=True, lanes=4
    )


def purchase(customer: int, number: int) -> dict[str, Any]:
    return {
        "id": f"evt-{customer}-{number}",
        "customer": {"external_id": f"c{customer}"},
        "kind": "purchase",
        "order_id": f"order-{customer}-{number}",
        "amount_minor": 100,
        "currency": "EUR",
    }


async def live(admin: httpx.AsyncClient, customer: int) -> None:
    """A customer's day: the lanes, both pools, and what a route decides in a transaction of its own."""
    path = f"/v1/customers/external_id:c{customer}"
    for number in range(EVENTS):
        posted = await admin.post("/v1/touchpoints", json=purchase(customer, number))
        assert posted.status_code == 201, posted.text
        noted = await admin.post(f"{path}/notes", json={"text": f"note {number}"})
        assert noted.status_code == 201, noted.text
        context = await admin.get(f"{path}/context")
        assert (context.status_code, len(context.json()["notes"])) == (200, min(number + 1, 5)), context.text
    again = await admin.post("/v1/touchpoints", json=purchase(customer, 0))
    assert (again.status_code, again.json()["duplicate"]) == (200, True)
    answer = {"customer": f"external_id:c{customer}", "kind": "nps", "rating": 9, "source_id": "resp-1"}
    stored = await admin.post("/v1/feedback", json=answer)
    assert stored.status_code == 201, stored.text
    timeline = await admin.get(f"{path}/timeline", params={"kind": "purchase"})
    assert len(timeline.json()["data"]) == EVENTS


async def test_more_clients_than_sessions_lose_and_mix_up_nothing(
    service: Service, admin: httpx.AsyncClient, settings: Settings
) -> None:
    await asyncio.gather(*(live(admin, customer) for customer in range(CUSTOMERS)))
    results = await verify.verify(service.app.state.database)
    assert [(result.check.name, result.differences) for result in results if result.differences] == []
    connection = await asyncpg.connect(
        **connect_arguments(settings.database_url or ""), statement_cache_size=0
    )
    sessions = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    await connection.close()
    assert sessions <= SESSIONS


async def test_nothing_is_left_in_the_sessions_of_the_pooler(
    admin: httpx.AsyncClient, settings: Settings
) -> None:
    await live(admin, 1)
    connection = await asyncpg.connect(
        **connect_arguments(settings.database_url or ""), statement_cache_size=0
    )
    for _ in range(SESSIONS):
        async with connection.transaction():
            assert (
                await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
            )
            assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    await connection.close()


async def test_without_the_setting_the_pooler_refuses_the_service(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"pgbouncer": False}))
    with pytest.raises(asyncpg.PostgresError, match="unsupported startup parameter"):
        async with app.state.database.hot_transaction():
            pass
    await app.state.database.close()


async def test_the_pooler_ends_a_transaction_with_which_nobody_goes_on(pooler_url: str) -> None:
    """The service can ask no server for it there: `idle_transaction_timeout`, as docs/operations.md says."""
    left, ours = (
        Database(
            pooler_url, pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=30, pgbouncer=True
        )
        for _ in range(2)
    )
    locked, served = asyncio.Event(), asyncio.Event()
    lock = "SELECT pg_advisory_xact_lock($1)"

    async def stand_still() -> None:
        async with left.hot_transaction() as held:
            await held.execute(lock, 1)
            locked.set()
            await served.wait()
            await held.execute("SELECT 1")

    standing = asyncio.ensure_future(stand_still())
    try:
        async with asyncio.timeout(60):
            await locked.wait()
        async with ours.hot_transaction() as waiting:
            await waiting.execute(lock, 1)
    finally:
        served.set()
        (ended,) = await asyncio.gather(standing, return_exceptions=True)
    assert isinstance(ended, Exception)
    assert is_away(ended)
    await left.close()
    await ours.close()
