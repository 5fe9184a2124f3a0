"""Points in two steps, over HTTP; the numbers are those of the edge cases in the design."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.loyalty.spending import ADA, HOLDS, Till, problem

pytestmark = pytest.mark.usefixtures("club", "ada")


async def test_points_are_held_captured_and_told_to_the_log(till: Till, admin: httpx.AsyncClient) -> None:
    await till.give(100)
    answer = await till.hold(60, order_id="A-1", ttl_seconds=600)
    assert answer.status_code == 201, answer.text
    hold = answer.json()
    assert (hold["points"], hold["state"], hold["order_id"]) == (60, "open", "A-1")
    assert hold["lots"] == [{"lot": 1, "points": 60}]
    lives = datetime.fromisoformat(hold["expires_at"]) - datetime.fromisoformat(hold["opened_at"])
    assert lives == timedelta(seconds=600)
    shown = await till.balance()
    assert (shown["available"], shown["held"]) == (40, 60)
    done = await till.captured(hold["hold_id"])
    assert (done["points"], done["freed"], done["coupon"]) == (60, 0, None)
    assert done["health"]["score"] is not None
    shown = await till.balance()
    assert (shown["available"], shown["held"], shown["lifetime_burned"]) == (40, 0, 60)
    line = (await admin.get(f"/v1/customers/{ADA}/timeline?kind=points_redeemed")).json()["data"]
    assert [(row["source"], row["properties"]["points"]) for row in line] == [("rapport", 60)]
    read = await admin.get(f"{HOLDS}/{hold['hold_id']}")
    assert (read.json()["state"], read.json()["captured"], read.headers["etag"]) == (
        "captured",
        60,
        '"captured"',
    )
    assert await till.is_sound()


async def test_a_part_is_captured_and_the_rest_is_free(till: Till) -> None:  # 6
    await till.give(100)
    hold_id = await till.held(100)
    assert problem(await till.capture(hold_id, 101)) == (422, "more_than_held")
    assert (await till.balance())["held"] == 100
    done = await till.captured(hold_id, 40)
    assert (done["points"], done["freed"]) == (40, 60)
    assert await till.available() == 60
    again = await till.captured(hold_id, 40)
    assert again == done
    assert problem(await till.capture(hold_id, 41)) == (409, "already_captured")
    assert problem(await till.release(hold_id)) == (409, "hold_captured")


async def test_the_id_of_a_hold_is_one_hold_for_ever(till: Till, service: Service) -> None:  # 7
    await till.give(100)
    first = await till.hold(30)
    again = await till.hold(30)
    assert (again.status_code, again.json()) == (200, first.json())
    for said in ({"points": 31}, {"points": 30, "order_id": "A-2"}, {"points": 30, "ttl_seconds": 5}):
        assert problem(await till.hold(name="h-1", **said)) == (409, "id_reused")
    await till.captured(first.json()["hold_id"])
    after = await till.hold(30)
    assert (after.status_code, after.json()["state"]) == (200, "captured")
    assert await till.available() == 70
    released = await till.held(10, "h-2")
    await till.release(released)
    after = await till.hold(10, "h-2")
    assert (after.status_code, after.json()["state"]) == (200, "released")
    # Another source may use the same id.
    other = Till(await service.client(await service.key("storefront", source="shop-two")))
    assert (await other.hold(5)).status_code == 201
    assert await till.available() == 65


async def test_two_holds_at_once_on_one_balance(till: Till) -> None:  # 8
    await till.give(100)
    answers = await asyncio.gather(till.hold(100, "h-1"), till.hold(100, "h-2"))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    loser = next(answer for answer in answers if answer.status_code == 409)
    assert (loser.json()["code"], loser.json()["missing"]) == ("insufficient_points", 100)
    assert await till.is_sound()


async def test_one_hold_sent_by_many_at_once_is_one(till: Till) -> None:
    await till.give(100)
    answers = await asyncio.gather(*[till.hold(10) for _ in range(8)])
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["hold_id"] for answer in answers}) == 1
    captures = await asyncio.gather(*[till.capture(answers[0].json()["hold_id"]) for _ in range(8)])
    assert [answer.status_code for answer in captures] == [200] * 8
    assert len({answer.text for answer in captures}) == 1
    assert await till.available() == 90


async def test_a_release_returns_exactly_what_was_held(till: Till) -> None:
    await till.give(100)
    hold_id = await till.held(70)
    answer = await till.release(hold_id)
    assert (answer.json()["state"], answer.json()["returned"], answer.json()["lapsed"]) == ("released", 70, 0)
    again = await till.release(hold_id)
    assert (again.json()["state"], again.json()["returned"]) == ("released", 0)
    assert await till.available() == 100
    assert problem(await till.capture(hold_id)) == (409, "hold_released")


async def test_a_hold_that_ran_out_is_free_without_a_sweeper(till: Till) -> None:  # 5
    await till.give(100)
    hold_id = await till.held(100, ttl_seconds=1)
    assert await till.available() == 0
    await asyncio.sleep(1.1)
    shown = await till.balance()
    assert (shown["available"], shown["held"]) == (100, 0)
    assert (await till.client.get(f"{HOLDS}/{hold_id}")).json()["state"] == "expired"
    assert problem(await till.capture(hold_id)) == (409, "hold_expired")
    assert (await till.release(hold_id)).json()["state"] == "expired"
    assert (await till.hold(100, "h-2")).status_code == 201
    assert problem(await till.capture(hold_id)) == (409, "hold_expired")
    assert await till.is_sound()


async def test_a_capture_that_meets_the_end_of_its_hold_is_done_or_refused_and_never_both(till: Till) -> None:
    await till.give(400)
    holds = [await till.held(100, f"h-{number}", ttl_seconds=1) for number in range(3)]
    ends = [(await till.client.get(f"{HOLDS}/{one}")).json()["expires_at"] for one in holds]
    answers = []
    for hold_id, end in zip(holds, ends, strict=True):
        wait = datetime.fromisoformat(end) - datetime.now(UTC)
        await asyncio.sleep(max(wait.total_seconds(), 0))
        both = await asyncio.gather(till.capture(hold_id), till.hold(400, f"all-{hold_id[-5:]}"))
        answers.append(both)
    won = sum(capture.status_code == 200 for capture, _ in answers)
    assert all(capture.json().get("code") in (None, "hold_expired") for capture, _ in answers)
    assert (await till.balance())["lifetime_burned"] == 100 * won
    assert await till.is_sound()


async def test_a_lot_runs_out_while_a_part_of_it_is_held(till: Till) -> None:  # 4
    soon = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    await till.give(100, expires_at=soon)
    captured, released = await till.held(50, "h-1"), await till.held(10, "h-2")
    await asyncio.sleep(1.6)
    shown = await till.balance()
    assert (shown["available"], shown["held"]) == (0, 60)
    assert (await till.captured(captured))["points"] == 50
    answer = (await till.release(released)).json()
    assert (answer["returned"], answer["lapsed"]) == (0, 10)
    shown = await till.balance()
    assert (shown["available"], shown["held"], shown["lifetime_expired"]) == (0, 0, 50)
    assert await till.is_sound()


@pytest.mark.parametrize(  # 33
    "points, code",
    [
        (0, "invalid_points"),
        (-5, "invalid_points"),
        (2**31, "invalid_points"),
        (1.5, "validation_failed"),
        (True, "validation_failed"),
        ("5", "validation_failed"),
    ],
)
async def test_what_is_no_number_of_points_is_refused(till: Till, points: Any, code: str) -> None:
    await till.give(100)
    assert problem(await till.hold(points)) == (422, code)
    hold_id = await till.held(50, "h-2")
    assert problem(await till.capture(hold_id, points)) == (422, code)
    assert (await till.balance())["held"] == 50


async def test_who_and_what_is_not_there(till: Till) -> None:
    assert problem(await till.hold(10, customer="external_id:43")) == (404, "customer_not_found")
    assert problem(await till.hold(10, program="x")) == (404, "program_not_found")
    assert problem(await till.hold(reward="none")) == (404, "reward_not_found")
    assert problem(await till.hold()) == (422, "points_or_reward")
    assert problem(await till.hold(5, reward="mug")) == (422, "points_or_reward")
    refused = await till.hold(10)
    assert (problem(refused), refused.json()["missing"]) == ((409, "insufficient_points"), 10)
    for hold_id in ("hold_x", "hold_" + "0" * 43, "complaint_" + "0" * 43):
        assert problem(await till.client.get(f"{HOLDS}/{hold_id}")) == (404, "hold_not_found")
        assert problem(await till.capture(hold_id)) == (404, "hold_not_found")
        assert problem(await till.release(hold_id)) == (404, "hold_not_found")


async def test_an_idempotency_key_replays_the_hold(till: Till) -> None:
    await till.give(100)
    key, body = {"Idempotency-Key": "k"}, {"id": "h", "customer": ADA, "points": 5}
    first = await till.client.post(HOLDS, json=body, headers=key)
    again = await till.client.post(HOLDS, json=body, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    other = await till.client.post(HOLDS, json=body | {"points": 6}, headers=key)
    assert problem(other) == (422, "idempotency_key_reused")


async def test_only_those_who_may_write_points_spend_them(till: Till, service: Service) -> None:
    await till.give(100)
    hold_id = await till.held(5)
    reader = Till(await service.client(await service.key(scopes=["loyalty:read"])))
    assert problem(await reader.hold(5)) == (403, "scope_missing")
    assert problem(await reader.capture(hold_id)) == (403, "scope_missing")
    assert problem(await reader.release(hold_id)) == (403, "scope_missing")
    stranger = await service.client(await service.key(scopes=["customers:read"]))
    assert problem(await stranger.get(f"{HOLDS}/{hold_id}")) == (403, "scope_missing")
    assert (await reader.client.get(f"{HOLDS}/{hold_id}")).status_code == 200
