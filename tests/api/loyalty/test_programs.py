from typing import Any

import httpx
import pytest

from tests.api.conftest import Service

URL = "/v1/loyalty/programs"
CLUB = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}
LATER = "2031-01-01T00:00:00Z"


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def test_a_programme_is_written_down_once(admin: httpx.AsyncClient) -> None:
    first = await admin.post(URL, json=CLUB)
    again = await admin.post(URL, json=CLUB)
    assert (first.status_code, again.status_code, again.json()) == (201, 200, first.json())
    assert problem(await admin.post(URL, json=CLUB | {"currency": "JPY"})) == (409, "program_exists")
    assert (await admin.get(f"{URL}/main")).json() == first.json()
    assert (await admin.get(URL)).json() == {"data": [first.json()], "next_cursor": None}


@pytest.mark.parametrize(
    "said, code",
    [
        ({"currency": "XXL"}, "unknown_currency"),
        ({"time_zone": "Mars/Olympus"}, "unknown_timezone"),
        ({"code": ""}, "validation_failed"),
        ({"points": 1}, "validation_failed"),
    ],
)
async def test_what_is_no_programme_is_refused(
    admin: httpx.AsyncClient, said: dict[str, Any], code: str
) -> None:
    assert problem(await admin.post(URL, json=CLUB | said)) == (422, code)


async def test_a_shop_has_so_many_programmes(admin: httpx.AsyncClient) -> None:
    for number in range(20):
        assert (await admin.post(URL, json=CLUB | {"code": f"p{number}"})).status_code == 201
    assert problem(await admin.post(URL, json=CLUB)) == (409, "too_many_programs")


async def test_a_published_version_never_changes(admin: httpx.AsyncClient) -> None:
    await admin.post(URL, json=CLUB)
    rules = {"earning_rules": [{"code": "base", "points": 1, "per_amount_minor": 100}]}
    draft = (await admin.post(f"{URL}/main/versions", json=rules)).json()
    assert (draft["version"], draft["status"], draft["rules"]) == (1, "draft", rules)
    publish = f"{URL}/main/versions/1/publish"
    done = await admin.post(publish, json={"effective_from": "2026-01-01T00:00:00Z"})
    assert (done.status_code, done.json()["status"]) == (200, "published")
    assert (await admin.post(publish)).json() == done.json()
    assert problem(await admin.post(publish, json={"effective_from": LATER})) == (409, "already_published")
    second = (await admin.post(f"{URL}/main/versions", json={})).json()
    assert second["version"] == 2
    past = await admin.post(f"{URL}/main/versions/2/publish", json={"effective_from": "2026-01-02T00:00:00Z"})
    assert problem(past) == (409, "already_in_force")
    assert (
        await admin.post(f"{URL}/main/versions/2/publish", json={"effective_from": LATER})
    ).status_code == 200
    listed = (await admin.get(f"{URL}/main/versions?limit=1")).json()
    assert [one["version"] for one in listed["data"]] == [2]
    rest = (await admin.get(f"{URL}/main/versions?limit=1&cursor={listed['next_cursor']}")).json()
    assert rest["data"] == [done.json()]
    assert (await admin.get(f"{URL}/main/versions/1")).json() == done.json()


@pytest.mark.parametrize(
    "rules, code",
    [
        ({"earning": []}, "unknown_member"),
        ({"clawback": "never"}, "unknown_value"),
        ({"pending_days": -1}, "invalid_number"),
        ({"earning_rules": [{"code": "a", "multiplier": 1.5}]}, "invalid_multiplier"),
        ({"tiers": [{"code": "a", "threshold": 5}]}, "invalid_tiers"),
        ({"pending_days": 60, "expiry_months": 1}, "expires_while_pending"),
    ],
)
async def test_what_are_no_rules_is_refused(
    admin: httpx.AsyncClient, rules: dict[str, Any], code: str
) -> None:
    await admin.post(URL, json=CLUB)
    assert problem(await admin.post(f"{URL}/main/versions", json=rules)) == (422, code)


async def test_a_programme_is_closed_once(admin: httpx.AsyncClient) -> None:
    await admin.post(URL, json=CLUB)
    close = f"{URL}/main/close"
    past = {"closed_at": "2020-01-01T00:00:00Z", "ends_at": LATER}
    assert problem(await admin.post(close, json=past)) == (422, "in_the_past")
    assert problem(await admin.post(close, json={"ends_at": "2020-01-01T00:00:00Z"})) == (
        422,
        "invalid_window",
    )
    closed = await admin.post(close, json={"ends_at": LATER})
    assert (closed.status_code, closed.json()["ends_at"]) == (200, LATER)
    assert (await admin.post(close, json={"ends_at": LATER})).json() == closed.json()
    other = {"ends_at": "2032-01-01T00:00:00Z"}
    assert problem(await admin.post(close, json=other)) == (409, "program_closed")


async def test_what_is_not_there(admin: httpx.AsyncClient) -> None:
    for path in ("", "/versions"):
        assert problem(await admin.get(f"{URL}/x{path}")) == (404, "program_not_found")
    assert problem(await admin.post(f"{URL}/x/versions", json={})) == (404, "program_not_found")
    assert problem(await admin.post(f"{URL}/x/versions/1/publish")) == (404, "program_not_found")
    assert problem(await admin.post(f"{URL}/x/close", json={"ends_at": LATER})) == (404, "program_not_found")
    await admin.post(URL, json=CLUB)
    assert problem(await admin.get(f"{URL}/main/versions/1")) == (404, "version_not_found")
    assert problem(await admin.post(f"{URL}/main/versions/1/publish")) == (404, "version_not_found")


async def test_only_admins_change_programmes(service: Service) -> None:
    member = await service.client(await service.key(scopes=["loyalty:read", "loyalty:write"]))
    for path, body in (
        ("", CLUB),
        ("/main/versions", {}),
        ("/main/versions/1/publish", {}),
        ("/main/close", {"ends_at": LATER}),
    ):
        assert problem(await member.post(URL + path, json=body)) == (403, "scope_missing")
    stranger = await service.client(await service.key(scopes=["customers:read"]))
    for path in ("", "/main", "/main/versions", "/main/versions/1"):
        assert problem(await stranger.get(URL + path)) == (403, "scope_missing")
