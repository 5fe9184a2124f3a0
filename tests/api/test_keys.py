import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.api.paging import Cursor
from app.domain import keys
from app.domain.ids import uuid7
from app.storage import keys as stored
from app.storage.keys import StoredKey
from tests.api.conftest import Service
from tests.api.test_problems import problem

NOWHERE = "0193a5c2-0000-7000-8000-000000000000"


async def made(admin: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await admin.post("/v1/keys", json={"preset": "storefront", "source": "shop-eu"} | body)
    assert answer.status_code == 201, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


async def opens(stranger: httpx.AsyncClient, key: str) -> bool:
    """Whether the key is one, whatever it may do."""
    status = (await stranger.get("/v1/keys", headers={"X-API-Key": key})).status_code
    assert status in (200, 401, 403)
    return status != 401


async def test_a_new_key_is_shown_once(admin: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    issued = await made(admin)
    assert keys.is_well_formed(issued["key"])
    assert issued["key"].startswith("rap_sk_")
    assert await opens(stranger, issued["key"])
    listed = (await admin.get("/v1/keys")).json()
    assert issued["key"] not in str(listed)
    without_key = {name: value for name, value in issued.items() if name != "key"}
    assert listed == {"data": [without_key], "next_cursor": None}
    assert issued["last_four"] == issued["key"][-4:]


async def test_a_key_has_the_scopes_of_its_preset_or_fewer(admin: httpx.AsyncClient) -> None:
    assert set((await made(admin))["scopes"]) == keys.PRESETS["storefront"]
    assert (await made(admin, scopes=["events:write"]))["scopes"] == ["events:write"]


async def test_a_publishable_key_is_told_by_its_prefix_and_knows_its_origins(
    admin: httpx.AsyncClient,
) -> None:
    issued = await made(admin, preset="publishable", origins=["https://shop.example"])
    assert issued["key"].startswith("rap_pk_")
    assert (issued["publishable"], issued["origins"]) == (True, ["https://shop.example"])


@pytest.mark.parametrize(
    "body, code",
    [
        ({"preset": "owner"}, "validation_failed"),
        ({"source": "shop eu"}, "validation_failed"),
        ({"scopes": ["admin"]}, "scope_not_in_preset"),
        ({"origins": ["https://shop.example"]}, "origins_not_allowed"),
        ({"preset": "publishable", "origins": ["*"]}, "invalid_origin"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "in_the_past"),
        ({"expires_at": "2030-01-01T00:00:00"}, "naive_time"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "validation_failed"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "validation_failed"),
        ({"expires_at": 1900000000}, "validation_failed"),
        ({"key": "mine"}, "validation_failed"),
    ],
)
async def test_what_a_key_may_not_be_is_refused(
    admin: httpx.AsyncClient, body: dict[str, Any], code: str
) -> None:
    given = {"preset": "storefront", "source": "shop-eu"} | body
    problem(await admin.post("/v1/keys", json=given), 422, code)
    assert (await admin.get("/v1/keys")).json()["data"] == []


# --- lists ---------------------------------------------------------------------------------------------------------


async def test_keys_are_listed_newest_first_a_page_at_a_time(admin: httpx.AsyncClient) -> None:
    made_ids = [(await made(admin))["id"] for _ in range(5)]
    seen: list[str] = []
    url = "/v1/keys?limit=2"
    for expected in (2, 2, 1):
        page = await admin.get(url)
        data = page.json()["data"]
        assert len(data) == expected
        seen += [key["id"] for key in data]
        if expected == 1:
            assert page.json()["next_cursor"] is None
            assert "link" not in page.headers
        else:
            link = re.fullmatch(r'<(\?limit=2&cursor=([\w-]+))>; rel="next"', page.headers["link"])
            assert link is not None
            assert link[2] == page.json()["next_cursor"]
            url = "/v1/keys" + link[1]
    assert seen == made_ids[::-1]


async def test_keys_made_at_the_same_time_are_neither_skipped_nor_repeated(
    service: Service, admin: httpx.AsyncClient
) -> None:
    now = datetime.now(UTC)
    async with service.app.state.database.transaction() as session:
        for number in range(7):
            key = StoredKey(uuid7(0), "abcd", "admin", False, "x", frozenset(), (), now)  # noqa: FBT003 - a row, in order
            await stored.add(session, key, bytes([number]) * 32)
    seen, cursor = [], ""
    while cursor is not None:
        page = (
            await admin.get("/v1/keys", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [key["id"] for key in page["data"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 7


@pytest.mark.parametrize(
    "forged",
    [
        "x",
        "!",
        "ä",
        "bnVsbA",
        Cursor(list[str]).encode(["a", "b"]),
        Cursor(list[str]).encode(["0001-01-01T00:00:00+14:00", NOWHERE]),
        Cursor(list[str]).encode(["2026-01-01T00:00:00", NOWHERE]),
        Cursor(list[str]).encode(["2026-01-01T00:00:00Z", NOWHERE, ""]),
    ],
)
async def test_a_cursor_that_no_page_gave_is_refused(admin: httpx.AsyncClient, forged: str) -> None:
    problem(await admin.get("/v1/keys", params={"cursor": forged}), 422, "invalid_cursor")


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1e400", "9" * 30])
async def test_a_limit_is_1_to_200(admin: httpx.AsyncClient, limit: str) -> None:
    problem(await admin.get("/v1/keys", params={"limit": limit}), 422, "validation_failed")


# --- rotation and revocation ---------------------------------------------------------------------------------------


async def rotated(admin: httpx.AsyncClient, key_id: str, **body: Any) -> dict[str, Any]:
    answer = await admin.post(f"/v1/keys/{key_id}/rotate", json=body)
    assert answer.status_code == 201, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


async def test_a_rotated_key_and_its_successor_both_work_until_the_overlap_ends(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    old = await made(admin, preset="support", scopes=["customers:read"])
    new = await rotated(admin, old["id"], overlap_seconds=1)
    assert new["replaces"] == old["id"]
    same = ("preset", "source", "scopes", "publishable", "origins")
    assert [new[name] for name in same] == [old[name] for name in same]
    assert await opens(stranger, old["key"])
    assert await opens(stranger, new["key"])
    await asyncio.sleep(1.1)
    assert not await opens(stranger, old["key"])
    assert await opens(stranger, new["key"])


async def test_without_an_overlap_the_old_key_stops_at_once(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    old = await made(admin)
    assert await opens(stranger, old["key"])
    await rotated(admin, old["id"], overlap_seconds=0)
    assert not await opens(stranger, old["key"])


async def test_the_overlap_is_a_day_unless_said_and_the_body_may_be_left_out(
    admin: httpx.AsyncClient,
) -> None:
    old = await made(admin)
    answer = await admin.post(f"/v1/keys/{old['id']}/rotate")
    assert answer.status_code == 201
    _, listed = (await admin.get("/v1/keys")).json()["data"]
    left = datetime.fromisoformat(listed["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(days=1)


async def test_at_most_two_keys_of_a_line_are_alive(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    first = await made(admin)
    second = await rotated(admin, first["id"])
    again = await admin.post(f"/v1/keys/{first['id']}/rotate")
    problem(again, 409, "key_already_rotated")
    third = await rotated(admin, second["id"])
    alive = [await opens(stranger, key["key"]) for key in (first, second, third)]
    assert alive == [False, True, True]


async def test_two_rotations_at_once_make_one_successor(admin: httpx.AsyncClient) -> None:
    old = await made(admin)
    answers = await asyncio.gather(*(admin.post(f"/v1/keys/{old['id']}/rotate") for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_a_successor_lives_as_long_as_the_old_key_was_meant_to(admin: httpx.AsyncClient) -> None:
    end = datetime.now(UTC) + timedelta(days=10)
    old = await made(admin, expires_at=end.isoformat())
    new = await rotated(admin, old["id"], overlap_seconds=0)
    assert abs(datetime.fromisoformat(new["expires_at"]) - end) < timedelta(minutes=1)


async def test_revoking_again_changes_nothing(admin: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    key = await made(admin)
    assert (await admin.delete(f"/v1/keys/{key['id']}")).status_code == 204
    (first,) = (await admin.get("/v1/keys")).json()["data"]
    assert (await admin.delete(f"/v1/keys/{key['id']}")).status_code == 204
    (again,) = (await admin.get("/v1/keys")).json()["data"]
    assert first["revoked_at"] is not None
    assert again == first
    assert not await opens(stranger, key["key"])
    problem(await admin.post(f"/v1/keys/{key['id']}/rotate"), 409, "key_not_live")


async def test_a_key_that_is_not_there_is_not_found(admin: httpx.AsyncClient) -> None:
    problem(await admin.delete(f"/v1/keys/{NOWHERE}"), 404, "key_not_found")
    problem(await admin.post(f"/v1/keys/{NOWHERE}/rotate"), 404, "key_not_found")


@pytest.mark.parametrize("overlap", [-1, 30 * 86_400 + 1, "1", 1.5, None, True])
async def test_an_overlap_is_a_whole_number_of_seconds_up_to_30_days(
    admin: httpx.AsyncClient, overlap: object
) -> None:
    key = await made(admin)
    answer = await admin.post(f"/v1/keys/{key['id']}/rotate", json={"overlap_seconds": overlap})
    problem(answer, 422, "validation_failed")
