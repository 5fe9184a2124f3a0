"""What another process has just published counts at once, in whichever way money comes in."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.domain.health.model import shipped
from app.domain.identifiers import Reference
from app.domain.touchpoints import Touchpoint, propose
from app.storage.database import Database
from app.storage.loyalty.programs import all_rules
from app.usecases.lanes import Lanes
from app.usecases.loyalty import keep_programs
from app.usecases.loyalty.earn import Earning, earning_at
from app.usecases.loyalty.read_account import read_loyalty
from app.usecases.loyalty.remembered_programs import RememberedPrograms
from app.usecases.models.active_model import ActiveModel
from app.usecases.record_touchpoints import Entry, Outcome, record_group, record_touchpoints
from tests.usecases.loyalty.clubs import DAY, Club, day

MODEL = shipped()
Way = Callable[[Database, list[Entry], Earning], Awaitable[list[Outcome]]]


async def looking(store: Database, entries: list[Entry], earning: Earning) -> list[Outcome]:
    """As the write path does: read, then write what did not change."""
    async with store.hot_reading() as connection:
        return await record_group(connection, entries, MODEL, earning)


async def locking(store: Database, entries: list[Entry], earning: Earning) -> list[Outcome]:
    """As orders and everybody else do who is in a transaction."""
    async with store.hot_transaction() as connection:
        return await record_touchpoints(connection, entries, MODEL, earning)


def bought(name: str, club: Club) -> Touchpoint:
    said: dict[str, Any] = {"amount_minor": 10_000, "currency": "EUR", "order_id": name}
    return propose(
        source="shop",
        id=name,
        kind="purchase",
        occurred_at=club.now,
        now=club.now,
        body_sha256=name.encode().ljust(32, b"-"),
        shop_currency="EUR",
        **said,
    )


@pytest.mark.parametrize("way", [looking, locking])
async def test_a_process_that_knows_no_programme_earns_by_the_one_that_is_there(
    store: Database, way: Way
) -> None:
    club = Club(store).at(1)
    nobody_knows = earning_at({}, "EUR", club.now)
    (ada,) = await club.members()
    await way(store, [Entry(ada, bought("p-0", club))], nobody_knows)
    await club.open()
    await way(store, [Entry(ada, bought("p-1", club)), Entry(ada, bought("p-2", club))], nobody_knows)
    assert (await club.loaded(ada)).account.lifetime_earned == 200


@pytest.mark.parametrize("way", [looking, locking])
async def test_a_process_that_knows_another_programme_earns_in_the_oldest_open_one(
    store: Database, way: Way
) -> None:
    club = Club(store).at(1)
    await club.open()
    (ada,) = await club.members()
    async with store.hot_transaction() as connection:
        await keep_programs.close_program(connection, "main", club.now, day(30), club.now)
        known = await all_rules(connection)
    stale = earning_at(known, "EUR", club.at(2).now)
    said = {"code": "next", "name": "Next", "currency": "EUR", "time_zone": "Europe/Berlin"}
    rules = {"earning_rules": [{"code": "base", "points": 2, "per_amount_minor": 100}]}
    async with store.hot_transaction() as connection:
        await keep_programs.create_program(connection, said, "test", club.now)
        draft = await keep_programs.draft_version(connection, "next", rules, "test", club.now)
        await keep_programs.publish_version(
            connection, "next", draft.number, club.now - DAY, "test", club.now
        )
    await way(store, [Entry(ada, bought("p-1", club))], stale)
    async with store.hot_reading() as connection:
        earned = await connection.fetch(
            "SELECT program, points FROM loyalty_entries WHERE customer_id = $1", ada
        )
    assert [tuple(row) for row in earned] == [("next", 200)]


async def test_a_process_that_could_not_read_the_programmes_when_it_started_earns_all_the_same(
    store: Database,
) -> None:
    club = Club(store).at(1)
    (ada,) = await club.members()
    await club.open()
    never_read = RememberedPrograms(store)
    lanes = Lanes(
        store,
        ActiveModel(store),
        never_read,
        shop_currency="EUR",
        lanes=1,
        queue_limit=10,
        group_limit=10,
    )
    lanes.start()
    await lanes.record([Entry(ada, bought("p-1", club)), Entry(ada, bought("p-2", club))])
    await lanes.record_one(Entry(ada, bought("p-3", club)))
    await lanes.drain()
    assert never_read.current == {}
    assert (await club.loaded(ada)).account.lifetime_earned == 300


async def test_a_reader_who_knows_no_programme_looks_before_saying_that_there_is_none(
    store: Database,
) -> None:
    club = Club(store).at(1)
    (ada,) = await club.members()
    async with store.hot_reading() as connection:
        assert await read_loyalty(connection, Reference(ada, ()), None, {}, club.now) is None
    await club.open()
    async with store.hot_reading() as connection:
        assert await read_loyalty(connection, Reference(ada, ()), None, {}, club.now) is not None
