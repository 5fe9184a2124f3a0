"""GET of touchpoints, the timeline and the kinds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service

TIMELINE = "/v1/customers/external_id:42/timeline"
NOW = datetime.now(UTC)


def at(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


async def post(client: httpx.AsyncClient, **members: Any) -> dict[str, Any]:
    answer = await client.post(
        "/v1/touchpoints", json={"customer": "external_id:42", "kind": "visit"} | members
    )
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def ids(client: httpx.AsyncClient, url: str, **query: Any) -> list[str]:
    answer = await client.get(url, params=query)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["data"]]


# --- one touchpoint ---------------------------------------------------------------------------------------------------


async def test_a_touchpoint_comes_back_as_it_was_told(admin: httpx.AsyncClient) -> None:
    said: dict[str, Any] = {
        "id": "evt-1",
        "kind": "purchase",
        "occurred_at": "2026-10-20T12:15:00.5+02:00",
        "channel": "web",
        "amount_minor": 4999,
        "currency": "USD",
        "exchange_rate": "0.9000",
        "order_id": "A-1",
        "items": [{"sku": "X1", "quantity": 2}],
        "properties": {"mood": "😀"},
    }
    posted = await post(admin, **said)
    told = (await admin.get("/v1/touchpoints/evt-1", params={"customer": "external_id:42"})).json()
    assert told["occurred_at"] == posted["occurred_at"] == "2026-10-20T10:15:00.500000Z"
    assert told["received_at"] == posted["received_at"]
    assert told["health"] == posted["health"]
    assert told["health_delta"] == posted["health"]["delta"]
    assert (told["amount"], told["exchange_rate"], told["order_id"]) == ("49.99", "0.9000", "A-1")
    assert told["description"] == "Purchase of 49.99 USD"
    assert (told["items"], told["properties"]) == (said["items"], said["properties"])
    assert (told["customer_id"], told["source"]) == (posted["customer_id"], "admin")


async def test_the_order_that_a_touchpoint_names_is_shown_whatever_its_kind(admin: httpx.AsyncClient) -> None:
    money = {"amount_minor": 4999, "currency": "EUR"}
    kinds: dict[str, dict[str, Any]] = {
        "purchase": money,
        "delivered": {},
        "support_contact": {},
        "csat": {"properties": {"rating": 4}},
        "refund": money,
    }
    for kind, members in kinds.items():
        await post(admin, id=kind, kind=kind, order_id="A-1", **members)
    for kind in kinds:
        told = (await admin.get(f"/v1/touchpoints/{kind}", params={"customer": "external_id:42"})).json()
        assert (told["order_id"], told["pending_match"]) == ("A-1", False), kind
    for url in (TIMELINE, "/v1/touchpoints"):
        rows = (await admin.get(url)).json()["data"]
        assert [row["order_id"] for row in rows] == ["A-1"] * len(kinds)
    context = (await admin.get("/v1/customers/external_id:42/context")).json()
    assert [row["order_id"] for row in context["recent_touchpoints"]] == ["A-1"] * len(kinds)


async def test_of_one_id_from_several_sources_your_own_comes_first_then_the_earliest(
    service: Service, admin: httpx.AsyncClient
) -> None:
    for source in ("till", "web", "app"):
        await post(await service.client(await service.key("storefront", source=source)), id="v1")

    async def whose(client: httpx.AsyncClient, **query: str) -> str:
        answer = await client.get("/v1/touchpoints/v1", params={"customer": "external_id:42"} | query)
        return str(answer.json()["source"])

    assert await whose(await service.client(await service.key("storefront", source="app"))) == "app"
    assert await whose(admin) == "till"
    assert await whose(admin, source="web") == "web"


@pytest.mark.parametrize(
    "path, expected",
    [
        ("/v1/touchpoints/other?customer=external_id:42", (404, "touchpoint_not_found")),
        ("/v1/touchpoints/v1?customer=external_id:42&source=other", (404, "touchpoint_not_found")),
        ("/v1/touchpoints/v1?customer=external_id:nobody", (404, "customer_not_found")),
        ("/v1/touchpoints/v1", (422, "validation_failed")),
        ("/v1/touchpoints/v1?customer=nonsense", (422, "invalid_reference")),
        (f"{TIMELINE}?kind=nonsense", (422, "unknown_kind")),
        (f"{TIMELINE}?since=2026-01-01T00:00:00", (422, "naive_time")),
        (f"{TIMELINE}?cursor=nonsense", (422, "invalid_cursor")),
        (f"{TIMELINE}?limit=201", (422, "validation_failed")),
        ("/v1/customers/external_id:nobody/timeline", (404, "customer_not_found")),
        ("/v1/touchpoints?kind=nonsense", (422, "unknown_kind")),
        ("/v1/touchpoints?cursor=nonsense", (422, "invalid_cursor")),
    ],
)
async def test_what_cannot_be_found_or_asked_is_said(
    admin: httpx.AsyncClient, path: str, expected: tuple[int, str]
) -> None:
    await post(admin, id="v1")
    assert problem(await admin.get(path)) == expected


async def test_a_resolution_waits_until_its_complaint_comes(admin: httpx.AsyncClient) -> None:
    await post(admin, id="r", kind="complaint_resolved", properties={"complaint_id": "k"})

    async def waits() -> bool:
        return bool((await admin.get("/v1/touchpoints/r?customer=external_id:42")).json()["pending_match"])

    assert await waits()
    opened = {"complaint_id": "k", "severity": "low"}
    await post(admin, id="o", kind="complaint_opened", occurred_at=at(1), properties=opened)
    assert not await waits()


# --- the timeline -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def log(admin: httpx.AsyncClient) -> None:
    """Five touchpoints, one a day, in no order; all but the last as a batch."""
    items = [
        {
            "id": f"t{days}",
            "customer": "external_id:42",
            "kind": kind,
            "occurred_at": at(days),
            "channel": channel,
        }
        for days, kind, channel in (
            (3, "visit", "web"),
            (1, "visit", "app"),
            (4, "referral", "web"),
            (2, "visit", "web"),
        )
    ]
    answer = await admin.post("/v1/touchpoints/batch", json={"touchpoints": items})
    assert answer.json()["stored"] == 4
    await post(admin, id="t5", occurred_at=at(5))
    await admin.post("/v1/touchpoints", json={"id": "x", "customer": "external_id:other", "kind": "visit"})


@pytest.mark.usefixtures("log")
async def test_a_timeline_shows_what_happened_last_first(admin: httpx.AsyncClient) -> None:
    assert await ids(admin, TIMELINE) == ["t1", "t2", "t3", "t4", "t5"]
    rows = (await admin.get(TIMELINE)).json()["data"]
    assert rows[3]["description"] == "Referral"
    # Of several in one batch nobody was told which did what.
    assert [row["health"] is None for row in rows] == [True, True, True, True, False]
    assert [row["health_delta"] is None for row in rows] == [row["health"] is None for row in rows]


@pytest.mark.usefixtures("log")
async def test_a_timeline_is_narrowed_by_kind_channel_and_time(admin: httpx.AsyncClient) -> None:
    assert await ids(admin, TIMELINE, kind="visit") == ["t1", "t2", "t3", "t5"]
    assert await ids(admin, TIMELINE, kind="visit", channel="web") == ["t2", "t3"]
    assert await ids(admin, TIMELINE, since=at(3)) == ["t1", "t2", "t3"]
    assert await ids(admin, TIMELINE, until=at(3)) == ["t4", "t5"]
    assert await ids(admin, TIMELINE, since=at(4), until=at(2)) == ["t3", "t4"]


@pytest.mark.usefixtures("log")
async def test_pages_of_a_timeline_join_without_gap_or_repetition(admin: httpx.AsyncClient) -> None:
    seen: list[str] = []
    url = f"{TIMELINE}?limit=2"
    while url:
        answer = await admin.get(url)
        seen += [row["id"] for row in answer.json()["data"]]
        more = answer.json()["next_cursor"]
        assert (more is None) == ("link" not in answer.headers)
        url = f"{TIMELINE}?limit=2&cursor={more}" if more else ""
    assert seen == ["t1", "t2", "t3", "t4", "t5"]


# --- the whole shop ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("log")
async def test_the_shops_list_shows_what_came_in_last_first(admin: httpx.AsyncClient) -> None:
    seen = await ids(admin, "/v1/touchpoints")
    assert seen[:2] == ["x", "t5"]
    assert set(seen[2:]) == {"t1", "t2", "t3", "t4"}
    assert await ids(admin, "/v1/touchpoints", kind="referral") == ["t4"]
    single = (await admin.get("/v1/touchpoints/t5?customer=external_id:42")).json()
    assert await ids(admin, "/v1/touchpoints", since=single["received_at"]) == ["x", "t5"]


@pytest.mark.usefixtures("log")
async def test_pages_of_the_shops_list_join_inside_a_batch_that_came_at_once(
    admin: httpx.AsyncClient,
) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await admin.get("/v1/touchpoints", params={"limit": "1"} | cursor)).json()
        seen += [row["id"] for row in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(seen) == ["t1", "t2", "t3", "t4", "t5", "x"]


async def test_an_empty_shop_has_an_empty_list(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/v1/touchpoints")).json() == {"data": [], "next_cursor": None}


@pytest.mark.parametrize("path", ["/v1/touchpoints", TIMELINE, "/v1/touchpoints/a?customer=external_id:42"])
async def test_reading_the_log_needs_its_scope(service: Service, path: str) -> None:
    writer = await service.client(await service.key("storefront", scopes=["events:write"]))
    assert problem(await writer.get(path)) == (403, "scope_missing")
