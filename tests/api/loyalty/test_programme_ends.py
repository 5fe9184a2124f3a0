"""After the end of a programme nobody has points there any more, whoever writes: what earns and what takes back."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.loyalty.conftest import publish
from tests.api.loyalty.test_earning import LOYALTY, bought, entries, posted, refunded, sound

pytestmark = pytest.mark.usefixtures("ada", "club")


async def end(admin: httpx.AsyncClient) -> datetime:
    """Close the programme now, and wait for its end."""
    closed_at = datetime.now(UTC)
    ends_at = closed_at + timedelta(seconds=0.5)
    said = {"ends_at": ends_at.isoformat()}
    answer = await admin.post("/v1/loyalty/programs/main/close", json=said)
    assert answer.status_code == 200, answer.text
    await asyncio.sleep((ends_at - datetime.now(UTC)).total_seconds() + 0.05)
    return closed_at


async def test_a_refund_after_the_end_finds_no_points_to_take_and_leaves_none(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await publish(admin, pending_days=0)
    assert (await posted(admin, bought("p", 10_000, order_id="A-1")))["loyalty"]["available"] == 100
    await end(admin)
    told = (await posted(admin, refunded("r", 4_000)))["loyalty"]
    assert (told["points_clawed"], told["available"], told["pending"]) == (0, 0, 0)
    # What is left has lapsed, and a refund of it is forgiven.
    assert await entries(admin) == [("earn", 100), ("expire", -100), ("clawback", 0)]
    assert (await admin.get(LOYALTY)).json()["available"] == 0
    assert await sound(service)


async def test_what_was_bought_before_the_end_and_told_after_it_earns_and_lapses_both_visibly(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await publish(admin, pending_days=0)
    await posted(admin, bought("early", 10_000))
    closed_at = await end(admin)
    late = bought("late", 4_200, occurred_at=(closed_at - timedelta(seconds=0.001)).isoformat())
    told = (await posted(admin, late))["loyalty"]
    assert (told["points_earned"], told["available"]) == (42, 0)
    assert await entries(admin) == [("earn", 100), ("expire", -100), ("earn", 42), ("expire", -42)]
    assert await sound(service)


async def test_what_was_joined_before_the_end_and_told_after_it_lapses_too(admin: httpx.AsyncClient) -> None:
    await publish(admin, pending_days=0, earning_rules=[{"code": "welcome", "event": "signup", "points": 50}])
    closed_at = await end(admin)
    joined = {"id": "j", "customer": "external_id:42", "kind": "loyalty_joined"}
    await posted(admin, joined | {"occurred_at": (closed_at - timedelta(seconds=0.001)).isoformat()})
    assert await entries(admin) == [("earn", 50), ("expire", -50)]
