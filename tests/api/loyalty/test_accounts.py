from typing import Any

import asyncpg
import httpx
import pytest

from app.storage.database import connect_arguments
from app.usecases.verify import verify
from tests.api.conftest import Service

ADJUST = "/v1/loyalty/adjustments"
LOYALTY = "/v1/customers/external_id:42/loyalty"
ENTRIES = "/v1/loyalty/entries"
LONG_AGO = "2026-01-01T00:00:00Z"


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


@pytest.fixture
async def points(admin: httpx.AsyncClient, club: dict[str, Any], ada: dict[str, Any]) -> list[dict[str, Any]]:
    """100 given, 30 taken."""
    assert club
    assert ada
    given = []
    for name, number in (("a", 100), ("b", -30)):
        said = {"id": name, "customer": "external_id:42", "points": number, "reason_code": "service"}
        answer = await admin.post(ADJUST, json=said)
        assert answer.status_code == 201, answer.text
        given.append(answer.json())
    return given


@pytest.mark.usefixtures("ada")
async def test_without_a_programme_there_is_no_loyalty(admin: httpx.AsyncClient) -> None:
    answer = await admin.get(LOYALTY)
    assert (answer.status_code, answer.json()) == (200, None)
    assert problem(await admin.get(f"{LOYALTY}?program=main")) == (404, "program_not_found")
    for path in ("balance", "verify", f"statement?from={LONG_AGO}"):
        assert problem(await admin.get(f"{LOYALTY}/{path}")) == (404, "program_not_found")
    assert problem(await admin.get(f"{ENTRIES}?customer=external_id:42")) == (404, "program_not_found")


@pytest.mark.usefixtures("club", "ada")
async def test_a_member_without_points_has_none(admin: httpx.AsyncClient) -> None:
    shown = (await admin.get(LOYALTY)).json()
    assert (shown["available"], shown["as_of_seq"], shown["tier"]) == (0, 0, None)
    assert (await admin.get(f"{LOYALTY}/verify")).json()["is_sound"] is True
    assert (await admin.get(f"{ENTRIES}?customer=external_id:42")).json()["data"] == []


@pytest.mark.usefixtures("points")
async def test_the_balance_says_where_a_member_stands(admin: httpx.AsyncClient) -> None:
    shown = (await admin.get(LOYALTY)).json()
    assert (shown["available"], shown["debt"], shown["lifetime_earned"]) == (70, 0, 100)
    assert (shown["tier"]["code"], shown["tier"]["points_to_next"]) == ("base", 500)


async def test_a_balance_of_the_past_never_changes(
    admin: httpx.AsyncClient, points: list[dict[str, Any]]
) -> None:
    first = points[0]["booked_at"]
    for _ in range(2):
        then = (await admin.get(f"{LOYALTY}/balance", params={"as_of": first})).json()
        assert (then["available"], then["as_of_seq"]) == (100, 1)
        more = {"id": "c", "customer": "external_id:42", "points": 5, "reason_code": "service"}
        await admin.post(ADJUST, json=more)
    assert (await admin.get(f"{LOYALTY}/balance")).json()["available"] == 75
    before = await admin.get(f"{LOYALTY}/balance", params={"as_of": LONG_AGO})
    assert (before.json()["available"], before.json()["as_of_seq"]) == (0, 0)
    future = await admin.get(f"{LOYALTY}/balance", params={"as_of": "2100-01-01T00:00:00Z"})
    assert problem(future) == (422, "in_the_future")


@pytest.mark.usefixtures("points")
async def test_a_statement_stands_between_its_sums(admin: httpx.AsyncClient) -> None:
    told = (await admin.get(f"{LOYALTY}/statement", params={"from": LONG_AGO})).json()
    assert (told["opening"], [line["balance"] for line in told["lines"]], told["closing"]) == (
        0,
        [100, 70],
        70,
    )
    since = told["lines"][1]["at"]
    later = (await admin.get(f"{LOYALTY}/statement", params={"from": since})).json()
    assert (later["opening"], len(later["lines"]), later["closing"]) == (100, 1, 70)
    empty = await admin.get(f"{LOYALTY}/statement", params={"from": since, "to": since})
    assert problem(empty) == (422, "invalid_window")


async def test_entries_are_listed_in_order_and_explained(
    admin: httpx.AsyncClient, points: list[dict[str, Any]]
) -> None:
    url = f"{ENTRIES}?customer=external_id:42"
    first = (await admin.get(f"{url}&limit=1")).json()
    second = (await admin.get(f"{url}&limit=1&cursor={first['next_cursor']}")).json()
    assert [one["seq"] for one in first["data"] + second["data"]] == [1, 2]
    assert second["data"][0]["previous_hash"] == first["data"][0]["hash"]
    assert (await admin.get(f"{url}&after_seq=1")).json()["data"] == second["data"]
    told = (await admin.get(f"{ENTRIES}/{points[0]['entry_id']}/explain")).json()
    assert told == {"entry": first["data"][0], "explain": None}
    for made_up in ("entry_x", points[0]["entry_id"][:-1] + "9", "entry_" + "0" * 43 + "_1"):
        assert problem(await admin.get(f"{ENTRIES}/{made_up}/explain")) == (404, "entry_not_found")
    assert problem(await admin.get(f"{url}&cursor=x")) == (422, "invalid_cursor")


async def test_two_programmes_keep_two_accounts(
    admin: httpx.AsyncClient, points: list[dict[str, Any]]
) -> None:
    assert points
    club = {"code": "vip", "name": "VIP", "currency": "EUR", "time_zone": "UTC"}
    await admin.post("/v1/loyalty/programs", json=club)
    await admin.post("/v1/loyalty/programs/vip/versions", json={})
    await admin.post("/v1/loyalty/programs/vip/versions/1/publish")
    said = {"id": "a", "customer": "external_id:42", "points": 7, "reason_code": "service", "program": "vip"}
    assert (await admin.post(ADJUST, json=said)).status_code == 201
    assert (await admin.get(f"{LOYALTY}?program=vip")).json()["available"] == 7
    assert (await admin.get(LOYALTY)).json()["available"] == 70


@pytest.mark.usefixtures("points")
async def test_verify_finds_what_was_changed_behind_the_service(service: Service, owner_url: str) -> None:
    database = service.app.state.database
    assert sum(result.differences for result in await verify(database)) == 0
    owner = await asyncpg.connect(**connect_arguments(owner_url))
    for statement, back in (
        (
            "UPDATE loyalty_accounts SET lifetime_earned = 99",
            "UPDATE loyalty_accounts SET lifetime_earned = 100",
        ),
        (
            "UPDATE loyalty_entries SET points = 31 - 60 WHERE seq = 2",
            "UPDATE loyalty_entries SET points = -30 WHERE seq = 2",
        ),
    ):
        await owner.execute(statement)
        assert [one.check.name for one in await verify(database) if one.differences] == ["ledgers"]
        await owner.execute(back)
    await owner.close()
    assert sum(result.differences for result in await verify(database)) == 0


async def test_only_those_who_may_read_points_see_them(service: Service) -> None:
    stranger = await service.client(await service.key(scopes=["customers:read"]))
    paths = ("", "/balance", "/verify", f"/statement?from={LONG_AGO}")
    urls = [LOYALTY + path for path in paths] + [f"{ENTRIES}?customer=external_id:42", f"{ENTRIES}/x/explain"]
    for url in urls:
        assert problem(await stranger.get(url)) == (403, "scope_missing")
