import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.main import create_app
from app.settings import Settings
from app.storage.database import sqlalchemy_url
from tests.api.conftest import ADMIN_KEY, Service
from tests.api.test_problems import problem


@pytest.fixture
async def without_database() -> AsyncIterator[httpx.AsyncClient]:
    """A service whose database does not answer."""
    app = create_app(
        Settings(database_url="postgresql://nobody@127.0.0.1:9/none", admin_key=SecretStr(ADMIN_KEY))
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://rapport.test"
    ) as client:
        yield client


def test_a_service_without_a_database_url_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAPPORT_DATABASE_URL", raising=False)
    with pytest.raises(ValueError, match="rapport serve"):
        create_app(Settings())


async def test_a_process_is_alive_without_its_database(without_database: httpx.AsyncClient) -> None:
    answer = await without_database.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_it_is_ready_when_the_database_answers_with_the_right_schema(
    stranger: httpx.AsyncClient,
) -> None:
    answer = await stranger.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"


async def test_it_is_not_ready_without_a_database(without_database: httpx.AsyncClient) -> None:
    answer = await without_database.get("/readyz")
    problem(answer, 503, "not_ready_database")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = 'older'",
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
    ],
)
async def test_it_is_not_ready_with_another_schema(
    stranger: httpx.AsyncClient, owner_url: str, change: str
) -> None:
    owner = create_async_engine(sqlalchemy_url(owner_url))
    async with owner.begin() as connection:
        await connection.execute(text(change))
    await owner.dispose()
    problem(await stranger.get("/readyz"), 503, "not_ready_migrations")


async def test_a_scraper_on_the_same_host_needs_no_key(service: Service) -> None:
    for address in ("127.0.0.1", "::1"):
        local = await service.client(client=(address, 4711))
        assert (await local.get("/metrics")).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_a_proxy_on_the_same_host_does_not_open_the_metrics_to_everybody(
    service: Service, header: str
) -> None:
    proxy = await service.client(client=("127.0.0.1", 4711))
    problem(await proxy.get("/metrics", headers={header: "203.0.113.7"}), 401, "key_missing")


async def test_a_scraper_elsewhere_needs_insights(service: Service, stranger: httpx.AsyncClient) -> None:
    problem(await stranger.get("/metrics"), 401, "key_missing")
    storefront = await service.client(await service.key("storefront"))
    problem(await storefront.get("/metrics"), 403, "scope_missing")
    support = await service.client(await service.key("support"))
    assert (await support.get("/metrics")).status_code == 200


async def test_metrics_count_requests_by_template_and_say_how_the_pool_is(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await admin.delete("/v1/keys/ada@example.com")
    await admin.request("BREW", "/v1/keys")
    await admin.get("/nothing/ada@example.com")
    service.app.state.metrics.touchpoint("purchase", "stored", 2)
    shown = await admin.get("/metrics")
    assert shown.headers["content-type"].startswith("text/plain")
    for _ in range(100):  # what a start reads beside the first requests has its connection for a moment
        if 'database_hot_connections{state="in_use"} 0.0' in shown.text:
            break
        await asyncio.sleep(0.05)
        shown = await admin.get("/metrics")
    lines = shown.text.splitlines()
    assert 'http_requests_total{method="DELETE",route="/v1/keys/{key_id}",status="4xx"} 1.0' in lines
    assert 'http_requests_total{method="other",route="/v1/keys",status="4xx"} 1.0' in lines
    assert 'http_requests_total{method="GET",route="unmatched",status="4xx"} 1.0' in lines
    assert 'http_request_seconds_count{method="DELETE",route="/v1/keys/{key_id}"} 1.0' in lines
    assert 'touchpoints_total{kind="purchase",result="stored"} 2.0' in lines
    assert 'database_connections{state="in_use"} 0.0' in lines
    assert 'database_hot_connections{state="in_use"} 0.0' in lines
    assert 'lane_waiting{lane="0"} 0.0' in lines
    assert 'spending_waiting{what="holds"} 0.0' in lines
    assert "ada" not in shown.text


async def test_two_applications_in_one_process_count_apart(settings: Settings) -> None:
    first, second = create_app(settings), create_app(settings)
    first.state.metrics.touchpoint("purchase", "stored")
    assert b'kind="purchase"' in first.state.metrics.render()
    assert b'kind="purchase"' not in second.state.metrics.render()


async def test_the_service_recovers_when_the_database_comes_back(
    service: Service, stranger: httpx.AsyncClient
) -> None:
    async with service.app.state.database.reading() as session:
        await session.execute(text("SELECT 1"))
    async with service.app.state.database.transaction() as session:
        others = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        await session.execute(others)
    assert (await stranger.get("/readyz")).status_code == 200


async def test_the_databases_url_may_say_how_to_encrypt(settings: Settings) -> None:
    url = make_url(str(settings.database_url)).update_query_dict({"sslmode": "disable"})
    app = create_app(settings.model_copy(update={"database_url": url.render_as_string(hide_password=False)}))
    async with app.router.lifespan_context(app):
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://rapport.test")
        assert (await client.get("/readyz")).status_code == 200
        await client.aclose()
