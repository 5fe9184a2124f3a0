"""How fast a key may go, as its callers see it."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from app.usecases.rate_limiter import RateLimiter
from tests.api.conftest import Service
from tests.api.test_problems import problem


async def limited(service: Service, rate_per_minute: int, preset: str = "admin") -> httpx.AsyncClient:
    return await service.client(await service.key(preset, rate_per_minute=rate_per_minute))


def left(answer: httpx.Response) -> tuple[int, int]:
    """What the RateLimit header says: units left, seconds until all are given again."""
    found = re.fullmatch(r'"key";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert found is not None
    return int(found[1]), int(found[2])


def visits(count: int, first: int = 0) -> dict[str, Any]:
    return {
        "touchpoints": [
            {"id": f"v-{first + number}", "customer": "external_id:1", "kind": "visit"}
            for number in range(count)
        ]
    }


async def test_every_answer_says_what_is_left_and_the_one_too_many_how_long_to_wait(service: Service) -> None:
    client = await limited(service, 12)  # two at once, then one in five seconds
    first, second, third = [await client.get("/v1/keys") for _ in range(3)]
    assert [first.status_code, second.status_code] == [200, 200]
    assert first.headers["ratelimit-policy"] == '"key";q=2;w=10'
    assert left(first) == (1, 5)
    assert left(second)[0] == 0
    body = problem(third, 429, "rate_limited")
    assert 1 <= int(third.headers["retry-after"]) <= 5
    assert body["retry_after_seconds"] == int(third.headers["retry-after"])
    assert left(third)[0] == 0


async def test_whoever_waits_as_told_is_served(service: Service) -> None:
    client = await limited(service, 60)
    answers = [await client.get("/v1/keys") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    await asyncio.sleep(int(answers[-1].headers["retry-after"]))
    assert (await client.get("/v1/keys")).status_code == 200


async def test_a_refused_request_writes_nothing(service: Service, admin: httpx.AsyncClient) -> None:
    client = await limited(service, 6)
    purchase = {"id": "p", "customer": "external_id:1", "kind": "visit"}
    assert (await client.get("/v1/keys")).status_code == 200
    problem(await client.post("/v1/touchpoints", json=purchase), 429, "rate_limited")
    problem(await admin.get("/v1/customers/external_id:1"), 404, "customer_not_found")


async def test_a_batch_costs_its_items(service: Service) -> None:
    client = await limited(service, 600)  # a hundred at once
    answer = await client.post("/v1/touchpoints/batch", json=visits(60))
    assert answer.status_code == 200
    assert left(answer)[0] in (40, 41)
    refused = await client.post("/v1/touchpoints/batch", json=visits(60, 60))
    problem(refused, 429, "rate_limited")
    assert left(refused)[0] in range(40, 45)
    smaller = await client.post("/v1/touchpoints/batch", json=visits(30, 60))
    assert smaller.json()["stored"] == 30


async def test_a_batch_larger_than_the_quota_is_taken_when_nothing_is_owed_and_then_owed(
    service: Service,
) -> None:
    client = await limited(service, 600)
    answer = await client.post("/v1/touchpoints/batch", json=visits(130))
    assert answer.json()["stored"] == 130
    refused = await client.get("/v1/keys")
    problem(refused, 429, "rate_limited")
    assert int(refused.headers["retry-after"]) in (3, 4)


async def test_keys_do_not_slow_each_other(service: Service) -> None:
    one, other = await limited(service, 6), await limited(service, 6)
    assert (await one.get("/v1/keys")).status_code == 200
    assert (await one.get("/v1/keys")).status_code == 429
    assert (await other.get("/v1/keys")).status_code == 200


async def test_a_key_without_a_limit_is_told_none(service: Service) -> None:
    answer = await (await limited(service, 0)).get("/v1/keys")
    assert "ratelimit" not in answer.headers
    assert "ratelimit-policy" not in answer.headers


async def test_refusals_are_counted_for_the_operator(service: Service, admin: httpx.AsyncClient) -> None:
    client = await limited(service, 6)
    for _ in range(3):
        await client.get("/v1/keys")
    assert 'rate_limited_requests{answer="429"} 2.0' in (await admin.get("/metrics")).text


@pytest.mark.parametrize("rate", [-1, 6_000_001, "60", 1.5, True])
async def test_a_rate_is_a_whole_number_up_to_its_most(admin: httpx.AsyncClient, rate: object) -> None:
    sent = {"preset": "admin", "source": "x", "rate_per_minute": rate}
    problem(await admin.post("/v1/keys", json=sent), 422, "validation_failed")


# --- several processes ----------------------------------------------------------------------------------------------


async def test_a_row_is_written_once_a_second_and_not_with_each_request(service: Service) -> None:
    client = await limited(service, 600)
    limiter: RateLimiter = service.app.state.rate_limiter
    for _ in range(5):
        await client.get("/v1/keys")
    await limiter.share()
    async with service.app.state.database.hot_reading() as connection:
        rows = await connection.fetch("SELECT api_key FROM rate_usage")
        assert len(rows) == 1
