"""Sweeps on a real database: who is due, that each change is told once, and that nothing stops a worker for good."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.domain.health.model import shipped
from app.domain.health.score import score
from app.domain.health.state import State
from app.domain.touchpoints import seconds
from app.storage.database import Database, connect_arguments, unavailable
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.models.active_model import ActiveModel
from app.usecases.post_touchpoints import Post, post_touchpoints
from app.usecases.sweep_bands import Swept, keep_sweeping, sweep_bands
from tests.usecases.posts import NOW, post

MODEL = shipped()
YEARS_LATER = NOW + timedelta(days=800)


@pytest.fixture
def shop(store: Database, lanes: Lanes, identities: Identities) -> "Shop":
    return Shop(store, lanes, identities)


class Shop:
    """Customers who bought monthly until today, and what the tables say of them."""

    def __init__(self, store: Database, lanes: Lanes, identities: Identities) -> None:
        self.store, self._lanes, self._identities = store, lanes, identities

    async def add(self, *posts: Post, now: datetime = NOW) -> None:
        answers = await post_touchpoints(self._identities, self._lanes, posts, now, may_add_identifiers=True)
        assert not [answer for answer in answers if isinstance(answer, BaseException)]

    async def regulars(self, count: int) -> None:
        await self.add(
            *(
                post(f"{number}-{days}", f"external_id:{number}", days_ago=days, told=False)
                for number in range(count)
                for days in range(0, 200, 30)
            )
        )

    async def rows(self) -> list[asyncpg.Record]:
        async with self.store.hot_reading() as connection:
            rows = await connection.fetch(
                "SELECT *, xmin::text AS version FROM customer_states ORDER BY customer_id"
            )
        return list(rows)

    async def changes(self) -> list[tuple[UUID, str, str, datetime]]:
        """Every change of band that was told."""
        async with self.store.hot_reading() as connection:
            rows = await connection.fetch(
                """
                SELECT customer_id, properties ->> 'from' AS was, properties ->> 'to' AS is, occurred_at, source
                FROM touchpoints WHERE kind = 'band_changed' ORDER BY customer_id, occurred_at
                """
            )
        assert {row["source"] for row in rows} <= {"rapport"}
        return [(row["customer_id"], row["was"], row["is"], row["occurred_at"]) for row in rows]

    async def sweep(self, now: datetime, store: Database | None = None, page: int = 100) -> Swept:
        return await sweep_bands(store or self.store, MODEL, now, page)


def band_of(row: asyncpg.Record, now: datetime) -> str:
    return score(State.decode(row["state"]), seconds(now), MODEL).band


def received(touchpoint_post: Post, at: datetime) -> Post:
    """The same post, made at another time."""
    touchpoint = touchpoint_post.touchpoint._replace(occurred_at=at, received_at=at)
    fact = touchpoint.fact._replace(at=seconds(at))
    return touchpoint_post._replace(touchpoint=touchpoint._replace(fact=fact))


async def test_a_sweep_draws_the_bands_of_silent_customers_and_tells_each_change(shop: Shop) -> None:
    await shop.regulars(3)
    assert {row["band"] for row in await shop.rows()} == {"thriving"}
    # Not for long: the write path's time may be too early, but never too late.
    assert await shop.sweep(NOW + timedelta(minutes=2)) == Swept()

    assert await shop.sweep(YEARS_LATER) == Swept(changed=3)
    rows = await shop.rows()
    assert [row["band"] for row in rows] == [band_of(row, YEARS_LATER) for row in rows] == ["lost"] * 3
    assert {row["scored_at"] for row in rows} == {YEARS_LATER}
    changes = await shop.changes()
    for row in rows:
        told = [change[1:3] for change in changes if change[0] == row["customer_id"]]
        assert told == [
            ("thriving", "healthy"),
            ("healthy", "cooling"),
            ("cooling", "at_risk"),
            ("at_risk", "lost"),
        ]
    assert await shop.sweep(YEARS_LATER) == Swept()
    assert await shop.changes() == changes


async def test_many_sweeps_on_the_way_tell_what_one_in_the_end_does(shop: Shop) -> None:
    await shop.regulars(1)
    for day in range(0, 801, 5):
        await shop.sweep(NOW + timedelta(days=day))
        (row,) = await shop.rows()
        assert row["band"] == band_of(row, NOW + timedelta(days=day))
    on_the_way = await shop.changes()
    await shop.add(*(post(f"x-{days}", "external_id:x", days_ago=days) for days in range(0, 200, 30)))
    await shop.sweep(YEARS_LATER)
    others = [change[1:] for change in await shop.changes() if change not in on_the_way]
    assert [change[1:] for change in on_the_way] == others


async def test_only_those_who_are_due_are_touched(shop: Shop) -> None:
    await shop.regulars(2)
    await shop.add(post("old", "external_id:old", days_ago=500))
    before = {row["customer_id"]: row for row in await shop.rows()}
    due = min(row["band_until"] for row in before.values() if row["band_until"] is not None)
    await shop.sweep(due)
    for row in await shop.rows():
        was = before[row["customer_id"]]
        if was["band_until"] is None or was["band_until"] > due:
            assert row["version"] == was["version"]
        else:
            assert row["band_until"] > due


async def test_pages_reach_everybody(shop: Shop) -> None:
    await shop.regulars(7)
    assert await shop.sweep(YEARS_LATER, page=2) == Swept(changed=7)
    assert len(await shop.changes()) == 28


async def test_two_workers_at_once_tell_nothing_twice(shop: Shop, database_url: str) -> None:
    await shop.regulars(20)
    other = Database(database_url, pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=10)
    try:
        sweeps = [shop.sweep(YEARS_LATER, store, page=3) for store in (shop.store, other) * 3]
        swept = await asyncio.gather(*sweeps)
    finally:
        await other.close()
    assert sum(one.failed for one in swept) == 0
    # What one of them skipped because another held it is done by that other.
    assert sum(one.changed for one in swept) == 20
    assert len(await shop.changes()) == len(set(await shop.changes())) == 80


class Breaking(Database):
    """A database whose server ends the connection of a transaction before its n-th statement or its COMMIT."""

    def __init__(self, url: str, statements: int) -> None:
        super().__init__(url, pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=10)
        self.left = statements

    @asynccontextmanager
    async def hot_transaction(self) -> AsyncIterator[asyncpg.Connection]:
        async with super().hot_transaction() as connection:
            yield _Counting(connection, self)
            await self.step(connection)

    async def step(self, connection: asyncpg.Connection) -> None:
        if self.left == 0:
            async with self.hot_reading() as other:
                await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
        self.left -= 1


class _Counting:
    def __init__(self, connection: asyncpg.Connection, database: Breaking) -> None:
        self._connection, self._database = connection, database

    async def fetch(self, *arguments: Any) -> Any:
        await self._database.step(self._connection)
        return await self._connection.fetch(*arguments)

    async def fetchrow(self, *arguments: Any) -> Any:
        await self._database.step(self._connection)
        return await self._connection.fetchrow(*arguments)

    async def execute(self, *arguments: Any) -> Any:
        await self._database.step(self._connection)
        return await self._connection.execute(*arguments)


async def test_a_worker_that_dies_between_any_two_steps_loses_and_doubles_nothing(
    shop: Shop, database_url: str
) -> None:
    await shop.regulars(2)
    died = 0
    for statements in range(20):
        before = await shop.rows(), await shop.changes()
        breaking = Breaking(database_url, statements)
        try:
            await shop.sweep(YEARS_LATER, breaking)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            died += 1
            assert (await shop.rows(), await shop.changes()) == before
        else:
            break
        finally:
            await breaking.close()
    assert died >= 5  # lock, known ids of both, insert, update, commit
    assert len(await shop.changes()) == 8
    assert await shop.sweep(YEARS_LATER) == Swept()


async def test_rows_that_somebody_holds_are_left_for_the_next_sweep(shop: Shop) -> None:
    await shop.regulars(3)
    held = (await shop.rows())[1]["customer_id"]
    async with shop.store.hot_transaction() as connection:
        await connection.execute("SELECT 1 FROM customer_states WHERE customer_id = $1 FOR UPDATE", held)
        assert await shop.sweep(YEARS_LATER) == Swept(changed=2)
    assert await shop.sweep(YEARS_LATER) == Swept(changed=1)
    assert len(await shop.changes()) == 12


async def test_a_touchpoint_that_is_faster_than_the_sweep_tells_what_silence_did(shop: Shop) -> None:
    await shop.regulars(1)
    later = NOW + timedelta(days=120)
    back = received(post("back", "external_id:0"), later)
    await shop.add(back, now=later)
    changes = await shop.changes()
    assert changes[0][1:3] == ("thriving", "healthy")
    assert all(change[3] < later for change in changes)
    (after,) = await shop.rows()
    assert after["band"] == band_of(after, later)
    assert after["band_until"] > later
    # A retry adds nothing, and the next sweep finds nothing that was not told.
    await shop.add(back, now=later + timedelta(seconds=9))
    assert await shop.sweep(later) == Swept()
    assert await shop.changes() == changes


async def test_what_an_event_does_to_the_band_is_told_to_its_caller_alone(shop: Shop) -> None:
    await shop.regulars(1)
    await shop.add(
        post(
            "c",
            "external_id:0",
            kind="complaint_opened",
            properties={"complaint_id": "c", "severity": "critical"},
        )
    )
    (row,) = await shop.rows()
    assert row["band"] != "thriving"
    assert await shop.changes() == []


async def test_a_write_keeps_the_time_that_still_holds_off_the_index(shop: Shop) -> None:
    await shop.regulars(1)
    (before,) = await shop.rows()
    for number in range(5):
        await shop.add(post(f"v{number}", "external_id:0", kind="visit"))
    (after,) = await shop.rows()
    assert after["state"] != before["state"]
    assert after["band_until"] == before["band_until"]


async def test_who_cannot_be_read_does_not_stop_the_others(shop: Shop, owner_url: str) -> None:
    await shop.regulars(3)
    broken = (await shop.rows())[0]["customer_id"]
    owner = await asyncpg.connect(**connect_arguments(owner_url))
    await owner.execute(
        "UPDATE customer_states SET state = '\\x09', band_until = '2000-01-01Z' WHERE customer_id = $1",
        broken,
    )
    await owner.close()
    assert await shop.sweep(YEARS_LATER, page=2) == Swept(changed=2, failed=1)
    assert len(await shop.changes()) == 8


async def test_bands_of_another_model_are_drawn_anew_and_not_told(shop: Shop) -> None:
    await shop.regulars(3)
    async with shop.store.hot_transaction() as connection:
        await connection.execute("UPDATE customer_states SET scored_by = '2025.9', band = 'lost'")
    assert await shop.sweep(NOW + timedelta(minutes=1), page=2) == Swept(redrawn=3)
    rows = await shop.rows()
    assert {(row["band"], row["scored_by"]) for row in rows} == {("thriving", MODEL.version)}
    assert await shop.changes() == []


async def test_the_merged_and_the_erased_are_never_due_again(shop: Shop) -> None:
    await shop.regulars(2)
    async with shop.store.hot_transaction() as connection:
        await connection.execute("UPDATE customer_states SET erased_at = $1", NOW)
    assert (await shop.sweep(YEARS_LATER)).changed == 0
    assert {(row["band_until"], row["scored_by"]) for row in await shop.rows()} == {(None, None)}
    assert await shop.sweep(YEARS_LATER) == Swept()


async def test_who_is_due_is_found_in_an_index(shop: Shop) -> None:
    async with shop.store.hot_reading() as connection:
        await connection.execute("SET enable_seqscan = off")
        plan = await connection.fetch(
            "EXPLAIN SELECT customer_id FROM customer_states WHERE scored_by = 'm' AND band_until <= $1"
            " AND (band_until, customer_id) > ($1, $2) ORDER BY band_until, customer_id LIMIT 5",
            NOW,
            UUID(int=0),
        )
        await connection.execute("RESET enable_seqscan")
    assert "ix_customer_states_due" in str(plan)


class Away(Database):
    """A database that cannot be reached for a while."""

    refusals = 3

    @asynccontextmanager
    async def hot_reading(self) -> AsyncIterator[asyncpg.Connection]:
        self.refusals -= 1
        if self.refusals >= 0:
            raise unavailable(ConnectionRefusedError())
        async with super().hot_reading() as connection:
            yield connection


async def test_a_database_that_is_away_is_tried_again(shop: Shop, database_url: str) -> None:
    await shop.regulars(1)
    async with shop.store.hot_transaction() as connection:
        await connection.execute("UPDATE customer_states SET band_until = '2000-01-01Z'")
    away = Away(database_url, pool_size=2, hot_size=1, wait_seconds=5, statement_timeout_seconds=5)
    done: asyncio.Future[Swept] = asyncio.get_running_loop().create_future()
    sweeping = asyncio.create_task(keep_sweeping(away, ActiveModel(away), 0.01, done.set_result))
    async with asyncio.timeout(10):
        assert (await done) != Swept()
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    await away.close()
    assert away.refusals < 0
