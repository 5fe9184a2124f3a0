"""Rewards over HTTP: their terms, their stock under many hands, their coupons."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from app.storage.database import connect_arguments
from tests.api.conftest import Service
from tests.api.loyalty.spending import REDEMPTIONS, REWARDS, Till, problem

pytestmark = pytest.mark.usefixtures("club", "ada")

MUG: dict[str, Any] = {"code": "mug", "name": "A mug", "points": 100}
CROWD = 200


async def reward(admin: httpx.AsyncClient, **said: Any) -> dict[str, Any]:
    answer = await admin.post(REWARDS, json=MUG | said)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def left(admin: httpx.AsyncClient) -> int | None:
    stock: int | None = (await admin.get(f"{REWARDS}/mug")).json()["stock"]
    return stock


async def test_a_reward_is_held_and_captured(till: Till, admin: httpx.AsyncClient) -> None:
    await reward(admin, stock=3)
    await till.give(250)
    hold = (await till.hold(reward="mug")).json()
    assert (hold["points"], hold["reward"], await left(admin)) == (100, "mug", 3)
    # What is held keeps its price.
    await admin.patch(f"{REWARDS}/mug", json={"points": 120})
    again = await till.hold(reward="mug")
    assert (again.status_code, again.json()) == (200, hold)
    assert problem(await till.capture(hold["hold_id"], 50)) == (422, "whole_reward")
    done = await till.captured(hold["hold_id"])
    assert (done["points"], done["reward"], done["coupon"], await left(admin)) == (100, "mug", None, 2)
    assert await till.captured(hold["hold_id"], 100) == done
    assert await left(admin) == 2


@pytest.mark.parametrize(
    "terms, points, code",
    [
        ({}, 99, "insufficient_points"),
        ({"stock": 0}, 100, "sold_out"),
        ({"tier": "silver"}, 100, "tier_required"),
        ({"valid_from": "2090-01-01T00:00:00Z"}, 100, "reward_not_yet"),
        ({"valid_from": "2090-01-01T00:00:00Z", "early_tier": "silver"}, 100, "reward_not_yet"),
        ({"valid_until": "2020-01-01T00:00:00Z"}, 100, "reward_over"),
    ],
)
async def test_what_stands_in_the_way_is_told(
    till: Till, admin: httpx.AsyncClient, terms: dict[str, Any], points: int, code: str
) -> None:
    await reward(admin, **terms)
    await till.give(points)
    refused = await till.hold(reward="mug")
    assert problem(refused) == (409, code)
    assert refused.json()["missing"] == 100 - points
    assert await till.available() == points


async def test_a_redemption_that_is_refunded_whole_never_was(till: Till, admin: httpx.AsyncClient) -> None:
    await reward(admin, stock=1, per_customer=1)
    await till.give(100)
    before = (await admin.get("/v1/customers/external_id:42/health")).json()["score_exact"]
    redemption = (await till.captured(await till.held(reward="mug")))["redemption_id"]
    assert await left(admin) == 0
    # A part of it puts nothing back.
    assert (await till.refund(redemption, 99, "r-1")).json()["refundable"] == 1
    assert (await left(admin), len(await redeemed(admin))) == (0, 1)
    answers = await asyncio.gather(*[till.refund(redemption, None, "r-2") for _ in range(4)])
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert problem(await till.refund(redemption, None, "r-3"))[0] == 422
    assert (await left(admin), await redeemed(admin), await till.available()) == (1, [], 100)
    assert (await admin.get("/v1/customers/external_id:42/health")).json()["score_exact"] == before
    # A retry of the capture hears what it heard, and takes nothing.
    hold_id = (await admin.get(f"{REDEMPTIONS}/{redemption}")).json()["hold_id"]
    assert (await till.captured(hold_id))["redemption_id"] == redemption
    assert (await left(admin), await redeemed(admin)) == (1, [])
    # The last one is there again, and the customer may have it again.
    await till.captured(await till.held(name="h-2", reward="mug"))
    assert (await left(admin), len(await redeemed(admin))) == (0, 1)
    assert await till.is_sound()


async def test_a_refund_puts_no_stock_where_there_is_no_limit_and_no_coupon_back(
    till: Till, admin: httpx.AsyncClient
) -> None:
    await reward(admin, coupons="given")
    url = f"{REWARDS}/mug/coupons"
    await admin.post(url, json={"codes": ["A-1"]})
    await till.give(100)
    redemption = (await till.captured(await till.held(reward="mug")))["redemption_id"]
    assert (await till.refund(redemption)).status_code == 201
    # Whoever had the code knows it.
    assert (await admin.post(url, json={"codes": ["A-1"]})).json() == {"added": 0, "free": 0}
    assert await left(admin) is None


async def redeemed(admin: httpx.AsyncClient) -> list[dict[str, Any]]:
    told = (await admin.get("/v1/customers/external_id:42/timeline?kind=points_redeemed")).json()
    shown: list[dict[str, Any]] = told["data"]
    return shown


async def test_early_access_is_for_the_tier_that_has_it(till: Till, admin: httpx.AsyncClient) -> None:
    await reward(admin, valid_from="2090-01-01T00:00:00Z", early_tier="base")
    await till.give(100)
    assert (await till.hold(reward="mug")).status_code == 201


async def test_a_customer_has_no_more_than_one_may_have(till: Till, admin: httpx.AsyncClient) -> None:
    await reward(admin, per_customer=2)
    await till.give(500)
    answers = await asyncio.gather(*[till.hold(name=f"h-{n}", reward="mug") for n in range(4)])
    won = [answer.json()["hold_id"] for answer in answers if answer.status_code == 201]
    assert len(won) == 2
    assert {problem(answer)[1] for answer in answers if answer.status_code != 201} == {"per_customer_limit"}
    # An open hold counts; given up, or refunded whole, it does not.
    redemption = await till.captured(won[0])
    await till.release(won[1])
    assert (await till.hold(name="h-5", reward="mug")).status_code == 201
    assert problem(await till.hold(name="h-6", reward="mug")) == (409, "per_customer_limit")
    await till.refund(redemption["redemption_id"])
    assert (await till.hold(name="h-6", reward="mug")).status_code == 201


async def test_a_retired_reward_cannot_be_had(till: Till, admin: httpx.AsyncClient) -> None:
    await reward(admin)
    await till.give(200)
    hold_id = await till.held(reward="mug")
    retired = await admin.patch(f"{REWARDS}/mug", json={"retired": True})
    assert retired.json()["retired_at"] is not None
    assert problem(await till.hold(name="h-2", reward="mug")) == (404, "reward_not_found")
    assert (await till.capture(hold_id)).status_code == 200
    back = await admin.patch(f"{REWARDS}/mug", json={"retired": False})
    assert back.json()["retired_at"] is None


async def test_two_hundred_clients_and_the_last_item(admin: httpx.AsyncClient) -> None:
    await reward(admin, stock=1)
    tills = [Till(admin, f"external_id:c-{number}") for number in range(CROWD)]
    holds = []
    for number, one in enumerate(tills):
        await admin.post("/v1/customers", json={"identifiers": {"external_id": f"c-{number}"}})
        await one.give(100)
        holds.append(await one.held(reward="mug"))
    answers = await asyncio.gather(*[one.capture(hold_id) for one, hold_id in zip(tills, holds, strict=True)])
    # Whoever waited too long for a connection may ask again.
    for number, answer in enumerate(answers):
        if answer.status_code == 503:
            answers[number] = await tills[number].capture(holds[number])
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * (CROWD - 1)
    losers = [answer for answer in answers if answer.status_code == 409]
    assert {problem(answer)[1] for answer in losers} == {"sold_out"}
    assert await left(admin) == 0
    for one, answer in zip(tills, answers, strict=True):
        shown = await one.balance()
        assert (shown["available"], shown["held"]) == ((0, 0) if answer.status_code == 200 else (100, 0))
    assert all([await one.is_sound() for one in tills[:20]])
    loser = tills[answers.index(losers[0])]
    assert problem(await loser.capture(holds[answers.index(losers[0])])) == (409, "hold_released")


# --- coupons ---------------------------------------------------------------------------------------------------------


async def test_each_redemption_has_a_generated_code_of_its_own(till: Till, admin: httpx.AsyncClient) -> None:
    await reward(admin, coupons="generated", coupon_prefix="MUG")
    await till.give(500)
    codes = set()
    for number in range(3):
        done = await till.captured(await till.held(name=f"h-{number}", reward="mug"))
        assert done["coupon"].startswith("MUG-")
        assert await till.captured(done["hold_id"]) == done
        read = (await till.client.get(f"{REDEMPTIONS}/{done['redemption_id']}")).json()
        assert read["coupon"] == done["coupon"]
        codes.add(done["coupon"])
    assert len(codes) == 3


async def test_given_codes_go_out_in_their_order_and_then_the_points_come_back_once(
    till: Till, admin: httpx.AsyncClient
) -> None:
    await reward(admin, coupons="given", stock=9)
    url = f"{REWARDS}/mug/coupons"
    for added in (2, 0):
        answer = (await admin.post(url, json={"codes": ["B-1", "A-1"]})).json()
        assert answer == {"added": added, "free": 2}
    await till.give(300)
    for number, code in enumerate(("B-1", "A-1")):
        done = await till.captured(await till.held(name=f"h-{number}", reward="mug"))
        assert done["coupon"] == code
    hold_id = await till.held(name="h-2", reward="mug")
    for _ in range(2):
        failed = await till.capture(hold_id)
        assert (problem(failed), failed.json()["restored"]) == ((409, "coupon_failed"), 100)
        assert (await till.available(), await left(admin)) == (100, 7)
    timeline = (await admin.get("/v1/customers/external_id:42/timeline?kind=points_redeemed")).json()
    assert len(timeline["data"]) == 2
    assert await till.is_sound()


async def test_what_is_no_list_of_codes_is_refused(admin: httpx.AsyncClient) -> None:
    await reward(admin, coupons="given")
    url = f"{REWARDS}/mug/coupons"
    assert problem(await admin.post(url, json={"codes": ["A1", "a-1"]})) == (422, "duplicate_coupon")
    assert problem(await admin.post(url, json={"codes": [" "]})) == (422, "invalid_coupon")
    assert problem(await admin.post(url, json={"codes": []})) == (422, "validation_failed")
    assert problem(await admin.post(f"{REWARDS}/x/coupons", json={"codes": ["A"]})) == (
        404,
        "reward_not_found",
    )
    await reward(admin, code="cup")
    assert problem(await admin.post(f"{REWARDS}/cup/coupons", json={"codes": ["A"]})) == (
        409,
        "no_given_coupons",
    )


# --- terms -----------------------------------------------------------------------------------------------------------


async def test_a_reward_is_written_down_once(admin: httpx.AsyncClient) -> None:
    first = await admin.post(REWARDS, json=MUG | {"stock": 5, "valid_until": "2030-01-01T00:00:00+01:00"})
    again = await admin.post(REWARDS, json=MUG | {"stock": 5, "valid_until": "2029-12-31T23:00:00Z"})
    assert (first.status_code, again.status_code, again.json()) == (201, 200, first.json())
    assert problem(await admin.post(REWARDS, json=MUG)) == (409, "reward_exists")
    one = await admin.get(f"{REWARDS}/mug")
    assert (one.json(), one.headers["etag"]) == (first.json(), first.headers["etag"])


@pytest.mark.parametrize(
    "said, code",
    [
        ({"points": 0}, "validation_failed"),
        ({"points": True}, "validation_failed"),
        ({"stock": -1}, "validation_failed"),
        ({"coupons": "printed"}, "validation_failed"),
        ({"coupon_prefix": "MUG"}, "invalid_prefix"),
        ({"valid_from": "2030-01-02T00:00:00Z", "valid_until": "2030-01-01T00:00:00Z"}, "invalid_window"),
        ({"prize": 1}, "unknown_member"),
    ],
)
async def test_what_is_no_reward_is_refused(
    admin: httpx.AsyncClient, said: dict[str, Any], code: str
) -> None:
    answer = await admin.post(REWARDS, json=MUG | said)
    assert answer.status_code == 422
    assert answer.json()["code"] in (code, "validation_failed")


async def test_terms_change_for_whoever_has_seen_them(admin: httpx.AsyncClient) -> None:
    made = await admin.post(REWARDS, json=MUG | {"stock": 5, "tier": "silver"})
    seen = {"If-Match": made.headers["etag"]}
    patched = await admin.patch(f"{REWARDS}/mug", json={"stock": None, "tier": None}, headers=seen)
    assert (patched.json()["stock"], patched.json()["tier"], patched.json()["points"]) == (None, None, 100)
    assert patched.headers["etag"] != made.headers["etag"]
    assert problem(await admin.patch(f"{REWARDS}/mug", json={"stock": 1}, headers=seen)) == (412, "stale")
    same = await admin.patch(f"{REWARDS}/mug", json={"points": 100})
    assert same.headers["etag"] == patched.headers["etag"]
    assert problem(await admin.patch(f"{REWARDS}/mug", json={"name": None})) == (422, "property_required")
    window = {"valid_from": "2030-01-02T00:00:00Z", "valid_until": "2030-01-01T00:00:00Z"}
    assert problem(await admin.patch(f"{REWARDS}/mug", json=window)) == (422, "invalid_window")
    assert problem(await admin.patch(f"{REWARDS}/cup", json={"stock": 1})) == (404, "reward_not_found")


async def test_rewards_are_listed_by_their_codes(admin: httpx.AsyncClient) -> None:
    for code in ("c", "a", "b"):
        await reward(admin, code=code)
    page = (await admin.get(REWARDS, params={"limit": 2})).json()
    assert [one["code"] for one in page["data"]] == ["a", "b"]
    rest = (await admin.get(REWARDS, params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert ([one["code"] for one in rest["data"]], rest["next_cursor"]) == (["c"], None)
    assert problem(await admin.get(REWARDS, params={"cursor": "x"})) == (422, "invalid_cursor")
    assert problem(await admin.get(REWARDS, params={"program": "x"})) == (404, "program_not_found")


async def test_only_an_admin_sets_rewards(service: Service) -> None:
    shop = await service.client(await service.key("storefront"))
    assert problem(await shop.post(REWARDS, json=MUG)) == (403, "scope_missing")
    assert problem(await shop.patch(f"{REWARDS}/mug", json={})) == (403, "scope_missing")
    assert problem(await shop.post(f"{REWARDS}/mug/coupons", json={"codes": ["A"]})) == (403, "scope_missing")
    assert (await shop.get(REWARDS)).status_code == 200
    stranger = await service.client(await service.key(scopes=["customers:read"]))
    assert problem(await stranger.get(REWARDS)) == (403, "scope_missing")
    assert problem(await stranger.get(f"{REWARDS}/mug")) == (403, "scope_missing")


async def test_the_stock_never_falls_below_nothing(database_url: str, admin: httpx.AsyncClient) -> None:
    await reward(admin, stock=0)
    connection = await asyncpg.connect(**connect_arguments(database_url))
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("UPDATE loyalty_rewards SET stock = stock - 1")
    await connection.close()
