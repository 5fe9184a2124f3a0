"""Several processes share the rate of a key through one row of it."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.problems import Limited
from app.domain.rates import Rate
from app.storage import rates
from app.storage.database import Database
from app.usecases import rate_limiter
from app.usecases.keep_house import RATES_KEPT_FOR, keep_house
from app.usecases.rate_limiter import RateLimiter

RATE = Rate(10, 0.1)  # ten at once, ten a second
START = 1_760_000_000.0


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def served(limiter: RateLimiter, asked: int, key_id: str = "k") -> int:
    """How many of so many requests are admitted."""
    count = 0
    for _ in range(asked):
        try:
            limiter.take(key_id, RATE)
        except Limited:
            continue
        count += 1
    return count


@pytest.mark.parametrize("processes", [1, 2, 5])
async def test_all_processes_together_keep_what_is_promised(store: Database, processes: int) -> None:
    clock = Clock()
    limiters = [RateLimiter(store, clock=clock) for _ in range(processes)]
    total, seconds = 0, 30
    for _ in range(seconds * 4):
        total += sum(served(limiter, 20) for limiter in limiters)
        clock.now += 0.25
        if clock.now % 1 == 0:
            for limiter in limiters:
                await limiter.share()
    per_second = 1 / RATE.interval_seconds
    assert total <= processes * (RATE.quota + 2 * per_second) + seconds * per_second
    # And nobody is kept from what is theirs.
    assert total >= seconds * per_second * 0.9


async def test_what_one_process_let_through_is_missing_in_the_other_a_second_later(store: Database) -> None:
    clock = Clock()
    one, other = RateLimiter(store, clock=clock), RateLimiter(store, clock=clock)
    assert served(one, 10) == 10
    assert served(other, 1) == 1
    await one.share()
    await other.share()
    assert served(other, 1) == 0
    clock.now += 0.25
    assert served(other, 5) <= 2


async def test_a_process_that_is_alone_keeps_the_limit_exactly_and_sharing_costs_it_nothing(
    store: Database,
) -> None:
    clock = Clock()
    alone, sharing = RateLimiter(store, clock=clock), RateLimiter(store, clock=clock)
    for step in range(40):
        asked = (step * 7) % 5
        assert served(alone, asked, "alone") == served(sharing, asked, "shared")
        clock.now += 0.25
        await sharing.share()


async def test_what_cannot_be_told_now_is_told_later(database_url: str) -> None:
    clock = Clock()
    away = Database(
        "postgresql://nobody@127.0.0.1:9/none",
        pool_size=2,
        hot_size=2,
        wait_seconds=1,
        statement_timeout_seconds=1,
    )
    limiter = RateLimiter(away, clock=clock)
    assert served(limiter, 12) == 10
    with pytest.raises(Exception):  # noqa: B017, PT011 - whichever way it is away
        await limiter.share()
    limiter._database = there = Database(
        database_url, pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=5
    )
    await limiter.share()
    async with there.hot_reading() as connection:
        assert await connection.fetchval("SELECT arrival FROM rate_usage") == pytest.approx(START + 1)
    await there.close()
    await away.close()


async def test_the_memory_is_bounded_and_forgets_who_owes_nothing(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limiter, "MOST_KEYS", 3)
    clock = Clock()
    limiter = RateLimiter(store, clock=clock)
    for number in range(10):
        limiter.take(f"key-{number}", RATE)
    assert len(limiter._arrivals) <= 3
    assert len(limiter._unshared) <= 3
    clock.now += 60
    await limiter.share()
    assert limiter._arrivals == {}


async def test_rows_of_keys_that_owe_nothing_are_swept(store: Database) -> None:
    now = datetime.now(UTC)
    async with store.hot_reading() as connection:
        await rates.merge(connection, {"old": rates.Used(0.0, 1.0)}, now - RATES_KEPT_FOR - timedelta(1))
        await rates.merge(connection, {"new": rates.Used(0.0, 1.0)}, now)
    assert await keep_house(store, now) == 1
    async with store.hot_reading() as connection:
        assert await connection.fetchval("SELECT api_key FROM rate_usage") == "new"
