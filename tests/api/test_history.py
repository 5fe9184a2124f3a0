"""GET /v1/customers/{customer}/health/history."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service

HEALTH = "/v1/customers/external_id:42/health"
URL = f"{HEALTH}/history"
NOW = datetime.now(UTC)


def at(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat().replace("+00:00", "Z")


async def post(client: httpx.AsyncClient, id: str, kind: str, days: float, **members: Any) -> None:  # noqa: A002 - the wire's own name
    body = {"id": id, "customer": "external_id:42", "kind": kind, "occurred_at": at(days)} | members
    assert (await client.post("/v1/touchpoints", json=body)).status_code == 201


@pytest.fixture
async def ada(admin: httpx.AsyncClient) -> None:
    """Five touchpoints, posted in no order."""
    money = {"amount_minor": 4999, "currency": "EUR"}
    await post(admin, "r", "refund", 20, order_id="o", **money)
    await post(admin, "p2", "purchase", 40, order_id="o", **money)
    await post(admin, "p1", "purchase", 100, **money)
    await post(admin, "n", "nps", 10, properties={"rating": 3})
    await post(admin, "v", "visit", 1)


async def series(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(URL, params=query)
    assert answer.status_code == 200, answer.text
    points: list[dict[str, Any]] = answer.json()["data"]
    return points


@pytest.mark.usefixtures("ada")
async def test_a_history_has_a_point_for_each_touchpoint_as_health_has_it_as_of_then(
    admin: httpx.AsyncClient,
) -> None:
    points = await series(admin)
    assert [point["touchpoint_id"] for point in points] == ["p1", "p2", "r", "n", "v"]
    assert [point["at"] for point in points] == [at(days) for days in (100, 40, 20, 10, 1)]
    assert (points[2]["kind"], points[2]["source"], points[2]["model"]) == ("refund", "admin", "2026.1")
    for point in points:
        then = (await admin.get(HEALTH, params={"as_of": point["at"]})).json()
        assert (point["score"], point["band"]) == (then["score"], then["band"])
        assert point["score_exact"] == pytest.approx(then["score_exact"])
    moved = [point["change"] for point in points]
    assert 50 + sum(change["time"] + change["event"] for change in moved) == pytest.approx(
        points[-1]["score_exact"]
    )
    assert moved[2]["time"] < 0 > moved[2]["event"]
    assert {part["name"] for part in moved[2]["components"] if part["event"]} == {"refunds", "value"}


@pytest.mark.usefixtures("ada")
async def test_a_history_can_begin_later_and_go_by_steps(admin: httpx.AsyncClient) -> None:
    assert [point["touchpoint_id"] for point in await series(admin, since=at(20))] == ["r", "n", "v"]
    points = await series(admin, step="30d")
    assert [point["at"] for point in points] == [at(days) for days in (100, 70, 40, 10)]
    assert {point["touchpoint_id"] for point in points} == {None}
    assert points[1]["score"] < points[0]["score"]
    assert len(await series(admin, step="12h", since=at(2))) == 5


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("step", [None, "30d"])
async def test_pages_of_a_history_join(admin: httpx.AsyncClient, step: str | None) -> None:
    query: dict[str, Any] = {"limit": 2} | ({} if step is None else {"step": step})
    seen: list[dict[str, Any]] = []
    url: str | None = URL
    while url:
        answer = await admin.get(url, params=query)
        seen += answer.json()["data"]
        more = answer.json()["next_cursor"]
        assert (more is None) == ("link" not in answer.headers)
        query, url = query | {"cursor": more}, URL if more else None
    assert seen == await series(admin, **({} if step is None else {"step": step}))


@pytest.mark.usefixtures("ada")
async def test_another_model_leaves_its_mark_and_what_was_told_before_stands(
    admin: httpx.AsyncClient,
) -> None:
    before = await series(admin)
    await admin.post("/v1/scoring-models", json={"version": "2", "parameters": {"ref": -1.5}})
    published = (await admin.post("/v1/scoring-models/2/publish")).json()
    points = await series(admin)
    assert points[:-1] == before
    mark = points[-1]
    assert (mark["at"], mark["touchpoint_id"], mark["model"]) == (published["published_at"], None, "2")
    assert mark["score"] == (await admin.get(HEALTH)).json()["score"]


@pytest.mark.usefixtures("ada")
async def test_what_was_voided_is_no_part_of_it(admin: httpx.AsyncClient) -> None:
    await admin.delete("/v1/touchpoints/p1", params={"customer": "external_id:42"})
    points = await series(admin)
    assert [point["touchpoint_id"] for point in points] == ["p2", "r", "n", "v"]


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    "query, expected",
    [
        ("step=1h&since=1990-01-01T00:00:00Z", "too_many_points"),
        ("step=0d", "invalid_step"),
        ("step=weekly", "invalid_step"),
        ("since=2126-01-01T00:00:00Z", "in_the_future"),
        ("since=2026-01-01T00:00:00", "naive_time"),
        ("limit=2001", "validation_failed"),
        ("cursor=x", "invalid_cursor"),
    ],
)
async def test_what_cannot_be_shown_is_refused(admin: httpx.AsyncClient, query: str, expected: str) -> None:
    answer = await admin.get(f"{URL}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, expected)


async def test_somebody_without_touchpoints_has_no_history(admin: httpx.AsyncClient) -> None:
    assert (await admin.get(URL)).status_code == 404
    await admin.post("/v1/customers", json={"identifiers": {"external_id": "42"}})
    assert await series(admin) == []
    assert await series(admin, step="1d") == []


async def test_reading_a_history_needs_its_scope(service: Service) -> None:
    writer = await service.client(await service.key("storefront", scopes=["events:write"]))
    answer = await writer.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
