"""What the clock asks is answered from indexes, however many members there are."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.domain.health.state import EMPTY
from app.domain.ids import uuid7
from app.domain.loyalty.tiers import Pause
from app.storage import customers
from app.storage.customers import Filter
from app.storage.database import connect_arguments
from app.storage.loyalty import clock, memberships
from app.storage.loyalty.clock import FIRST_PLACE

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MEMBERS = 6000
IDS = [uuid7(1_700_000_000_000 + number) for number in range(MEMBERS)]


@pytest.fixture
async def bare(owner_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A shop with many members; one in a thousand is due, in gold, or has their birthday."""
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    await customers.create(connection, IDS, EMPTY.encode(), NOW)
    await connection.execute(
        "INSERT INTO loyalty_programs (code, name, currency, time_zone, created_at, created_by, revision, versions)"
        " VALUES ('main', 'Club', 'EUR', 'UTC', $1, 'test', 1, 0)",
        NOW,
    )
    await connection.execute(
        """
        INSERT INTO loyalty_accounts (
          customer_id, program, account_id, seq, head, debt, lifetime_earned, lifetime_burned, lifetime_expired,
          tier, tier_since, review_at, due_at, opened_at, revision, ruled_by
        )
        SELECT id, 'main', id, 0, decode(repeat('00', 32), 'hex'), 0, 0, 0, 0,
          CASE WHEN n % 1000 = 0 THEN 'gold' ELSE 'base' END, $2, $2,
          $2::timestamptz + CASE WHEN n % 1000 = 0 THEN '-1 day' ELSE '100 days' END::interval, $2, 1,
          CASE WHEN n % 1000 = 0 THEN 1 ELSE 2 END
        FROM unnest($1::uuid[]) WITH ORDINALITY AS new (id, n)
        ON CONFLICT DO NOTHING
        """,
        IDS,
        NOW,
    )
    await connection.execute(
        """
        UPDATE customers c
        SET traits = jsonb_build_object('birthday', CASE WHEN n % 1000 = 0 THEN '1990-11-22' ELSE '03-14' END)
        FROM unnest($1::uuid[]) WITH ORDINALITY AS new (id, n) WHERE c.id = new.id
        """,
        IDS,
    )
    await connection.execute("ANALYZE customers, customer_states, loyalty_accounts")
    yield connection
    await connection.close()


async def planned(bare: asyncpg.Connection, ask: Callable[[], Awaitable[Any]]) -> Any:
    """The answer of one statement that reads no table whole."""
    seen: list[Any] = []
    with bare.query_logger(seen.append):
        found = await ask()
        await asyncio.sleep(0)  # the logger is called by the loop
    (statement,) = seen
    plan = await bare.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {statement.query}", *statement.args)
    told = "\n".join(line[0] for line in plan)
    assert "Seq Scan on loyalty_accounts" not in told, told
    assert "Seq Scan on customers" not in told, told
    return found


async def test_who_is_due_is_found_page_by_page(bare: asyncpg.Connection) -> None:
    first = await planned(bare, lambda: clock.due(bare, NOW, 4))
    second = await planned(bare, lambda: clock.due(bare, NOW, 4, first[-1]))
    assert [len(first), len(second)] == [4, 2]
    assert [place.customer_id for place in (*first, *second)] == IDS[999::1000]
    assert await clock.due(bare, NOW - timedelta(days=2), 4, FIRST_PLACE) == []


async def test_tiers_of_another_version_are_found(bare: asyncpg.Connection) -> None:
    found = await planned(bare, lambda: clock.outdated(bare, "main", 2, 100))
    assert sorted(found) == IDS[999::1000]


async def test_birthdays_are_found_once_their_members_have_one(bare: asyncpg.Connection) -> None:
    async def ask(born: list[str], after: UUID = FIRST_PLACE.customer_id) -> list[UUID]:
        until = NOW + timedelta(days=1)
        return await clock.celebrating(bare, "main", born, "birthday:2026", until, after, 4)

    first = await planned(bare, lambda: ask(["11-22"]))
    assert [*first, *await ask(["11-22"], first[-1])] == IDS[999::1000]
    assert await ask(["11-23"]) == []


async def test_a_list_by_tier_reads_those_of_the_tier(bare: asyncpg.Connection) -> None:
    narrow = Filter(tier=("main", "gold"))
    found = await planned(bare, lambda: customers.newest(bare, 3, narrow))
    rest = await planned(bare, lambda: customers.newest(bare, 9, narrow, found[-1].id))
    assert [one.id for one in (*found, *rest)] == IDS[999::1000][::-1]
    assert await customers.newest(bare, 3, Filter(tier=("", "gold"))) == []


async def test_one_member_is_read_by_key(bare: asyncpg.Connection) -> None:
    found = await planned(bare, lambda: memberships.find(bare, IDS[999], "main", "UTC", NOW))
    assert (found.standing.tier, found.qualifying) == ("gold", {})
    assert await memberships.find(bare, IDS[0], "other", "UTC", NOW) is None


async def test_pauses_are_openings_and_their_resolutions_by_when_they_were_told(
    bare: asyncpg.Connection,
) -> None:
    who = IDS[0]
    told = (
        ("k", "opened", 1),
        ("k", "resolved", 3),
        ("k", "opened", 5),
        ("m", "opened", 2),
        ("w", "resolved", 4),
    )
    for number, (thread, what, hours) in enumerate(told):
        at = NOW + timedelta(hours=hours)
        await bare.execute(
            """
            INSERT INTO touchpoints (
              customer_id, origin_customer_id, source, id, kind, occurred_at, received_at, body_sha256, thread, outcome
            )
            VALUES ($1, $1, 'shop', $2, $3, $4, $5, $6, $7, 'null')
            """,
            who,
            str(number),
            f"complaint_{what}",
            NOW - timedelta(days=9),
            at,
            bytes(32),
            f"complaint:{thread}",
        )

    async def asked(hours: float) -> list[Pause]:
        found = await clock.pauses(bare, [who, IDS[1]], NOW + timedelta(hours=hours))
        assert set(found) <= {who}
        return sorted(found.get(who, []), key=lambda pause: pause.since)

    hours_on = [NOW + timedelta(hours=number) for number in range(9)]
    assert await asked(0.5) == []
    assert await asked(2.5) == [Pause(hours_on[1]), Pause(hours_on[2])]
    assert await asked(6) == [Pause(hours_on[1], hours_on[3]), Pause(hours_on[2]), Pause(hours_on[5])]
    await bare.execute(
        "INSERT INTO touchpoint_voids (customer_id, origin_customer_id, source, id, voided_at, voided_by, outcome)"
        " VALUES ($1, $1, 'shop', '3', $2, 'test', 'null')",
        who,
        NOW,
    )
    assert await asked(6) == [Pause(hours_on[1], hours_on[3]), Pause(hours_on[5])]
