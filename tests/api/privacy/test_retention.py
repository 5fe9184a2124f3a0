"""What is old goes, and nothing that is asked of today changes by it: the score, verify, a retry of an old id."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.domain.health.model import shipped
from app.domain.retention import parse
from app.storage.database import connect_arguments
from app.storage.privacy import purging
from app.usecases.privacy.purge_log import Purged, keep_purging, purge_log
from app.usecases.replay_states import replay_states
from app.usecases.verify import verify
from tests.api.conftest import Service
from tests.api.privacy.person import ok

CUSTOMER = "/v1/customers/external_id:42"
RETENTION = parse("purchase:365,refund:365,visit:90,nps:365,support_contact:365")
NOW = datetime.now(UTC)


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def before(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat().replace("+00:00", "Z")


def said(id: str, kind: str, days: float, **members: Any) -> dict[str, Any]:  # noqa: A002 - the wire's own name
    money = {"amount_minor": 5000, "currency": "EUR"} if kind in ("purchase", "refund") else {}
    return {
        "id": id,
        "kind": kind,
        "customer": "external_id:42",
        "occurred_at": before(days),
        **money,
        **members,
    }


LOG = [
    said("b-1", "purchase", 800, order_id="A-1", description="A rare accordion"),
    said("r-1", "refund", 790, order_id="A-1", amount_minor=1000),
    said("b-2", "purchase", 500),
    said("v-1", "visit", 100),
    said("b-wrong", "purchase", 600),
    said("n-1", "nps", 400, properties={"rating": 9, "text": "Lovely rhubarb"}),
    said("b-3", "purchase", 40),
    said("b-4", "purchase", 10),
    said("v-2", "visit", 5),
]
GONE = ["b-1", "b-2", "b-wrong", "n-1", "r-1", "v-1"]


@pytest.fixture
async def history(admin: httpx.AsyncClient, owner_url: str) -> list[dict[str, Any]]:
    """A customer of two years, whose touchpoints arrived when they happened."""
    for body in LOG:
        await ok(await admin.post("/v1/touchpoints", json=body))
    await ok(await admin.delete("/v1/touchpoints/b-wrong?customer=external_id:42"))
    owner = await asyncpg.connect(**connect_arguments(owner_url))
    await owner.execute(
        "UPDATE touchpoints SET received_at = least(received_at, occurred_at + interval '1 s')"
    )
    await owner.close()
    return LOG


async def holds(service: Service) -> None:
    for result in await verify(service.app.state.database):
        assert not result.differences, (result.check.name, result.first)


async def purge(service: Service, **how: Any) -> Purged:
    return await purge_log(service.app.state.database, RETENTION, how.pop("now", datetime.now(UTC)), **how)


async def purged_ids(service: Service) -> list[str]:
    async with service.app.state.database.hot_reading() as connection:
        rows = await connection.fetch("SELECT id FROM touchpoints WHERE purged_at IS NOT NULL ORDER BY id")
    return [row[0] for row in rows]


async def score(admin: httpx.AsyncClient) -> dict[str, Any]:
    told: dict[str, Any] = await ok(await admin.get(f"{CUSTOMER}/health"))
    kept = ("band", "base", "coverage", "reasons", "red_flags")
    return {name: told[name] for name in kept} | {
        "score": round(told["score_exact"], 3),
        "trend": round(told["trend_30d"], 3),
        "parts": [part["contribution"] and round(part["contribution"], 3) for part in told["components"]],
    }


@pytest.mark.usefixtures("history")
async def test_what_is_old_goes_and_the_score_stays(service: Service, admin: httpx.AsyncClient) -> None:
    was = await score(admin)
    assert await purge(service) == Purged(len(GONE), 1)
    assert await purged_ids(service) == GONE
    assert await score(admin) == was
    await holds(service)
    replay = await replay_states(service.app.state.database, shipped())
    assert (replay.changed, replay.failed) == (0, 0)
    async with service.app.state.database.hot_reading() as connection:
        (row,) = await connection.fetch("SELECT * FROM touchpoints WHERE id = 'b-1'")
        assert await connection.fetchval("SELECT count(*) FROM touchpoint_voids") == 0
    left = {name for name, value in row.items() if value is not None}
    assert left == {
        "customer_id",
        "origin_customer_id",
        "source",
        "id",
        "kind",
        "occurred_at",
        "received_at",
        "body_sha256",
        "outcome",
        "purged_at",
    }
    assert row["outcome"] == "null"


async def test_an_old_id_cannot_come_back(
    service: Service, admin: httpx.AsyncClient, history: list[dict[str, Any]]
) -> None:
    await purge(service)
    was = await score(admin)
    again = await ok(await admin.post("/v1/touchpoints", json=history[0]))
    assert (again["duplicate"], again["health"]) == (True, None)
    other = await admin.post("/v1/touchpoints", json=history[0] | {"amount_minor": 1})
    assert problem(other) == (409, "id_reused")
    assert await score(admin) == was
    assert problem(await admin.get("/v1/touchpoints/b-1?customer=external_id:42")) == (
        404,
        "touchpoint_not_found",
    )
    assert problem(await admin.delete("/v1/touchpoints/b-1?customer=external_id:42")) == (
        404,
        "touchpoint_not_found",
    )
    kinds = [row["id"] for row in (await ok(await admin.get(f"{CUSTOMER}/timeline")))["data"]]
    assert not set(kinds) & set(GONE)
    assert not {row["id"] for row in (await ok(await admin.get("/v1/touchpoints")))["data"]} & set(GONE)


@pytest.mark.usefixtures("history")
async def test_what_comes_after_a_purge_counts_as_ever(service: Service, admin: httpx.AsyncClient) -> None:
    await purge(service)
    # The last two purchases are taken back: what is left is known from the sum alone.
    for id in ("b-4", "b-3"):  # noqa: A001 - the wire's own name
        await ok(await admin.delete(f"/v1/touchpoints/{id}?customer=external_id:42"))
    await holds(service)
    await ok(await admin.post("/v1/touchpoints", json=said("r-late", "refund", 0, order_id="A-1")))
    await ok(await admin.post("/v1/touchpoints", json=said("b-5", "purchase", 0)))
    await holds(service)


@pytest.mark.usefixtures("history")
async def test_the_past_before_a_purge_is_not_known(service: Service, admin: httpx.AsyncClient) -> None:
    recent = await ok(await admin.get(f"{CUSTOMER}/health?as_of={before(20)}"))
    await purge(service)
    past = await ok(await admin.get(f"{CUSTOMER}/health?as_of={before(20)}"))
    assert round(past["score_exact"], 6) == round(recent["score_exact"], 6)
    then = before(101)
    for query in (f"health?as_of={then}", f"health?known_at={then}", f"health/history?since={then}"):
        assert problem(await admin.get(f"{CUSTOMER}/{query}")) == (422, "beyond_retention"), query
    points = (await ok(await admin.get(f"{CUSTOMER}/health/history")))["data"]
    assert [point["touchpoint_id"] for point in points if point["touchpoint_id"]] == ["b-3", "b-4", "v-2"]
    steps = (await ok(await admin.get(f"{CUSTOMER}/health/history?step=30d")))["data"]
    assert all(point["score"] is not None for point in steps)
    near = await ok(await admin.get(f"{CUSTOMER}/health?as_of={before(95)}"))
    assert near["trend_30d"] is None


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.usefixtures("history")
async def test_a_purge_that_is_killed_goes_on_where_it_was(
    service: Service,
    admin: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
) -> None:
    for number in (1, 2, 3):
        await ok(
            await admin.post("/v1/touchpoints", json=said("b-1", "visit", 0) | {"customer": f"crm:{number}"})
        )
    was, killed = await score(admin), 0
    keep_sum = purging.keep_sum

    async def dies(*arguments: Any) -> None:
        nonlocal killed
        await keep_sum(*arguments)
        killed += 1
        if killed % 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(purging, "keep_sum", dies)
    taken = 0
    for _ in range(40):
        try:
            taken += (await purge(service, page=1, rows=rows)).touchpoints
        except asyncio.CancelledError:
            # What was committed before stays.
            await holds(service)
        else:
            break
    assert killed > 2
    assert await purged_ids(service) == GONE
    assert await score(admin) == was
    await holds(service)


@pytest.mark.usefixtures("history")
async def test_a_run_ends_and_the_next_begins_a_day_later(service: Service) -> None:
    assert (await purge(service)).touchpoints == len(GONE)
    assert await purge(service) == Purged()
    later = datetime.now(UTC) + timedelta(days=400)
    assert await purge(service, now=later) == Purged(3, 1)
    await holds(service)
    assert await purge_log(service.app.state.database, parse(""), later) == Purged()


@pytest.mark.usefixtures("history")
async def test_who_has_no_old_touchpoints_and_who_was_erased_are_left_alone(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await ok(await admin.delete(f"{CUSTOMER}?mode=anonymise"))
    await ok(await admin.post("/v1/touchpoints", json=said("x", "visit", 1) | {"customer": "crm:1"}))
    assert await purge(service) == Purged()
    await holds(service)


@pytest.mark.usefixtures("history")
async def test_a_purged_customer_leaves_like_any_other(service: Service, admin: httpx.AsyncClient) -> None:
    await purge(service)
    receipt = await ok(await admin.delete(CUSTOMER))
    assert receipt["rows"]["opening_states"] == 1
    await holds(service)


@pytest.mark.usefixtures("history")
async def test_the_service_purges_beside_the_requests(service: Service) -> None:
    told = asyncio.Event()

    def tell(purged: Purged) -> None:
        service.app.state.metrics.purged(purged)
        if purged.touchpoints:
            told.set()

    task = asyncio.create_task(keep_purging(service.app.state.database, RETENTION, 0.01, tell))
    await asyncio.wait_for(told.wait(), 60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await purged_ids(service) == GONE
    local = await service.client(client=("127.0.0.1", 1))
    assert f"touchpoints_purged_total {float(len(GONE))}" in (await local.get("/metrics")).text
