from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service

URL = "/v1/loyalty/liability"

pytestmark = pytest.mark.usefixtures("club", "ada")


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def book(admin: httpx.AsyncClient, name: str, points: int, expires_at: str | None = None) -> None:
    said: dict[str, Any] = {
        "id": name,
        "customer": "external_id:42",
        "points": points,
        "reason_code": "service",
        "allow_debt": True,
        "expires_at": expires_at,
    }
    answer = await admin.post("/v1/loyalty/adjustments", json=said)
    assert answer.status_code == 201, answer.text


async def test_points_by_the_month_in_which_they_expire(admin: httpx.AsyncClient) -> None:
    # The first instant of a month in Berlin ends the month before.
    await book(admin, "a", 100, "2097-02-28T23:00:00Z")
    await book(admin, "b", 50, "2097-02-28T23:00:01Z")
    await book(admin, "c", 7)
    before = datetime.now(UTC)
    await book(admin, "d", -120)
    told = (await admin.get(URL)).json()
    assert told["by_month"] == [{"month": "2097-03", "points": 30}, {"month": None, "points": 7}]
    assert (told["program"], told["points"], told["debt"], told["time_zone"]) == (
        "main",
        37,
        0,
        "Europe/Berlin",
    )
    then = (await admin.get(URL, params={"as_of": before.isoformat()})).json()
    assert then["by_month"] == [
        {"month": "2097-02", "points": 100},
        {"month": "2097-03", "points": 50},
        {"month": None, "points": 7},
    ]
    await book(admin, "e", -100)
    assert (await admin.get(URL)).json()["debt"] == 63
    assert (await admin.get(URL, params={"as_of": before.isoformat()})).json() == then
    long_ago = await admin.get(URL, params={"as_of": "2020-01-01T00:00:00Z"})
    assert (long_ago.json()["points"], long_ago.json()["debt"], long_ago.json()["by_month"]) == (0, 0, [])


async def test_what_cannot_be_asked(admin: httpx.AsyncClient, service: Service) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert problem(await admin.get(URL, params={"as_of": ahead})) == (422, "in_the_future")
    assert problem(await admin.get(URL, params={"program": "x"})) == (404, "program_not_found")
    shop = await service.client(await service.key("storefront"))
    assert problem(await shop.get(URL)) == (403, "scope_missing")
