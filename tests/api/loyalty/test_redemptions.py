"""Points that come back, over HTTP; the numbers are those of the edge cases in the design."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.loyalty.conftest import RULES
from tests.api.loyalty.spending import REDEMPTIONS, Till, claw, earn, problem

pytestmark = pytest.mark.usefixtures("club", "ada")


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_a_refund_goes_back_to_its_lot_with_its_expiry(till: Till) -> None:  # 9
    await till.give(100, expires_at="2030-01-01T00:00:00Z")
    redemption_id = await till.spent(80)
    answer = await till.refund(redemption_id, 80, reason="It came back.")
    assert answer.status_code == 201, answer.text
    assert answer.json() == {
        "id": "r-1",
        "redemption_id": redemption_id,
        "points": 80,
        "restored": 80,
        "lapsed": 0,
        "reinstated": 0,
        "reinstated_until": None,
        "refundable": 0,
    }
    shown = await till.balance()
    assert shown["next_expirations"] == [{"points": 100, "expires_at": "2030-01-01T00:00:00Z"}]
    read = (await till.client.get(f"{REDEMPTIONS}/{redemption_id}")).json()
    assert (read["points"], read["refundable"], read["failed"]) == (80, 0, None)
    assert [(one["id"], one["points"], one["reason"]) for one in read["refunds"]] == [
        ("r-1", 80, "It came back.")
    ]
    assert await till.is_sound()


async def test_a_lot_that_has_run_out_gives_a_grace(till: Till) -> None:  # 9
    await till.give(80, expires_at=soon(1.5))
    redemption_id = await till.spent(80)
    await asyncio.sleep(1.6)
    done = (await till.refund(redemption_id)).json()
    assert (done["restored"], done["lapsed"], done["reinstated"]) == (0, 0, 80)
    left = datetime.fromisoformat(done["reinstated_until"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    assert await till.available() == 80
    assert await till.is_sound()


async def test_without_a_grace_what_has_run_out_lapses(till: Till, admin: httpx.AsyncClient) -> None:  # 9
    versions = "/v1/loyalty/programs/main/versions"
    assert (await admin.post(versions, json=RULES | {"reinstatement_grace_days": 0})).status_code == 201
    assert (await admin.post(f"{versions}/2/publish")).status_code == 200
    await till.give(80, expires_at=soon(1.5))
    redemption_id = await till.spent(80)
    await asyncio.sleep(1.6)
    done = (await till.refund(redemption_id)).json()
    assert (done["restored"], done["lapsed"], done["reinstated"]) == (0, 80, 0)
    shown = await till.balance()
    assert (shown["available"], shown["lifetime_expired"]) == (0, 80)
    assert await till.is_sound()


async def test_what_lives_longest_comes_back_first(till: Till) -> None:  # 10
    await till.give(100, "a", expires_at="2030-01-01T00:00:00Z")
    await till.give(50, "b", expires_at="2031-01-01T00:00:00Z")
    redemption_id = await till.spent(150)
    first = (await till.refund(redemption_id, 60)).json()
    assert (first["restored"], first["refundable"]) == (60, 90)
    assert [due["points"] for due in (await till.balance())["next_expirations"]] == [10, 50]
    second = (await till.refund(redemption_id, 90, "r-2")).json()
    assert (second["restored"], second["refundable"]) == (90, 0)
    third = await till.refund(redemption_id, 1, "r-3")
    assert problem(third) == (422, "more_than_spent")
    assert third.json()["refundable"] == 0
    assert problem(await till.refund(redemption_id, None, "r-3")) == (422, "more_than_spent")
    # The first one again says what it said, although another came after it.
    again = await till.refund(redemption_id, 60)
    assert (again.status_code, again.json()) == (200, first)
    assert problem(await till.refund(redemption_id, 61)) == (409, "id_reused")
    assert await till.available() == 150


async def test_a_refund_sent_by_many_at_once_is_done_once(till: Till) -> None:
    await till.give(100)
    redemption_id = await till.spent(100)
    answers = await asyncio.gather(*[till.refund(redemption_id, 40, f"r-{n % 3}") for n in range(9)])
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] * 4 + [201] * 2 + [422] * 3
    assert await till.available() == 80
    assert await till.is_sound()


@pytest.mark.parametrize("ends, debts", [("release", (60, 0)), ("capture", (60, 60))])
async def test_a_clawback_meets_a_hold(
    till: Till, service: Service, ends: str, debts: tuple[int, int]
) -> None:  # 14
    await earn(service, 100, "o")
    hold_id = await till.held(60)
    done = await claw(service, "o", "unlimited")
    assert (done.taken, done.indebted) == (40, debts[0])
    await till.client.post(f"/v1/loyalty/holds/{hold_id}/{ends}")
    shown = await till.balance()
    assert (shown["available"], shown["debt"]) == (-debts[1], debts[1])
    assert await till.is_sound()


async def test_a_cancelled_order_gives_back_and_takes_back(till: Till, service: Service) -> None:  # 15
    await till.give(50)
    redemption_id = await till.spent(50, order_id="A-1")
    await earn(service, 21, "o")
    done = await claw(service, "o", "within_balance")
    assert done.taken == 21
    assert (await till.refund(redemption_id)).json()["restored"] == 50
    assert await till.available() == 50


async def test_who_spends_everything_keeps_the_tier(till: Till, service: Service) -> None:  # 27
    await earn(service, 500, "o", qualifying=500)
    assert (await till.balance())["tier"]["code"] == "silver"
    await till.spent(500)
    shown = await till.balance()
    assert (shown["available"], shown["tier"]["code"]) == (0, "silver")


@pytest.mark.parametrize(
    "points, code", [(0, "invalid_points"), (-1, "invalid_points"), (2**31, "invalid_points"), (1.5, None)]
)
async def test_what_is_no_number_of_points_is_refused(till: Till, points: Any, code: str | None) -> None:
    await till.give(100)
    redemption_id = await till.spent(10)
    assert problem(await till.refund(redemption_id, points)) == (422, code or "validation_failed")
    assert await till.available() == 90


async def test_a_redemption_that_is_not_there(till: Till) -> None:
    for one in ("redemption_x", "redemption_" + "0" * 43):
        assert problem(await till.client.get(f"{REDEMPTIONS}/{one}")) == (404, "redemption_not_found")
        assert problem(await till.refund(one)) == (404, "redemption_not_found")


async def test_who_may_give_points_back(till: Till, service: Service) -> None:
    await till.give(10)
    redemption_id = await till.spent(10)
    reader = Till(await service.client(await service.key(scopes=["loyalty:read"])))
    assert problem(await reader.refund(redemption_id)) == (403, "scope_missing")
    assert (await reader.client.get(f"{REDEMPTIONS}/{redemption_id}")).status_code == 200
    stranger = await service.client(await service.key(scopes=["customers:read"]))
    assert problem(await stranger.get(f"{REDEMPTIONS}/{redemption_id}")) == (403, "scope_missing")


async def test_an_idempotency_key_replays_the_refund(till: Till) -> None:
    await till.give(10)
    url = f"{REDEMPTIONS}/{await till.spent(10)}/refund"
    first = await till.client.post(url, json={"id": "r"}, headers={"Idempotency-Key": "k"})
    again = await till.client.post(url, json={"id": "r"}, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (201, first.json())
