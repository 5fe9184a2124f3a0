"""Two members are one, and are parted again: what they have, what they put aside, and what was spent since."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.domain.identifiers import parse_reference
from app.domain.loyalty import spending
from app.storage.database import driver
from app.usecases.loyalty.change_account import open_account, save_account
from app.usecases.verify import verify
from tests.api.conftest import Service

pytestmark = pytest.mark.usefixtures("club")
ADJUSTMENTS = "/v1/loyalty/adjustments"


@pytest.fixture
async def pair(admin: httpx.AsyncClient) -> dict[str, str]:
    ids = {}
    for name in ("a", "b"):
        made = await admin.post("/v1/customers", json={"identifiers": {"external_id": name}})
        ids[name] = made.json()["id"]
    return ids


async def give(admin: httpx.AsyncClient, name: str, points: int, **said: Any) -> dict[str, Any]:
    """Points, under an id that both may use."""
    body = {"id": "x", "customer": f"external_id:{name}", "points": points, "reason_code": "service"} | said
    answer = await admin.post(ADJUSTMENTS, json=body)
    assert answer.status_code in (200, 201, 202), answer.text
    given: dict[str, Any] = answer.json()
    return given


async def have(admin: httpx.AsyncClient, name: str) -> tuple[int, int, str]:
    """Free and held points, and the tier."""
    found = (await admin.get(f"/v1/customers/external_id:{name}/loyalty")).json()
    return found["available"], found["held"], (found["tier"] or {}).get("code", "")


async def put_aside(service: Service, name: str, points: int, hold: str = "h") -> None:
    await change(service, name, hold, points)


async def capture(service: Service, name: str, hold: str = "h") -> None:
    await change(service, name, hold, None)


async def change(service: Service, name: str, hold: str, points: int | None) -> None:
    now = datetime.now(UTC)
    async with service.app.state.database.transaction() as session:
        connection = await driver(session)
        held = await open_account(
            connection, parse_reference(f"external_id:{name}"), "main", {}, now, spends=[hold]
        )
        account = held.loaded.account
        decision: Any = (
            spending.captured(account, hold, now)
            if points is None
            else spending.held(account, id=hold, points=points, ttl_seconds=600, now=now, order_id="A-1")
        )
        await save_account(connection, held, decision, now)


async def merge(admin: httpx.AsyncClient, into: str, source: str) -> str:
    said = {"from": f"external_id:{source}", "reason": "same"}
    answer = await admin.post(f"/v1/customers/external_id:{into}/merge", json=said)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["merge_id"])


async def undo(admin: httpx.AsyncClient, merge_id: str) -> httpx.Response:
    return await admin.post(f"/v1/merges/{merge_id}/undo")


async def sound(service: Service) -> None:
    for result in await verify(service.app.state.database):
        assert not result.first, (result.check.name, result.first)


async def rows(service: Service, statement: str) -> list[tuple[Any, ...]]:
    async with service.app.state.database.hot_reading() as connection:
        return [tuple(row) for row in await connection.fetch(statement)]


async def test_points_and_holds_go_over_and_come_back(
    service: Service, admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    """Edge case 31."""
    await give(admin, "a", 50)
    await give(admin, "b", 100, expires_at="2031-01-01T00:00:00Z")
    await put_aside(service, "a", 20)
    await put_aside(service, "b", 30)
    holds = "SELECT id FROM loyalty_holds WHERE state = 'open' ORDER BY points"
    told = await rows(service, holds)
    expiry = "SELECT remaining, expires_at FROM loyalty_lots WHERE remaining > 0 ORDER BY remaining"
    lots = await rows(service, expiry)
    merge_id = await merge(admin, "a", "b")
    for name in pair:
        assert await have(admin, name) == (100, 50, "base")
    # The same lots, and the holds that callers know, under ids that they were told.
    assert (await rows(service, expiry), await rows(service, holds)) == (lots, told)
    moved = (await admin.get(f"/v1/merges/{merge_id}")).json()["moved"]
    assert moved["loyalty_accounts"] == 1
    proof = (await admin.get("/v1/customers/external_id:b/loyalty/verify")).json()
    assert proof["is_sound"]
    await sound(service)
    undone = await undo(admin, merge_id)
    assert undone.status_code == 200, undone.text
    assert (await have(admin, "a"), await have(admin, "b")) == ((30, 20, "base"), (70, 30, "base"))
    assert (await rows(service, expiry), await rows(service, holds)) == (lots, told)
    await sound(service)
    # Once more: neither entries nor ids of holds stand in the way.
    assert (await undo(admin, await merge(admin, "a", "b"))).status_code == 200
    assert (await have(admin, "a"), await have(admin, "b")) == ((30, 20, "base"), (70, 30, "base"))
    await sound(service)


@pytest.mark.usefixtures("pair")
async def test_what_was_spent_since_stands_against_an_undo(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await give(admin, "a", 50)
    await give(admin, "b", 100)
    merge_id = await merge(admin, "a", "b")
    await put_aside(service, "b", 120)
    await capture(service, "b")
    refused = await undo(admin, merge_id)
    assert (refused.status_code, refused.json()["code"]) == (409, "undo_blocked")
    (blocked,) = refused.json()["blocked_by"]
    assert (blocked["kind"], blocked["program"]) == ("lot", "main")
    entry = await admin.get(f"/v1/loyalty/entries/{blocked['id']}/explain")
    assert entry.status_code == 200, entry.text
    assert entry.json()["entry"]["kind"] == "transfer_in"
    assert await have(admin, "b") == (30, 0, "base")
    await sound(service)


async def test_what_was_given_since_stays_with_the_survivor(
    service: Service, admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    await give(admin, "b", 100)
    merge_id = await merge(admin, "a", "b")
    since = await give(admin, "b", 7, id="since")
    assert since["customer_id"] == pair["a"]
    assert (await undo(admin, merge_id)).status_code == 200
    assert (await have(admin, "a"))[0] == 7
    assert (await have(admin, "b"))[0] == 100
    # Under whatever name it is retried: it is not given twice.
    assert (await give(admin, "b", 7, id="since"))["state"] == "booked"
    assert ((await have(admin, "a"))[0], (await have(admin, "b"))[0]) == (7, 100)
    await sound(service)


async def test_adjustments_are_known_under_both_names(
    service: Service,
    admin: httpx.AsyncClient,
    bob: httpx.AsyncClient,
    pair: dict[str, str],
) -> None:
    of_a = await give(admin, "a", 10, id="of-a")
    of_b = await give(admin, "b", 20, id="of-b")
    same = {name: await give(admin, name, points) for name, points in (("a", 600), ("b", 700))}
    assert {one["state"] for one in same.values()} == {"proposed"}
    await merge(admin, "a", "b")
    for name in pair:
        assert (await give(admin, name, 10, id="of-a"))["entry_id"] == of_a["entry_id"]
        again = await give(admin, name, 20, id="of-b")
        assert (again["entry_id"], again["customer_id"]) == (of_b["entry_id"], pair["a"])
    # Both had proposed something under one id; each is booked once, on the one ledger that there is.
    for one in [*same.values(), *same.values()]:
        booked = await bob.post(f"{ADJUSTMENTS}/{one['id']}/approve")
        assert booked.status_code == 200, booked.text
        assert booked.json()["entry_id"] is not None
    assert (await have(admin, "b"))[0] == 1330
    await sound(service)


async def test_the_higher_tier_stays_and_goes_with_whom_it_came(
    service: Service, admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    await give(admin, "a", 1)
    await give(admin, "b", 1)
    async with service.app.state.database.hot_transaction() as connection:
        await connection.execute(
            "UPDATE loyalty_accounts SET tier = 'silver' WHERE customer_id = $1::text::uuid", pair["b"]
        )
    merge_id = await merge(admin, "a", "b")
    assert (await have(admin, "a"))[2] == "silver"
    assert (await undo(admin, merge_id)).status_code == 200
    assert ((await have(admin, "a"))[2], (await have(admin, "b"))[2]) == ("base", "silver")
    await sound(service)


async def test_caps_of_a_period_count_for_both_together(
    service: Service, admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    await give(admin, "b", 1)
    async with service.app.state.database.hot_transaction() as connection:
        for name, points in (("a", 5), ("b", 7)):
            await connection.execute(
                "INSERT INTO loyalty_rule_points VALUES ($1::text::uuid, 'main', 'r', '2026-11-01', $2)",
                pair[name],
                points,
            )
    merge_id = await merge(admin, "a", "b")
    of_a = f"SELECT points FROM loyalty_rule_points WHERE customer_id = '{pair['a']}'"  # noqa: S608 - an id of ours
    assert await rows(service, of_a) == [(12,)]
    await undo(admin, merge_id)
    assert await rows(service, of_a) == [(5,)]


@pytest.mark.usefixtures("pair")
async def test_a_chain_of_accounts_is_parted_from_its_end(service: Service, admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/customers", json={"identifiers": {"external_id": "c"}})
    for name, points in (("a", 1), ("b", 20), ("c", 300)):
        await give(admin, name, points)
    first = await merge(admin, "b", "a")
    second = await merge(admin, "c", "b")
    assert (await have(admin, "a"))[0] == 321
    assert (await undo(admin, second)).status_code == 200
    assert ((await have(admin, "a"))[0], (await have(admin, "c"))[0]) == (21, 300)
    assert (await undo(admin, first)).status_code == 200
    assert [(await have(admin, name))[0] for name in "abc"] == [1, 20, 300]
    await sound(service)


async def buy(admin: httpx.AsyncClient, name: str, amount: int, order_id: str, **said: Any) -> None:
    body = {"id": f"{order_id}-{said.get('kind', '')}", "customer": f"external_id:{name}", "kind": "purchase"}
    money = {"amount_minor": amount, "currency": "EUR", "order_id": order_id}
    answer = await admin.post("/v1/touchpoints", json=body | money | said)
    assert answer.status_code in (200, 201), answer.text


async def tier_lines(admin: httpx.AsyncClient, name: str) -> list[tuple[str, str, str]]:
    told = await admin.get(f"/v1/customers/external_id:{name}/timeline?kind=tier_changed")
    moves = [one["properties"] for one in told.json()["data"]]
    return [(one["from"], one["to"], one["why"]) for one in moves]


@pytest.mark.usefixtures("pair")
async def test_the_tier_of_a_survivor_follows_from_the_purchases_of_both(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await buy(admin, "a", 30_000, "A-1")
    await buy(admin, "b", 30_000, "B-1")
    merge_id = await merge(admin, "a", "b")
    found = (await admin.get("/v1/customers/external_id:a/loyalty")).json()["tier"]
    assert (found["code"], found["points_to_next"]) == ("silver", None)
    assert await tier_lines(admin, "a") == [("base", "silver", "upgrade")]
    # The fold over the entries says the same as the row.
    folded = (await admin.get("/v1/customers/external_id:a/loyalty/tier")).json()
    assert folded["tier"]["code"] == "silver"
    assert (await undo(admin, merge_id)).status_code == 200
    assert await tier_lines(admin, "a") == [("silver", "base", "manual"), ("base", "silver", "upgrade")]
    for name in "ab":
        parted = (await admin.get(f"/v1/customers/external_id:{name}/loyalty")).json()["tier"]
        assert (parted["code"], parted["points_to_next"]) == ("base", 200)
    await sound(service)


@pytest.mark.usefixtures("pair")
async def test_what_a_survivor_earns_by_themselves_after_the_merge_stays_theirs(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await buy(admin, "a", 30_000, "A-1")
    await buy(admin, "b", 30_000, "B-1")
    merge_id = await merge(admin, "a", "b")
    said = {"customer": {"external_id": "a"}}
    await buy(admin, "a", 40_000, "A-2", **said)
    assert (await undo(admin, merge_id)).status_code == 200
    # 700 of their own: silver without the other one too.
    assert (await have(admin, "a"))[2] == "silver"
    assert await tier_lines(admin, "a") == [("base", "silver", "upgrade")]
    await sound(service)
