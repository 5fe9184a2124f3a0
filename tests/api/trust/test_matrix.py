"""Who may call what: every route of the document, by every kind of caller. A new route is in it by being documented."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.api.deps import PUBLISHABLE_PATHS
from app.domain import keys
from app.domain.ids import opaque_id, parse_opaque_id
from tests.api.conftest import Service
from tests.api.test_auth import filled
from tests.api.test_problems import problem

Operation = tuple[str, str, list[str]]

REFUSED = (401, 403)


def operations(service: Service) -> Iterator[Operation]:
    """Method, path and scopes of every documented operation; no scopes: public."""
    for path, methods in service.app.openapi()["paths"].items():
        for method, operation in methods.items():
            needed = [each for way in operation.get("security", []) for each in way.get("bearer", [])]
            yield method.upper(), path, needed


async def answered(client: httpx.AsyncClient, operation: Operation) -> tuple[int, Any]:
    """The status and the code of a call whose body nobody can read, so that it never does anything."""
    method, path, _ = operation
    answer = await client.request(
        method, filled(path), content=b"{", headers={"Content-Type": "application/json"}
    )
    told = answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"] if told else None


async def expect_all(
    service: Service, client: httpx.AsyncClient, status: int, code: str, *, but_public: bool = True
) -> None:
    """Every route that is not public answers with this refusal."""
    count = 0
    for operation in operations(service):
        if operation[2] or not but_public:
            assert await answered(client, operation) == (status, code), operation
            count += 1
    assert count > 50


async def test_nobody_gets_in_without_a_key(service: Service, stranger: httpx.AsyncClient) -> None:
    await expect_all(service, stranger, 401, "key_missing")


async def test_nobody_gets_in_with_a_key_that_is_over(service: Service) -> None:
    end = datetime.now(UTC) + timedelta(seconds=0.3)
    expired = await service.client(await service.key(expires_at=end))
    await asyncio.sleep(0.4)
    await expect_all(service, expired, 401, "key_invalid")


async def test_nobody_gets_in_with_a_revoked_key(service: Service, admin: httpx.AsyncClient) -> None:
    revoked = await service.client(await service.key())
    (listed,) = (await admin.get("/v1/keys")).json()["data"]
    await admin.delete(f"/v1/keys/{listed['id']}")
    await expect_all(service, revoked, 401, "key_invalid")


async def test_nobody_gets_in_from_another_address(service: Service) -> None:
    key = await service.key(networks=["192.0.2.0/24"])
    await expect_all(service, await service.client(key), 403, "address_not_allowed")


@pytest.mark.parametrize("preset", keys.PRESETS)
async def test_a_preset_opens_its_routes_and_no_other(service: Service, preset: str) -> None:
    client = await service.client(await service.key(preset))
    opened = 0
    for operation in operations(service):
        method, path, needed = operation
        status, code = await answered(client, operation)
        if preset == "publishable" and needed and (method, path) not in _POSTS:
            assert (status, code) == (403, "publishable_key"), operation
        elif set(needed) <= keys.PRESETS[preset]:
            assert status not in REFUSED, (operation, code)
            opened += 1
        else:
            assert (status, code) == (403, "scope_missing"), operation
    assert opened >= 2


_POSTS = {("POST", path) for path in PUBLISHABLE_PATHS}


@pytest.mark.parametrize("scope", keys.SCOPES)
async def test_each_scope_alone_opens_what_names_it(service: Service, scope: str) -> None:
    client = await service.client(await service.key(scopes=[scope]))
    for operation in operations(service):
        needed = set(operation[2])
        status, code = await answered(client, operation)
        if needed <= {scope}:
            assert status not in REFUSED, (operation, code)
        else:
            assert (status, code) == (403, "scope_missing"), operation


# --- objects --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def two(admin: httpx.AsyncClient) -> dict[str, str]:
    """The UUIDs of two customers, `ada` who has something of everything, and `bob`."""
    ids = {}
    for name in ("ada", "bob"):
        sent = {"id": f"visit-of-{name}", "customer": f"external_id:{name}", "kind": "visit"}
        ids[name] = (await admin.post("/v1/touchpoints", json=sent)).json()["customer_id"]
    return ids


async def test_a_touchpoint_is_not_read_or_voided_through_another_customer(
    admin: httpx.AsyncClient, two: dict[str, str]
) -> None:
    path = "/v1/touchpoints/visit-of-ada"
    for method in ("GET", "DELETE"):
        answer = await admin.request(method, path, params={"customer": two["bob"]})
        problem(answer, 404, "touchpoint_not_found")
    assert (await admin.get(path, params={"customer": two["ada"]})).status_code == 200


MADE: dict[str, tuple[str, dict[str, Any], str]] = {
    "complaint": (
        "/v1/complaints",
        {"customer": "external_id:ada", "subject": "Still waiting", "severity": "high"},
        "/v1/complaints/{id}",
    ),
    "answer": (
        "/v1/feedback",
        {"customer": "external_id:ada", "kind": "nps", "rating": 2},
        "/v1/feedback/{id}",
    ),
}


@pytest.mark.parametrize("what", MADE)
async def test_an_opaque_id_cannot_be_turned_to_another_customer(
    admin: httpx.AsyncClient, two: dict[str, str], what: str
) -> None:
    made, sent, path = MADE[what]
    whole = (await admin.post(made, json=sent)).json()["id"]
    prefix = whole.partition("_")[0]
    parsed = parse_opaque_id(prefix, whole)
    assert parsed is not None
    assert (await admin.get(path.format(id=whole))).status_code == 200
    forged = opaque_id(prefix, type(parsed[0])(two["bob"]), parsed[1])
    for method in ("GET", "PATCH"):
        answer = await admin.request(method, path.format(id=forged), json={})
        assert answer.status_code in (404, 422), (method, answer.text)
    assert (await admin.get(path.format(id=forged))).status_code == 404


async def test_the_same_idempotency_key_of_another_api_key_is_another_question(
    service: Service, two: dict[str, str]
) -> None:
    told = []
    for _ in range(2):
        agent = await service.client(await service.key("support"))
        answer = await agent.post(
            f"/v1/customers/{two['ada']}/notes", json={"text": "Called."}, headers={"Idempotency-Key": "same"}
        )
        assert answer.status_code == 201
        assert "idempotent-replayed" not in answer.headers
        told.append(answer.json()["id"])
    assert told[0] != told[1]


async def test_a_storefront_writes_for_its_own_source_alone(service: Service, two: dict[str, str]) -> None:
    eu = await service.client(await service.key("storefront", source="shop-eu"))
    us = await service.client(await service.key("storefront", source="shop-us"))
    sent = {"id": "same", "customer": two["ada"], "kind": "visit"}
    for shop in (eu, us):
        assert (await shop.post("/v1/touchpoints", json=sent)).json()["duplicate"] is False
    forged = await us.post("/v1/touchpoints", json=sent | {"source": "shop-eu"})
    assert problem(forged, 403, "scope_missing")["scope"] == "admin"


async def test_a_publishable_key_neither_names_nor_learns_who_somebody_is(
    service: Service, two: dict[str, str]
) -> None:
    page = await service.client(await service.key("publishable", source="web"))
    by_id = await page.post("/v1/touchpoints", json={"id": "1", "customer": two["ada"], "kind": "visit"})
    assert by_id.status_code in (403, 422)
    visit = {"id": "1", "customer": "external_id:ada", "kind": "visit"}
    assert (await page.post("/v1/touchpoints", json=visit)).json() == {"id": "1", "duplicate": False}
    adds = visit | {"id": "2", "customer": {"external_id": "ada", "cookie": "x"}}
    assert (await page.post("/v1/touchpoints", json=adds)).status_code == 403
    problem(await page.get(f"/v1/customers/{two['ada']}"), 403, "publishable_key")


async def test_a_key_cannot_make_a_stronger_one(service: Service) -> None:
    support = await service.client(await service.key("support"))
    problem(await support.post("/v1/keys", json={"preset": "admin", "source": "x"}), 403, "scope_missing")
