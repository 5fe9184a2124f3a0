"""Points of a person who leaves: nothing names them any more, and what the shop owes still adds up."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from app.domain.health.model import shipped
from app.settings import Settings
from app.storage.privacy.holdings import HOLDINGS
from app.storage.privacy.ways import Blank, Delete, Keep
from app.usecases.loyalty.run_clock import Clocked, run_clock
from app.usecases.verify import verify
from tests.api.conftest import ADMIN_KEY, Service
from tests.api.privacy.person import CUSTOMER, TRACES, dumped, meet, ok
from tests.api.privacy.points import POINT_TRACES, collect


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        admin_key=SecretStr(ADMIN_KEY),
        pool_size=4,
        sweep_seconds=0,
        erasure_secrets=SecretStr("t1:" + "e" * 32),
    )


async def owed(service: Service) -> tuple[Any, ...]:
    """Points that are left and held, over all lots, and the debts."""
    async with service.app.state.database.hot_reading() as connection:
        return tuple(
            await connection.fetchrow(
                """
                SELECT (SELECT sum(remaining) FROM loyalty_lots), (SELECT sum(held) FROM loyalty_lots),
                  (SELECT sum(points) FROM loyalty_entries), (SELECT count(*) FROM loyalty_entries)
                """
            )
        )


async def test_the_person_fills_every_table_of_points(
    service: Service, admin: httpx.AsyncClient, owner_url: str
) -> None:
    await collect(admin, service.app.state.database, await meet(admin))
    dump = await dumped(owner_url)
    assert [word for word in (*TRACES, *POINT_TRACES) if word not in dump] == []
    async with service.app.state.database.hot_reading() as connection:
        empty = [
            one.table
            for one in HOLDINGS
            if one.table.startswith(("loyalty", "orders", "merges", "refer"))
            and not await connection.fetchval(f"SELECT count(*) FROM {one.table}")  # noqa: S608 - our own names
        ]
    assert empty == []


@pytest.mark.parametrize("mode", ["erase", "anonymise"])
async def test_nothing_names_who_left_and_the_ledger_adds_up(
    service: Service, admin: httpx.AsyncClient, owner_url: str, mode: str
) -> None:
    """Edge case 34."""
    await collect(admin, service.app.state.database, await meet(admin))
    left, held, points, entries = await owed(service)
    assert held == 20
    receipt = await ok(await admin.delete(CUSTOMER, params={"mode": mode}))
    dump = await dumped(owner_url)
    assert [word for word in (*TRACES, *POINT_TRACES) if word in dump] == []
    # What was put aside is free, no point came or went, and no entry either.
    assert await owed(service) == (left, 0, points, entries)
    assert receipt["rows"]["loyalty_holds"] >= 2
    assert receipt["rows"]["loyalty_coupons"] == 2
    for result in await verify(service.app.state.database):
        assert not result.differences, (result.check.name, result.first)
    told = (await ok(await admin.get("/v1/audit", params={"action": "customer_erased"})))["data"]
    assert [(one["target"], one["after"]["mode"]) for one in told] == [
        (f"customer:{receipt['customer_id']}", mode)
    ]
    waiting = await ok(await admin.get("/v1/loyalty/adjustments"))
    assert waiting["data"] == []


async def test_what_stays_of_points_is_said_table_by_table(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await collect(admin, service.app.state.database, await meet(admin))
    await ok(await admin.delete(CUSTOMER))
    async with service.app.state.database.hot_reading() as connection:
        for one in HOLDINGS:
            if not one.table.startswith(("loyalty", "orders", "merges", "refer")):
                continue
            count = await connection.fetchval(f"SELECT count(*) FROM {one.table}")  # noqa: S608 - our own names
            if isinstance(one.erase, Delete):
                assert count == 0, one.table
            elif isinstance(one.erase, Blank | Keep):
                assert count > 0, one.table


async def test_points_of_who_left_lapse_and_the_clock_comes_to_rest(
    service: Service, admin: httpx.AsyncClient
) -> None:
    """The account stays due while its lots live; nobody is told, no tier is looked at, and nothing fails."""
    database = service.app.state.database
    await collect(admin, database, await meet(admin))
    given = {"id": "ends", "customer": CUSTOMER.rpartition("/")[2], "points": 70, "reason_code": "service"}
    gift = await admin.post("/v1/loyalty/adjustments", json=given | {"expires_at": "2030-01-01T00:00:00Z"})
    assert gift.status_code == 201, gift.text
    receipt = await ok(await admin.delete(CUSTOMER))
    rest = "SELECT tier, tier_since, review_at, grace_until FROM loyalty_accounts WHERE customer_id = $1"
    lines = (
        "SELECT count(*) FROM touchpoints WHERE kind IN ('tier_changed', 'tier_warned', 'points_expiring')"
    )
    lapsing = "SELECT coalesce(sum(remaining), 0) FROM loyalty_lots WHERE expires_at <= $1"
    later = datetime.now(UTC) + timedelta(days=4_000)
    who = UUID(receipt["customer_id"])
    async with database.hot_reading() as connection:
        before = await connection.fetchrow(rest, who), await connection.fetchval(lines)
        assert await connection.fetchval(lapsing, later) > 0
    done = await run_clock(database, shipped(), later)
    assert (done.failed, done.moved, done.warned) == (0, 0, 0)
    assert done.expired > 0
    async with database.hot_reading() as connection:
        assert await connection.fetchval(lapsing, later) == 0
        assert (await connection.fetchrow(rest, who), await connection.fetchval(lines)) == before
        due = await connection.fetch("SELECT due_at FROM loyalty_accounts WHERE due_at <= $1", later)
    assert due == []
    assert await run_clock(database, shipped(), later) == Clocked()
    for result in await verify(database):
        assert not result.differences, (result.check.name, result.first)
