"""What watches the suite for leaks finds them."""

import asyncio
import logging

import pytest
import structlog

from app.domain.problems import Invalid
from tests.api.conftest import ADMIN_KEY, Service
from tests.leaks import OURS, WATCH, Watch

SEEDS = [
    "ada@example.com",
    "ada%40example.com",
    "+4915112345679",
    ADMIN_KEY,
    "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
    "postgresql://rapport:hunter2@db.example/rapport",
]


@pytest.mark.parametrize("seed", SEEDS)
def test_each_kind_of_seed_is_found(seed: str) -> None:
    watch = Watch()
    watch.scan("a log line", f'{{"event": "x", "said": "{seed}"}}')
    assert len(watch.found) >= 1
    with pytest.raises(AssertionError):
        watch.check()
    watch.check()


@pytest.mark.parametrize(
    "harmless",
    [
        '"time": "2026-11-22T12:00:00.123456Z"',
        '"at": "2026-11-22T12:00:00+02:00"',
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        'http_request_seconds_bucket{le="+Inf"} 12345678.0',
        *OURS,
    ],
)
def test_what_names_nobody_is_not(harmless: str) -> None:
    watch = Watch()
    watch.scan("a log line", harmless)
    watch.check()


@pytest.fixture
def found() -> list[str]:
    """What the suite's own watch has found; taken away, so that this test does not fail by it."""
    WATCH.check()
    return WATCH.found


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_watch_stands_behind_both_ways_of_logging(seed: str, found: list[str]) -> None:
    structlog.get_logger().warning("planted", said=seed)
    logging.getLogger("somebody").warning("planted %s", seed)
    await asyncio.sleep(0)
    count = len(WATCH.found)
    WATCH.found.clear()
    assert count >= 2, found


async def test_the_watch_stands_before_problems_and_headers(service: Service) -> None:
    @service.app.get("/planted")
    async def planted() -> None:
        raise Invalid("planted", "You sent ada@example.com.")

    await (await service.client()).get("/planted")
    assert any("answered" in each for each in WATCH.found)
    WATCH.found.clear()
