"""What may be changed about a key that is in use."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.test_keys import NOWHERE, made, opens, rotated
from tests.api.test_problems import problem

PATCH = {"Content-Type": "application/merge-patch+json"}


async def changed(admin: httpx.AsyncClient, key_id: str, **said: Any) -> dict[str, Any]:
    answer = await admin.patch(f"/v1/keys/{key_id}", json=said)
    assert answer.status_code == 200, answer.text
    key: dict[str, Any] = answer.json()
    return key


def soon(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


async def test_name_end_networks_and_rate_change_and_the_key_stays(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    key = await made(admin, name="Till 3")
    said = {
        "name": "Till 4",
        "expires_at": soon(days=9),
        "networks": ["203.0.113.0/24"],
        "rate_per_minute": 60,
    }
    told = await changed(admin, key["id"], **said)
    assert {name: told[name] for name in said} == said | {"expires_at": told["expires_at"]}
    assert datetime.fromisoformat(told["expires_at"]) == datetime.fromisoformat(str(said["expires_at"]))
    untouched = set(told) - set(said)
    assert {name: told[name] for name in untouched} == {name: key[name] for name in untouched}
    assert await opens(stranger, key["key"])
    assert (await admin.get(f"/v1/keys/{key['id']}")).json() | {"last_used_at": None} == told


async def test_what_is_not_said_stays_and_null_takes_away(admin: httpx.AsyncClient) -> None:
    key = await made(admin, name="Till", expires_at=soon(days=9), networks=["192.0.2.1"], rate_per_minute=60)
    before = {name: value for name, value in key.items() if name != "key"}
    assert await changed(admin, key["id"]) == before
    bare = await changed(admin, key["id"], name=None, expires_at=None, networks=None, rate_per_minute=None)
    assert bare == before | {"name": None, "expires_at": None, "networks": [], "rate_per_minute": None}


async def test_a_change_holds_at_once_for_a_key_in_use(service: Service, admin: httpx.AsyncClient) -> None:
    key = await made(admin, preset="support")
    user = await service.client(key["key"])
    path = "/v1/customers"
    assert (await user.get(path)).status_code == 200
    await changed(admin, key["id"], networks=["192.0.2.0/24"])
    problem(await user.get(path), 403, "address_not_allowed")
    await changed(admin, key["id"], networks=[], rate_per_minute=6)
    assert (await user.get(path)).headers["ratelimit-policy"] != (await admin.get(path)).headers[
        "ratelimit-policy"
    ]
    await changed(admin, key["id"], expires_at=soon(seconds=0.3))
    await asyncio.sleep(0.4)
    problem(await user.get(path), 401, "key_invalid")


async def test_who_changed_what_is_in_the_audit_log(admin: httpx.AsyncClient) -> None:
    key = await made(admin, networks=["192.0.2.1"])
    await changed(admin, key["id"], name="Ada's till", networks=["192.0.2.0/24"])
    await changed(admin, key["id"], networks=["192.0.2.0/24"])
    told = (await admin.get("/v1/audit", params={"target": f"key:{key['id']}"})).json()["data"]
    assert [deed["action"] for deed in told] == ["key_changed", "key_created"]
    assert told[0]["before"]["networks"] == ["192.0.2.1/32"]
    assert told[0]["after"]["networks"] == ["192.0.2.0/24"]
    # People are called so, too.
    assert "Ada" not in str(told)


@pytest.mark.parametrize(
    "said, code",
    [
        ({"expires_at": "2020-01-01T00:00:00Z"}, "in_the_past"),
        ({"expires_at": "2030-01-01T00:00:00"}, "naive_time"),
        ({"networks": ["192.0.2.1/24"]}, "invalid_network"),
        ({"rate_per_minute": -1}, "validation_failed"),
        ({"name": ""}, "validation_failed"),
        ({"scopes": ["admin"]}, "validation_failed"),
        ({"source": "shop-us"}, "validation_failed"),
        ({"origins": ["https://shop.example"]}, "validation_failed"),
        ({"key": "rap_sk_mine"}, "validation_failed"),
    ],
)
async def test_what_may_not_be_changed_is_refused(
    admin: httpx.AsyncClient, said: dict[str, Any], code: str
) -> None:
    key = await made(admin)
    problem(await admin.patch(f"/v1/keys/{key['id']}", json=said), 422, code)
    assert (await admin.get("/v1/keys")).json()["data"] == [
        {name: value for name, value in key.items() if name != "key"}
    ]


async def test_a_stale_change_is_refused(admin: httpx.AsyncClient) -> None:
    key = await made(admin)
    path = f"/v1/keys/{key['id']}"
    tag = (await admin.get(path)).headers["etag"]
    first = await admin.patch(path, json={"name": "one"}, headers=PATCH | {"If-Match": tag})
    assert first.status_code == 200
    assert first.headers["etag"] != tag
    second = await admin.patch(path, json={"name": "two"}, headers=PATCH | {"If-Match": tag})
    problem(second, 412, "stale")
    # So is one that was decided before the key was rotated.
    await rotated(admin, key["id"])
    third = await admin.patch(path, json={"name": "three"}, headers={"If-Match": first.headers["etag"]})
    problem(third, 412, "stale")


async def test_what_is_dead_is_not_brought_back(admin: httpx.AsyncClient) -> None:
    revoked = await made(admin)
    await admin.delete(f"/v1/keys/{revoked['id']}")
    expired = await made(admin, expires_at=soon(seconds=0.2))
    await asyncio.sleep(0.3)
    for key in (revoked, expired):
        answer = await admin.patch(f"/v1/keys/{key['id']}", json={"expires_at": None})
        problem(answer, 409, "key_not_live")


async def test_a_rotated_key_ends_no_later_than_its_overlap(admin: httpx.AsyncClient) -> None:
    key = await made(admin)
    await rotated(admin, key["id"], overlap_seconds=3600)
    path = f"/v1/keys/{key['id']}"
    for later in (None, soon(days=2)):
        problem(await admin.patch(path, json={"expires_at": later}), 409, "key_already_rotated")
    assert (await admin.patch(path, json={"expires_at": soon(minutes=1)})).status_code == 200


async def test_a_key_that_is_not_there_is_neither_shown_nor_changed(admin: httpx.AsyncClient) -> None:
    problem(await admin.get(f"/v1/keys/{NOWHERE}"), 404, "key_not_found")
    problem(await admin.patch(f"/v1/keys/{NOWHERE}", json={}), 404, "key_not_found")


async def test_nobody_makes_renews_or_changes_a_key_that_opens_more(
    service: Service, admin: httpx.AsyncClient
) -> None:
    keeper = await service.client(await service.key(scopes=["admin", "customers:read"]))
    strong = await made(admin)
    path = f"/v1/keys/{strong['id']}"
    for refused in (
        await keeper.post("/v1/keys", json={"preset": "storefront", "source": "x"}),
        await keeper.post(f"{path}/rotate"),
        await keeper.patch(path, json={"networks": []}),
    ):
        assert problem(refused, 403, "scope_missing")["scope"] == "customers:write"
    weak = {"preset": "support", "source": "x", "scopes": ["customers:read"]}
    mine = await keeper.post("/v1/keys", json=weak)
    assert mine.status_code == 201
    assert (await keeper.patch(f"/v1/keys/{mine.json()['id']}", json={"name": "x"})).status_code == 200
    # Taking away is another matter: whoever finds a leaked key must be able to stop it.
    assert (await keeper.delete(path)).status_code == 204


async def test_only_admins_see_and_change_keys(service: Service, admin: httpx.AsyncClient) -> None:
    key = await made(admin)
    support = await service.client(await service.key("support"))
    problem(await support.get(f"/v1/keys/{key['id']}"), 403, "scope_missing")
    problem(await support.patch(f"/v1/keys/{key['id']}", json={"name": "x"}), 403, "scope_missing")
