"""Lists of loyalty ask the same, however long they are: two questions at most, beside who is meant."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from tests.api.conftest import Service
from tests.api.loyalty.conftest import publish
from tests.api.loyalty.test_merged import buy
from tests.api.loyalty.test_referrals import URL as REFERRALS
from tests.api.loyalty.test_referrals import come

pytestmark = pytest.mark.usefixtures("club", "ada")
ADA = "external_id:42"
LONG = 6
TABLES = ("FROM loyalty_", "FROM orders", "FROM touchpoints", "FROM (\n  SELECT t.customer_id")


async def climb(admin: httpx.AsyncClient) -> None:
    """As many moves between tiers."""
    ladder = [{"code": f"t{number}", "threshold": 100 * number} for number in range(LONG + 1)]
    await publish(admin, tiers=ladder)
    for number in range(LONG):
        await buy(admin, "42", 10_000, f"A-{number}")


async def order(admin: httpx.AsyncClient) -> None:
    """As many whole orders."""
    line = {"line_id": "1", "sku": "X", "net_minor": 1_000}
    at = datetime.now(UTC).isoformat()
    body: dict[str, Any] = {
        "customer": ADA,
        "currency": "EUR",
        "version": 1,
        "status": "paid",
        "placed_at": at,
    }
    for number in range(LONG):
        put = await admin.put(f"/v1/orders/A-{number}", json=body | {"lines": [line]})
        assert put.status_code == 200, put.text


async def bring(admin: httpx.AsyncClient) -> None:
    """As many friends."""
    code = (await admin.post(f"{REFERRALS}/codes", json={"customer": ADA})).json()["code"]
    for number in range(LONG):
        assert (await come(admin, code, {"external_id": f"friend-{number}"})).status_code == 201


@pytest.mark.parametrize(
    "make, url, said",
    [
        (climb, f"/v1/customers/{ADA}/loyalty/tiers", {}),
        (order, "/v1/orders", {"customer": ADA}),
        (bring, REFERRALS, {}),
        (bring, REFERRALS, {"customer": ADA}),
        (bring, REFERRALS, {"state": "attributed"}),
    ],
)
async def test_a_list_asks_the_same_however_long_it_is(
    service: Service, admin: httpx.AsyncClient, make: Any, url: str, said: dict[str, str]
) -> None:
    await make(admin)
    asked: list[str] = []

    @event.listens_for(service.app.state.database.engine.sync_engine, "checkout")
    def spy(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
        dbapi_connection.driver_connection.add_query_logger(lambda query: asked.append(query.query))

    every, own = [], []
    for limit in (1, LONG):
        asked.clear()
        answer = await admin.get(url, params=said | {"limit": str(limit)})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["data"]) == limit
        await asyncio.sleep(0)
        every.append(len(set(asked)))
        own.append(len({one for one in asked if any(table in one for table in TABLES)}))
    assert every[0] == every[1]
    assert 0 < own[0] == own[1] <= 2, sorted(set(asked))
