"""A shop with a programme, and a customer."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.loyalty.spending import Till

CLUB = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}
RULES: dict[str, Any] = {
    "earning_rules": [{"code": "base", "points": 1, "per_amount_minor": 100}],
    "limits": {"approval_over": 500, "goodwill_a_year": 300, "surprise_a_year": 100},
    "tiers": [{"code": "base", "threshold": 0}, {"code": "silver", "threshold": 500}],
}


@pytest.fixture
async def club(admin: httpx.AsyncClient) -> dict[str, Any]:
    """A programme whose first version is in force."""
    made = await admin.post("/v1/loyalty/programs", json=CLUB)
    assert made.status_code == 201, made.text
    drafted = await admin.post("/v1/loyalty/programs/main/versions", json=RULES)
    assert drafted.status_code == 201, drafted.text
    published = await admin.post(
        "/v1/loyalty/programs/main/versions/1/publish", json={"effective_from": "2026-01-01T00:00:00Z"}
    )
    assert published.status_code == 200, published.text
    answer: dict[str, Any] = published.json()
    return answer


async def publish(client: httpx.AsyncClient, program: str = "main", **rules: Any) -> None:
    """Let another version of the rules be in force from now on."""
    drafted = await client.post(f"/v1/loyalty/programs/{program}/versions", json=RULES | rules)
    assert drafted.status_code == 201, drafted.text
    number = drafted.json()["version"]
    published = await client.post(f"/v1/loyalty/programs/{program}/versions/{number}/publish")
    assert published.status_code == 200, published.text


@pytest.fixture
def publishing(admin: httpx.AsyncClient) -> Callable[[], Awaitable[None]]:
    """A programme in force, for tests that begin it by themselves."""

    async def begin() -> None:
        assert (await admin.post("/v1/loyalty/programs", json=CLUB)).status_code == 201
        await publish(admin)

    return begin


@pytest.fixture
async def ada(admin: httpx.AsyncClient) -> dict[str, Any]:
    answer = await admin.post("/v1/customers", json={"identifiers": {"external_id": "42"}})
    created: dict[str, Any] = answer.json()
    return created


@pytest.fixture
async def bob(service: Service) -> httpx.AsyncClient:
    """A second person, who may do everything too."""
    return await service.client(await service.key("admin", source="back-office"))


@pytest.fixture
async def till(admin: httpx.AsyncClient) -> Till:
    """Where Ada's points are spent."""
    return Till(admin)
