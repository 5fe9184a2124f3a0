"""Workers of the clock: many, late, and beside customers whom somebody holds or nobody is any more."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from app.storage.database import Database
from app.usecases.loyalty.run_clock import Clocked
from app.usecases.verify import verify
from tests.usecases.loyalty.clubs import DAY, RULES, START, Club, day

BERLIN = ZoneInfo("Europe/Berlin")
GRACE_ENDS = datetime(2027, 1, 2, tzinfo=BERLIN).astimezone(UTC) + 30 * DAY


async def kinds(club: Club, who: UUID) -> list[tuple[str, int]]:
    return [(entry.kind, entry.points) for entry in await club.ledger(who)]


async def test_many_looks_on_the_way_come_to_what_one_in_the_end_does(club: Club, store: Database) -> None:
    await club.open(RULES | {"expiry_months": 3})
    often, once = await club.members(2)
    for who in (often, once):
        for number in range(6):
            await club.at(20 * number).buy(who, 9_000 * (number + 1), f"o{number}")
    club.at(121)
    for number in range(122, 900, 7):
        async with store.hot_transaction() as connection:
            # The other one is held by somebody all the time, so nobody looks at it.
            await connection.execute("SELECT 1 FROM customer_states WHERE customer_id = $1 FOR UPDATE", once)
            await club.at(number).tick()
    await club.at(900).tick()
    assert await club.standing(often) == await club.standing(once)
    lines = [(entry.kind, entry.points, entry.effective_at) for entry in await club.ledger(often)]
    assert lines == [(entry.kind, entry.points, entry.effective_at) for entry in await club.ledger(once)]
    told: dict[UUID, list[Any]] = {who: [] for who in (often, once)}
    for row in await club.told("tier_changed"):
        told[row["customer_id"]].append((row["id"], row["said"], row["occurred_at"]))
    assert told[often] == told[once]
    assert told[often]
    assert sum(result.differences for result in await verify(store)) == 0


async def test_two_workers_at_once_do_nothing_twice(club: Club, database_url: str, store: Database) -> None:
    await club.open()
    members = await club.members(30)
    for who in members:
        await club.earn(who, 1_000, expires_at=day(60))
    club.at(GRACE_ENDS + DAY)
    other = Database(database_url, pool_size=2, hot_size=4, wait_seconds=5, statement_timeout_seconds=10)
    try:
        done = await asyncio.gather(*(club.tick(3, one) for one in (store, other) * 2))
    finally:
        await other.close()
    done.append(await club.tick())
    assert sum(one.expired for one in done) == sum(one.moved for one in done) == 30
    assert sum(one.failed for one in done) == 0
    for who in members:
        assert await kinds(club, who) == [("earn", 1_000), ("expire", -1_000)]
    assert len(await club.told("tier_changed")) == 30
    assert sum(result.differences for result in await verify(store)) == 0


async def test_who_was_erased_or_merged_loses_points_in_silence(club: Club, store: Database) -> None:
    await club.open()
    gone, merged = await club.members(2)
    for who in (gone, merged):
        await club.earn(who, 1_000, expires_at=day(60))
    async with store.hot_transaction() as connection:
        await connection.execute(
            "UPDATE customer_states SET erased_at = $2 WHERE customer_id = $1", gone, START
        )
        await connection.execute(
            "UPDATE customer_states SET merged_into = $2 WHERE customer_id = $1", merged, gone
        )
    assert (await club.at(GRACE_ENDS + DAY).tick()).expired == 2
    assert await club.told("tier_changed", "tier_warned", "points_expiring") == []
    assert await club.tick() == Clocked()


async def test_one_account_that_cannot_be_done_does_not_keep_the_others(club: Club, store: Database) -> None:
    await club.open()
    broken, well = await club.members(2)
    for who in (broken, well):
        await club.earn(who, 100, expires_at=day(60))
    async with store.hot_transaction() as connection:
        # A time that no clock ever shows: nothing can be written after it.
        await connection.execute(
            "UPDATE loyalty_accounts SET head = decode(repeat('00', 32), 'hex'), last_at = 'infinity'"
            " WHERE customer_id = $1",
            broken,
        )
    done = await club.at(61).tick()
    assert (done.failed, done.expired) == (1, 1)
    assert await kinds(club, well) == [("earn", 100), ("expire", -100)]
