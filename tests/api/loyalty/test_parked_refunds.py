"""Refunds that come before their order, in another currency than it is paid in: by their rate, or nothing."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.loyalty.test_earning import bought, entries, posted, refunded, sound

pytestmark = pytest.mark.usefixtures("ada", "club")

IN_DOLLARS = {"currency": "USD", "exchange_rate": "0.5"}
LINE = {"line_id": "1", "sku": "X", "net_minor": 10_000, "tax_minor": 0}


async def put(client: httpx.AsyncClient, **said: Any) -> None:
    body = {"customer": "external_id:42", "currency": "EUR", "version": 1, "status": "paid", "lines": [LINE]}
    told = body | {"placed_at": datetime.now(UTC).isoformat()} | said
    answer = await client.put("/v1/orders/A-1", json=told)
    assert answer.status_code == 200, answer.text


async def test_a_parked_refund_in_dollars_takes_what_it_is_worth_in_the_currency_of_the_purchase(
    admin: httpx.AsyncClient, service: Service
) -> None:
    early = await posted(admin, refunded("r", 4_000, **IN_DOLLARS))
    assert early["pending_match"]
    told = (await posted(admin, bought("p", 10_000, order_id="A-1")))["loyalty"]
    assert (told["points_earned"], told["points_clawed"], told["pending"]) == (100, 20, 80)
    # And the rest exactly, when it is cancelled.
    await posted(admin, bought("c", kind="order_cancelled", order_id="A-1", amount_minor=None, currency=None))
    assert await entries(admin) == [("earn", 100), ("clawback", -20), ("clawback", -80)]
    assert await sound(service)


async def test_a_parked_refund_without_a_rate_takes_nothing(admin: httpx.AsyncClient) -> None:
    await posted(admin, refunded("r", 4_000, currency="USD"))
    told = (await posted(admin, bought("p", 10_000, order_id="A-1")))["loyalty"]
    assert (told["points_earned"], told["points_clawed"]) == (100, 0)


async def test_a_parked_refund_in_the_currency_of_its_order_is_taken_whole(admin: httpx.AsyncClient) -> None:
    await posted(admin, refunded("r", 5_000, **IN_DOLLARS))
    told = (await posted(admin, bought("p", 10_000, order_id="A-1", **IN_DOLLARS)))["loyalty"]
    assert (told["points_earned"], told["points_clawed"]) == (50, 25)


async def test_an_order_sent_whole_takes_what_was_parked_by_its_worth_too(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await posted(admin, refunded("r", 4_000, **IN_DOLLARS))
    await put(admin)
    assert await entries(admin) == [("earn", 100), ("clawback", -20)]
    assert await sound(service)
