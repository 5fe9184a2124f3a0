"""Somebody who was erased comes back of their own will."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.settings import Settings
from tests.api.conftest import Service
from tests.api.privacy.person import CUSTOMER, EMAIL, PHONE, meet, ok, traces
from tests.api.test_problems import problem

LIFT = "/v1/tombstones/lift"
BACK = {"customer": {"email": EMAIL, "phone": PHONE}, "reason": "came_back", "reference": "ticket-1"}
VISIT = {"kind": "visit", "customer": {"email": EMAIL}}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    keys = {"erasure_secrets": SecretStr("t1:" + "e" * 32), "sweep_seconds": 0}
    return settings.model_copy(update=keys)


@pytest.fixture
async def gone(admin: httpx.AsyncClient) -> str:
    """The UUID of somebody who was erased."""
    told = await meet(admin)
    await ok(await admin.delete(CUSTOMER))
    problem(await admin.post("/v1/touchpoints", json=VISIT), 409, "erased")
    return str(told["id"])


async def test_who_comes_back_is_somebody_new(admin: httpx.AsyncClient, gone: str) -> None:
    assert await ok(await admin.post(LIFT, json=BACK)) == {"lifted": 2}
    posted = await admin.post("/v1/touchpoints", json=VISIT)
    assert posted.status_code == 201
    new = posted.json()["customer_id"]
    assert new != gone
    assert len((await admin.get(f"/v1/customers/{new}/timeline")).json()["data"]) == 1
    consent = (await admin.get(f"/v1/customers/{new}/consent")).json()
    assert (consent["consents"], consent["history"]) == ([], [])
    assert gone not in (await admin.get(f"/v1/customers/{new}/export")).text
    problem(await admin.get(f"/v1/customers/{gone}"), 409, "erased")


async def test_nothing_of_who_left_comes_back_with_them(
    admin: httpx.AsyncClient, gone: str, owner_url: str
) -> None:
    await ok(await admin.post(LIFT, json=BACK))
    assert gone
    assert await traces(owner_url) == []


async def test_it_is_told_to_the_audit_log_without_a_name(admin: httpx.AsyncClient, gone: str) -> None:
    await ok(await admin.post(LIFT, json=BACK))
    (deed,) = (await admin.get("/v1/audit", params={"action": "tombstones_lifted"})).json()["data"]
    assert deed["target"] == f"customer:{gone}"
    assert deed["after"] == {"tombstones": 2, "reason": "came_back", "reference": "ticket-1"}


async def test_who_comes_back_may_leave_again(admin: httpx.AsyncClient, gone: str) -> None:
    await ok(await admin.post(LIFT, json=BACK))
    new = (await admin.post("/v1/touchpoints", json=VISIT)).json()["customer_id"]
    receipt = await ok(await admin.delete(f"/v1/customers/{new}"))
    assert (receipt["customer_id"], receipt["tombstones"]) == (new, 1)
    problem(await admin.post("/v1/touchpoints", json=VISIT), 409, "erased")
    assert gone != new


async def test_only_what_is_named_is_free(admin: httpx.AsyncClient, gone: str) -> None:
    assert gone
    await ok(await admin.post(LIFT, json=BACK | {"customer": f"email:{EMAIL}"}))
    problem(await admin.post("/v1/touchpoints", json=VISIT | {"customer": {"phone": PHONE}}), 409, "erased")
    again = await admin.post(LIFT, json=BACK | {"customer": f"email:{EMAIL}"})
    problem(again, 404, "tombstone_not_found")


@pytest.mark.parametrize(
    "change, code",
    [
        ({"reason": None}, "validation_failed"),
        ({"reason": "because"}, "validation_failed"),
        ({"reference": "Ada Lovelace"}, "validation_failed"),
        ({"customer": "0193a5c2-0000-7000-8000-000000000000"}, "invalid_reference"),
        ({"customer": {}}, "invalid_reference"),
        ({"customer": "phone:12"}, "invalid_phone"),
    ],
)
async def test_what_cannot_be_lifted(admin: httpx.AsyncClient, change: dict[str, Any], code: str) -> None:
    problem(await admin.post(LIFT, json=BACK | change), 422, code)


async def test_a_reason_must_be_given(admin: httpx.AsyncClient) -> None:
    problem(await admin.post(LIFT, json={"customer": {"email": EMAIL}}), 422, "validation_failed")


async def test_only_an_admin_lifts(service: Service, gone: str) -> None:
    assert gone
    shop = await service.client(await service.key("storefront"))
    problem(await shop.post(LIFT, json=BACK), 403, "scope_missing")
