"""One row for what nearly every purchase writes: the tables hold what the general way would have written."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.domain.health.state import State
from app.domain.ids import uuid7
from app.domain.loyalty import clawback, crediting, spending
from app.domain.loyalty.account import Account, opened
from app.domain.loyalty.crediting import Earning
from app.domain.loyalty.earning import order_key
from app.domain.loyalty.known_orders import KnownOrder
from app.domain.loyalty.orders import Order, adopted
from app.storage import loading, recording
from app.storage.database import Database, connect_arguments
from app.storage.loyalty import orders, plain_earns, saving
from app.storage.loyalty.accounts import Loaded, Owner
from app.storage.loyalty.saving import Change

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ADA, BOB = (uuid7(1_700_000_000_000, bytes([number] * 10)) for number in (1, 2))
TABLES = ("loyalty_accounts", "loyalty_entries", "loyalty_lots", "loyalty_earns", "orders")


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    database = Database(database_url, pool_size=1, hot_size=1, wait_seconds=10, statement_timeout_seconds=10)
    async with database.hot_reading() as connection:
        for customer in (ADA, BOB):
            await connection.execute(
                "INSERT INTO customers (id, created_at, updated_at) VALUES ($1, $2, $2)", customer, NOW
            )
            await connection.execute(
                "INSERT INTO customer_states (customer_id, state) VALUES ($1, $2)", customer, State().encode()
            )
        await connection.execute(
            """
            INSERT INTO loyalty_programs (code, name, currency, time_zone, created_at, created_by, revision, versions)
            VALUES ('main', 'Club', 'EUR', 'UTC', $1, 'test', 1, 0)""",
            NOW,
        )
        yield connection
    await database.close()


def earning(name: str, points: int, lives: int | None = 60) -> Earning:
    at = NOW - 5 * DAY
    return Earning(
        order_key("shop", name, 1), points, at, at, None if lives is None else at + lives * DAY, 999, points
    )


def bought(points: int, lives: int | None) -> tuple[Account, Change, dict[str, list[KnownOrder]]]:
    before = opened(UUID(int=7))
    done = crediting.earned(before, earning("A-1", points, lives), NOW)
    loaded = Loaded(ADA, "main", before, None, None, None, 0, None, 1, 0, {}, Owner(1, None, None, "1"))
    known = KnownOrder("shop", "A-1", adopted(Order(), "p", 999), currency="EUR", touchpoints=[("shop", "p")])
    known.is_changed = True
    change = Change(loaded, done.account, done.entries, None, None, {done.result.key: {"points": points}})
    return done.account, change, {"A-1": [known]}


async def written(
    connection: asyncpg.Connection, change: Change, known: dict[str, list[KnownOrder]]
) -> dict[str, int]:
    parts = saving.changed_parts([change], NOW)
    told = orders.changed_orders([(change.before.customer_id, known)], NOW, parts.get("earned", ()))
    parts |= {"orders": told} if told else {}
    writes, counts = saving.writing(tuple(parts), customers=1, first=2)
    statement = f"WITH {', '.join(writes)} SELECT {', '.join(counts)}"
    row = await connection.fetchrow(statement, [change.before.customer_id], *saving.sent(parts))
    assert dict(row) == saving.sizes(parts)
    return dict(row)


async def rows(connection: asyncpg.Connection, customer: UUID) -> dict[str, list[dict[str, Any]]]:
    ours = {"customer_id", "origin_customer_id"}
    return {
        table: [
            {name: value for name, value in row.items() if name not in ours}
            for row in await connection.fetch(
                f"SELECT * FROM {table} WHERE customer_id = $1",  # noqa: S608 - this module's constants
                customer,
            )
        ]
        for table in TABLES
    }


@pytest.mark.parametrize("points, lives", [(49, 60), (49, None), (0, 60)])
async def test_what_is_written_is_what_the_general_way_writes(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, points: int, lives: int | None
) -> None:
    _, change, known = bought(points, lives)
    assert await written(connection, change, known) == {"opened": 1, "earned": 4 if points else 3}
    monkeypatch.setattr(plain_earns, "is_plain", lambda *_: False)
    other = replace(change, before=change.before._replace(customer_id=BOB))
    general = {"opened": 1, "entries": 1, "earns": 1, "orders": 1} | ({"lots": 1} if points else {})
    assert await written(connection, other, known) == general
    plain = await rows(connection, ADA)
    assert plain == await rows(connection, BOB)
    assert {table: len(found) for table, found in plain.items()} == dict.fromkeys(TABLES, 1) | {
        "loyalty_lots": 1 if points else 0
    }


async def test_a_row_that_stands_there_is_missing_from_the_count(connection: asyncpg.Connection) -> None:
    _, change, known = bought(49, 60)
    await written(connection, change, known)
    again = replace(change, before=change.before._replace(revision=1))
    parts = saving.changed_parts([again], NOW)
    assert not await saving.save(connection, [again], NOW)
    assert saving.sizes(parts)["earned"] == 3


def test_an_earn_of_which_something_went_is_not_plain() -> None:
    account, change, _ = bought(49, 60)
    (entry,) = change.entries
    empty = change.before.account
    assert plain_earns.is_plain(empty, account, entry)
    held = spending.held(account, id="h", points=1, ttl_seconds=60, now=NOW).account
    clawed = clawback.clawed_back(
        account, entry.key, id="r", amount_minor=1, policy="unlimited", now=NOW
    ).account
    for other in (held, clawed):
        assert not plain_earns.is_plain(empty, other, entry)
    assert not plain_earns.is_plain(account, account, entry)
    given = crediting.adjusted(
        empty, id="a", points=5, reason_code="x", allow_debt=False, expires_at=None, now=NOW
    )
    assert not plain_earns.is_plain(empty, given.account, given.entries[0])


def test_an_order_that_says_more_than_its_earn_is_written_by_itself() -> None:
    _, change, known = bought(49, 60)
    ((one,),) = known.values()
    assert plain_earns.is_just_posted(one)
    (row,) = saving.changed_parts([change], NOW)["earned"]
    other = replace(one, order=adopted(Order(), "p", 998))
    assert not plain_earns.with_order(row, other)
    assert "order_id" not in row
    for changed in (
        replace(one, revision=1),
        replace(one, touchpoints=[("shop", "p"), ("shop", "q")]),
        replace(one, answer="{}"),
        replace(one, origin=BOB),
        replace(one, order=replace(one.order, is_paid=False)),
        replace(one, order=replace(one.order, cycle=2)),
    ):
        assert not plain_earns.is_just_posted(changed)
        assert len(orders.changed_orders([(ADA, {"A-1": [changed]})], NOW, [row])) == 1


async def test_plans_that_are_made_of_empty_tables_read_no_whole_table(
    connection: asyncpg.Connection, owner_url: str
) -> None:
    """The hot path plans once: also in a shop that has not sold anything yet."""
    owner = await asyncpg.connect(**connect_arguments(owner_url))
    # From here on PostgreSQL knows that they are empty.
    await owner.execute("VACUUM ANALYZE")
    await owner.close()
    asked = loading._loading(
        threads=True, claimed=True, orders=True, tags=True, programs=True, bought=True, caps=True
    )
    parts = ("opened", "changed", "earned", "orders", "referrals")
    statements = (
        asked,
        *(loading._loading_named(names, thread=True, programs=True) for names in (1, loading.MOST_NAMES)),
        recording._writing(recording._WRITE_UNCHANGED, parts, at_once=True),
        recording._writing(recording._WRITE, parts, at_once=False),
    )
    for number, statement in enumerate(statements):
        arguments = len((await connection.prepare(statement)).get_parameters())
        await connection.execute(f"PREPARE kept_{number} AS {statement}")
        plan = await connection.fetch(f"EXPLAIN EXECUTE kept_{number} ({', '.join(['NULL'] * arguments)})")
        text = "\n".join(row[0] for row in plan)
        assert "$1" in text or "$3" in text, "the plan is not the one that is kept"
        # One row for each programme, and there are few.
        assert "Seq Scan" not in text.replace("Seq Scan on loyalty_programs", "")
        assert "ix_loyalty_accounts" not in text
        assert "ix_loyalty_lots_liability" not in text
        assert "ix_loyalty_referrals_state" not in text
