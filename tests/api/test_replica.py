"""What is read from the replica, and that nothing else is. The replica here has stood still since the beginning."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.api.conftest import ADMIN_KEY, Service
from tests.api.test_auth import filled
from tests.api.test_problems import problem
from tests.conftest import DatabaseServer

NOWHERE = "postgresql://nobody@127.0.0.1:9/none"
ADA = "external_id:ada"
# With the query that each needs to be answered.
READ_THERE = {
    "/v1/customers": "",
    "/v1/touchpoints": "",
    "/v1/feedback/summary": "?kind=nps",
    "/v1/loyalty/liability": "?program=main",
}


@asynccontextmanager
async def reading_from(settings: Settings, url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings.model_copy(update={"read_url": url}))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield await Service(app, stack).client(ADMIN_KEY, client=("127.0.0.1", 4711))


@pytest.fixture
def old_copy(database_server: DatabaseServer, template_database: str) -> Iterator[str]:
    """A database that knows nobody."""
    with database_server.database(template_database) as name:
        yield database_server.app_url(name)


@pytest.fixture
async def behind(settings: Settings, old_copy: str) -> AsyncIterator[httpx.AsyncClient]:
    async with reading_from(settings, old_copy) as client:
        yield client


@pytest.fixture
async def alone(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A service whose replica is away."""
    async with reading_from(settings, NOWHERE) as client:
        yield client


async def test_figures_and_shop_wide_lists_are_read_there_and_the_customer_is_not(
    behind: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    posted = await behind.post("/v1/feedback", json={"customer": ADA, "kind": "nps", "rating": 9})
    assert posted.status_code == 201
    for path in ("/v1/customers", "/v1/touchpoints"):
        assert len((await admin.get(path)).json()["data"]) == 1
        assert (await behind.get(path)).json()["data"] == []
    summary = "/v1/feedback/summary?kind=nps"
    assert ((await admin.get(summary)).json()["n"], (await behind.get(summary)).json()["n"]) == (1, 0)
    for path in ("", "/timeline", "/health", "/context", "/export"):
        assert (await behind.get(f"/v1/customers/{ADA}{path}")).status_code == 200, path
    assert len((await behind.get("/v1/feedback")).json()["data"]) == 1


async def test_a_preview_finds_the_model_at_home_and_the_customers_there(
    behind: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await behind.post("/v1/touchpoints", json={"customer": ADA, "kind": "visit"})
    proposed = {"version": "2", "parameters": {"w_contact": 0.6}}
    assert (await behind.post("/v1/scoring-models", json=proposed)).status_code == 201
    preview = "/v1/scoring-models/2/preview"
    assert (await behind.post(preview)).json()["customers"] == 0
    assert (await admin.post(preview)).json()["customers"] == 1
    # It is written at home, where the replica would refuse it.
    assert (await behind.post("/v1/scoring-models/2/backtest")).is_success


async def test_without_the_replica_just_its_routes_ask_for_patience(alone: httpx.AsyncClient) -> None:
    assert (await alone.post("/v1/touchpoints", json={"customer": ADA, "kind": "visit"})).status_code == 201
    club = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "UTC"}
    assert (await alone.post("/v1/loyalty/programs", json=club)).status_code == 201
    document = (await alone.get("/openapi.json")).json()["paths"]
    reads = [path for path, methods in document.items() if "get" in methods]
    assert len(reads) > 40
    for path in reads:
        answer = await alone.get(filled(path) + READ_THERE.get(path, ""))
        if path in READ_THERE:
            problem(answer, 503, "database_unavailable")
            assert answer.headers["retry-after"] == "1"
        else:
            assert answer.status_code != 503, path


async def test_a_service_is_ready_without_its_replica_and_tells_so(
    alone: httpx.AsyncClient, behind: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    told = {"status": "away", "lag_seconds": None}
    answer = await alone.get("/readyz")
    assert (answer.status_code, answer.json()["replica"]) == (200, told)
    assert (await behind.get("/readyz")).json()["replica"] == {"status": "ok", "lag_seconds": None}
    assert (await admin.get("/readyz")).json()["replica"] is None


async def test_its_connections_are_counted_apart(behind: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    await behind.get("/v1/customers")
    assert 'replica_connections{state="idle"} 1.0' in (await behind.get("/metrics")).text
    assert "replica_connections" not in (await admin.get("/metrics")).text
