"""Points of a person who leaves: nothing names them any more, and what the shop owes still adds up."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.settings import Settings
from app.storage.privacy.holdings import HOLDINGS
from app.storage.privacy.ways import Blank, Delete, Keep
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
