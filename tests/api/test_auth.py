"""Every route refuses whoever may not use it, before it looks at anything else."""

import asyncio
import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import event, text

from app.domain import keys
from app.main import create_app
from app.settings import Settings
from app.usecases.keyring import Keyring
from tests.api.conftest import ADMIN_KEY, Service

PUBLIC = {"/healthz", "/readyz", "/metrics", "/s/{token}/complaint"}
UNDOCUMENTED = {
    "/docs",
    "/docs/start.js",
    "/docs/static/{name}",
    "/openapi.json",
    "/redoc",
    "/s/{token}",
    "/s/{token}/unsubscribe",
}


def operations(service: Service) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and document of every operation."""
    for path, methods in service.app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "0193a5c2-0000-7000-8000-000000000000", path)


async def call(client: httpx.AsyncClient, method: str, path: str, key: str | None = None) -> httpx.Response:
    """A request whose body is broken: whoever looks at it before the key answers 400."""
    headers = {"Content-Type": "application/json"} | ({} if key is None else {"X-API-Key": key})
    return await client.request(method, filled(path), content=b"{", headers=headers)


async def test_every_route_is_documented_or_known_to_be_public(service: Service) -> None:
    documented = {path for _, path, _ in operations(service)}
    served = set(service.app.state.templates.values())
    assert served - documented == UNDOCUMENTED
    assert {path for _, path, operation in operations(service) if "security" not in operation} == PUBLIC - {
        "/metrics"
    }


async def test_every_route_refuses_no_key_and_a_bad_key_before_anything_else(
    service: Service, stranger: httpx.AsyncClient
) -> None:
    for method, path, _ in operations(service):
        if path in PUBLIC:
            continue
        for key in (None, "nonsense", keys.new_key(publishable=False)):
            answer = await call(stranger, method, path, key)
            assert answer.status_code == 401, (method, path, key)
            assert answer.headers["www-authenticate"] == 'Bearer realm="rapport"'
            assert answer.json()["code"] == ("key_missing" if key is None else "key_invalid")


async def test_every_route_refuses_a_key_without_its_scope_and_names_it(
    service: Service, stranger: httpx.AsyncClient
) -> None:
    lacking = {scope: await service.key(scopes=set(keys.SCOPES) - {scope}) for scope in keys.SCOPES}
    for method, path, operation in operations(service):
        if path in PUBLIC:
            continue
        needed = operation["security"][0]["bearer"]
        assert needed, (method, path)
        for scope in needed:
            answer = await call(stranger, method, path, lacking[scope])
            assert answer.status_code == 403, (method, path)
            assert (answer.json()["code"], answer.json()["scope"]) == ("scope_missing", scope)


async def test_every_route_takes_the_admin_key(service: Service, admin: httpx.AsyncClient) -> None:
    for method, path, _ in operations(service):
        answer = await call(admin, method, path)
        assert answer.status_code not in (401, 403), (method, path)


def basic(user: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {ADMIN_KEY}"},
        {"Authorization": f"bearer {ADMIN_KEY}"},
        {"Authorization": basic(ADMIN_KEY)},
        {"Authorization": basic(ADMIN_KEY, "anything")},
        {"X-API-Key": ADMIN_KEY},
    ],
)
async def test_a_key_may_come_in_three_ways(stranger: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await stranger.get("/v1/keys", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        ADMIN_KEY,
        f"Digest {ADMIN_KEY}",
        "Bearer",
        "Basic ???",
        basic("", ADMIN_KEY),
        f"Bearer {ADMIN_KEY}x",
        "Bearer ä",
    ],
)
async def test_other_forms_are_refused(stranger: httpx.AsyncClient, authorization: str) -> None:
    headers = [(b"Authorization", authorization.encode("latin-1"))]
    answer = await stranger.get("/v1/keys", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "key_invalid")


async def test_an_expired_key_is_refused_at_its_very_time(
    service: Service, stranger: httpx.AsyncClient
) -> None:
    key = await service.key(expires_at=datetime.now(UTC) + timedelta(seconds=0.4))
    assert (await call(stranger, "GET", "/v1/keys", key)).status_code == 200
    await asyncio.sleep(0.5)  # shorter than a key is remembered
    assert (await call(stranger, "GET", "/v1/keys", key)).status_code == 401


async def test_a_revoked_key_is_refused_at_once(service: Service, admin: httpx.AsyncClient) -> None:
    key = await service.key()
    victim = await service.client(key)
    (listed,) = (await victim.get("/v1/keys")).json()["data"]
    assert (await admin.delete(f"/v1/keys/{listed['id']}")).status_code == 204
    assert (await victim.get("/v1/keys")).status_code == 401


async def test_a_key_revoked_by_another_process_is_refused_when_memory_fades(service: Service) -> None:
    ring = Keyring(service.app.state.database, None, ttl_seconds=0.1)
    digest = keys.sha256(await service.key())
    assert await ring.find(digest)
    async with service.app.state.database.transaction() as session:
        await session.execute(text("UPDATE api_keys SET revoked_at = now()"))
    assert await ring.find(digest)
    await asyncio.sleep(0.12)
    assert await ring.find(digest) is None


async def test_the_settings_admin_key_is_the_source_admin_and_in_no_table(service: Service) -> None:
    digest = keys.sha256(ADMIN_KEY)
    assert await Keyring(service.app.state.database, None).find(digest) is None
    caller = await Keyring(service.app.state.database, ADMIN_KEY).find(digest)
    assert caller is not None
    assert (caller.source, caller.is_admin) == ("admin", True)


async def test_a_crowd_asks_the_database_once_for_a_key(service: Service) -> None:
    key = await service.key()
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(service.app.state.database.engine.sync_engine, "before_cursor_execute", note)
    ring: Keyring = service.app.state.keyring
    callers = await asyncio.gather(*(ring.find(keys.sha256(key)) for _ in range(50)))
    assert all(callers)
    assert len(seen) == 1


async def test_the_last_use_of_a_key_is_written_when_the_ring_is_flushed(
    service: Service, admin: httpx.AsyncClient
) -> None:
    before = datetime.now(UTC)
    key = await service.key()
    assert (await call(admin, "GET", "/v1/keys", None)).json()["data"][0]["last_used_at"] is None
    stranger = await service.client(key)
    await stranger.get("/v1/keys")
    await service.app.state.keyring.flush()
    used = (await admin.get("/v1/keys")).json()["data"][0]["last_used_at"]
    assert before <= datetime.fromisoformat(used) <= datetime.now(UTC)


async def test_a_publishable_key_opens_nothing_but_posting(
    service: Service, stranger: httpx.AsyncClient
) -> None:
    key = await service.key("publishable")
    for method, path, _ in operations(service):
        if path in PUBLIC:
            continue
        answer = await call(stranger, method, path, key)
        if (method, path) in {("POST", "/v1/touchpoints"), ("POST", "/v1/touchpoints/batch")}:
            assert answer.status_code == 400, path
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "publishable_key"), (method, path)


# --- other origins -------------------------------------------------------------------------------------------------

SHOP = "https://shop.example"


async def test_only_a_publishable_keys_own_origins_may_read_its_answers(service: Service) -> None:
    page = await service.client(await service.key("publishable", origins=[SHOP]))
    from_shop = await page.post("/v1/touchpoints", headers={"Origin": SHOP})
    assert from_shop.headers["access-control-allow-origin"] == SHOP
    assert from_shop.headers["vary"] == "Origin"
    from_elsewhere = await page.post("/v1/touchpoints", headers={"Origin": "https://evil.example"})
    assert not [name for name in from_elsewhere.headers if name.startswith("access-control")]


async def test_a_secret_key_and_every_other_route_send_no_cors_headers(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await service.key("publishable", origins=[SHOP])
    for method, path, _ in operations(service):
        answer = await admin.request(method, filled(path), headers={"Origin": SHOP})
        assert not [name for name in answer.headers if name.startswith("access-control")], (method, path)


async def test_a_preflight_is_answered_from_the_origins_of_live_keys(
    service: Service, admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    await service.key("publishable", origins=[SHOP])
    asking = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    for path in ("/v1/touchpoints", "/v1/touchpoints/batch"):
        allowed = await stranger.options(path, headers=asking)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == SHOP
        assert "Authorization" in allowed.headers["access-control-allow-headers"]
        other = await stranger.options(path, headers=asking | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
    (key,) = (await admin.get("/v1/keys")).json()["data"]
    await admin.delete(f"/v1/keys/{key['id']}")
    late = await stranger.options("/v1/touchpoints", headers=asking)
    assert "access-control-allow-origin" not in late.headers


async def test_without_a_database_the_admin_key_is_still_known_and_others_are_told_to_wait() -> None:
    app = create_app(
        Settings(database_url="postgresql://nobody@127.0.0.1:9/none", admin_key=SecretStr(ADMIN_KEY))
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://rapport.test"
    ) as client:
        for key in (ADMIN_KEY, keys.new_key(publishable=False)):
            answer = await client.get("/v1/keys", headers={"X-API-Key": key})
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert answer.headers["retry-after"] == "1"
        malformed = await client.get("/v1/keys", headers={"X-API-Key": "nonsense"})
        assert malformed.status_code == 401
