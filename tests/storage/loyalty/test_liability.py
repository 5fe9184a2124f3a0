"""What SQL says is owed, against the rules in Python, for random ledgers at random times."""

import random
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from app.domain.loyalty import crediting, settling, spending
from app.domain.loyalty.balances import Liability, as_of, liability
from app.domain.problems import Problem
from app.storage.loyalty import entries
from app.storage.loyalty import liability as stored
from tests.storage.loyalty.test_accounts import ADA, BOB, DAY, START, Ledger, _earning
from tests.storage.loyalty.test_accounts import connection as connection  # noqa: PLC0414 - a fixture

BERLIN = ZoneInfo("Europe/Berlin")


async def step(one: Ledger, chance: random.Random, number: int) -> None:
    """Something that happens to an account; what is refused changes nothing."""
    key, now = f"{number}", one.now
    points = chance.randint(1, 200)
    open_holds = [hold.id for hold in one.memory.holds.values() if hold.state == "open"]
    what = chance.choice(["earn", "earn", "take", "hold", "capture", "release", "settle"])
    try:
        if what == "earn":
            await one.do(lambda a: crediting.earned(a, _earning(key, points, now), now), earns=[key])
        elif what == "take":
            taken = partial(crediting.adjusted, points=-points, reason_code="service", allow_debt=True)
            await one.do(lambda a: taken(a, id=key, expires_at=None, now=now))
        elif what == "hold":
            ttl_seconds = chance.choice([60, 86_400 * 90])
            hold = partial(spending.held, id=key, points=points, ttl_seconds=ttl_seconds, now=now)
            await one.do(hold, spends=[key])
        elif what == "settle":
            await one.do(lambda a: settling.settled(a, now))
        elif open_holds:
            name = chance.choice(open_holds)
            if what == "capture":
                await one.do(lambda a: spending.captured(a, name, now), spends=[name])
            else:
                await one.do(lambda a: spending.released(a, name, now), spends=[name])
    except Problem:
        pass


async def said_by_rules(one: Ledger, at: datetime | None) -> Liability:
    whole = (await one.loaded(whole=True)).account
    if at is None:
        return liability(whole.lots.values(), whole.debt, one.now, BERLIN)
    ledger = await entries.all_of(one.connection, one.customer, entries.Face("main", whole.id, whole.seq))
    then = as_of(whole, ledger, at)
    return liability(then.lots.values(), then.debt, at, BERLIN)


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_owed_by_sql_is_what_is_owed_by_the_rules(
    connection: asyncpg.Connection, seed: int
) -> None:
    chance = random.Random(seed)
    people = [Ledger(connection, ADA), Ledger(connection, BOB)]
    for number in range(30):
        one = chance.choice(people)
        await step(one, chance, number)
        one.now += chance.random() * 20 * DAY
    end = max(one.now for one in people)
    for one in people:
        one.now = end
    times = [START + chance.random() * (end - START) for _ in range(6)]
    for at in (None, *times, START - DAY):
        parts = [await said_by_rules(one, at) for one in people]
        months: dict[str | None, int] = {}
        for part in parts:
            for month, points in part.by_month.items():
                months[month] = months.get(month, 0) + points
        owed = (
            await stored.owed(connection, "main", end, BERLIN.key)
            if at is None
            else await stored.owed_at(connection, "main", at, BERLIN.key)
        )
        assert (dict(owed.by_month), owed.debt) == (months, sum(part.debt for part in parts)), at
    assert any(one.memory.seq for one in people)
    assert await stored.owed(connection, "other", end, "UTC") == ({}, 0)
