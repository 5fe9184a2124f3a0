"""Keys that may be used from some addresses alone, behind proxies and without."""

from contextlib import AsyncExitStack

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.api.conftest import ADMIN_KEY, Service
from tests.api.test_problems import problem

OFFICE = "203.0.113.0/24"


async def test_a_key_with_networks_opens_from_there_alone(service: Service) -> None:
    key = await service.key(networks=[OFFICE, "2001:db8::/32"])
    for address in ("203.0.113.200", "2001:db8::77"):
        assert (await (await service.client(key, (address, 1))).get("/v1/keys")).status_code == 200
    for address in ("198.51.100.1", "2001:db9::1"):
        answer = await (await service.client(key, (address, 1))).get("/v1/keys")
        problem(answer, 403, "address_not_allowed")


async def test_without_trusted_proxies_no_header_moves_anybody(service: Service) -> None:
    key = await service.key(networks=[OFFICE])
    elsewhere = await service.client(key, ("198.51.100.1", 1))
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        answer = await elsewhere.get("/v1/keys", headers={name: "203.0.113.7"})
        problem(answer, 403, "address_not_allowed")


async def test_behind_a_trusted_proxy_the_client_is_whom_the_proxy_saw(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"trusted_proxies": "10.0.0.0/8"}))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        service = Service(app, stack)
        key = await service.key(networks=[OFFICE])
        proxy = await service.client(key, ("10.1.2.3", 1))
        allowed = await proxy.get("/v1/keys", headers={"X-Forwarded-For": "192.0.2.1, 203.0.113.7"})
        assert allowed.status_code == 200
        forged = await proxy.get("/v1/keys", headers={"X-Forwarded-For": "203.0.113.7, 198.51.100.1"})
        problem(forged, 403, "address_not_allowed")
        around = await service.client(key, ("198.51.100.1", 1))
        answer = await around.get("/v1/keys", headers={"X-Forwarded-For": "203.0.113.7"})
        problem(answer, 403, "address_not_allowed")


async def test_networks_go_with_a_rotation_and_are_listed(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    sent = {"preset": "admin", "source": "x", "networks": [OFFICE, "2001:DB8::1"], "rate_per_minute": 60}
    made = (await admin.post("/v1/keys", json=sent)).json()
    assert made["networks"] == [OFFICE, "2001:db8::1/128"]
    rotated = (await admin.post(f"/v1/keys/{made['id']}/rotate", json={})).json()
    assert (rotated["networks"], rotated["rate_per_minute"]) == (made["networks"], 60)
    stranger.headers["X-API-Key"] = rotated["key"]
    assert (await stranger.get("/v1/keys")).status_code == 200


@pytest.mark.parametrize("network", ["203.0.113.7/24", "somewhere", "", "300.1.1.1", "10.0.0.0/33"])
async def test_what_is_no_network_is_refused(admin: httpx.AsyncClient, network: str) -> None:
    answer = await admin.post("/v1/keys", json={"preset": "admin", "source": "x", "networks": [network]})
    body = problem(answer, 422, "invalid_network")
    assert body["errors"][0]["pointer"] == "#/networks/0"


# --- TLS ------------------------------------------------------------------------------------------------------------


async def hsts(settings: Settings, peer: str, proto: str | None) -> str | None:
    transport = httpx.ASGITransport(create_app(settings), client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://rapport.test") as client:
        headers = {} if proto is None else {"X-Forwarded-Proto": proto}
        answer = await client.get("/healthz", headers=headers)
    found: str | None = answer.headers.get("strict-transport-security")
    return found


async def test_browsers_are_told_to_insist_on_tls_where_it_is_spoken(settings: Settings) -> None:
    assert await hsts(settings, "10.1.2.3", "https") is None
    behind = settings.model_copy(update={"trusted_proxies": "10.0.0.0/8"})
    assert await hsts(behind, "10.1.2.3", "https") == "max-age=31536000"
    assert await hsts(behind, "10.1.2.3", "http, https") == "max-age=31536000"
    assert await hsts(behind, "10.1.2.3", "https, http") is None
    assert await hsts(behind, "10.1.2.3", None) is None
    assert await hsts(behind, "198.51.100.1", "https") is None
    always = settings.model_copy(update={"behind_tls": True, "hsts_seconds": 60})
    assert await hsts(always, "198.51.100.1", None) == "max-age=60"
    assert await hsts(always.model_copy(update={"hsts_seconds": 0}), "198.51.100.1", None) is None


def test_proxies_that_are_no_networks_stop_the_start() -> None:
    with pytest.raises(ValueError, match="not networks"):
        Settings(trusted_proxies="10.0.0.1/8")


async def test_every_answer_has_a_policy(service: Service) -> None:
    stranger = await service.client(ADMIN_KEY)
    for path in ("/healthz", "/v1/keys", "/nothing", "/docs", "/redoc", "/openapi.json", "/s/nothing"):
        headers = (await stranger.get(path)).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert len(headers.get_list("content-security-policy")) == 1, path
        assert headers["cross-origin-resource-policy"] == "same-origin", path
        script = headers["content-security-policy"].partition("script-src")[2].partition(";")[0]
        assert "unsafe" not in script, path
