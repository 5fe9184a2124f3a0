"""Whole orders as storefronts send them, with a programme and without."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.loyalty.conftest import publish
from tests.api.loyalty.test_earning import LOYALTY, bought, entries, posted, refunded, sound

ORDER = "/v1/orders/A-1"
GET = f"{ORDER}?customer=external_id:42"
LINES = [
    {"line_id": "1", "sku": "A", "quantity": 2, "net_minor": 6_000},
    {"line_id": "2", "sku": "B", "category": "shoes", "net_minor": 4_000},
]

pytestmark = pytest.mark.usefixtures("ada")


def state(version: int, status: str = "paid", **said: Any) -> dict[str, Any]:
    return {
        "customer": "external_id:42",
        "status": status,
        "version": version,
        "placed_at": "2026-11-20T10:15:00Z",
        "currency": "EUR",
        "lines": LINES,
    } | said


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def put(client: httpx.AsyncClient, *states: dict[str, Any]) -> dict[str, Any]:
    """Send states one after the other; the last answer."""
    told: dict[str, Any] = {}
    for one in states:
        answer = await client.put(ORDER, json=one)
        assert answer.status_code == 200, answer.text
        told = answer.json()
    return told


def effects(told: dict[str, Any]) -> list[tuple[str, int]]:
    return [(one["what"], one["amount_minor"]) for one in told["effects"]]


async def bought_and_spent(client: httpx.AsyncClient) -> tuple[int, list[str]]:
    """How much stands in the log as paid less given back, and the kinds of what stands there."""
    rows = (await client.get("/v1/customers/external_id:42/timeline")).json()["data"]
    money = [one for one in rows if one["amount_minor"] is not None]
    sign = {"purchase": 1, "refund": -1, "order_cancelled": -1}
    return sum(sign[one["kind"]] * one["amount_minor"] for one in money), [one["kind"] for one in rows]


async def test_without_a_programme_an_order_moves_health_alone(
    admin: httpx.AsyncClient, service: Service
) -> None:
    told = await put(admin, state(1, "placed"), state(2))
    (effect,) = told["effects"]
    assert (effect["id"], effect["kind"], effect["loyalty"]) == ("order:A-1:2:purchase", "purchase", None)
    assert effect["health"]["before"] is None
    assert told["order"]["paid_minor"] == 10_000
    assert effects(await put(admin, state(3, refunded_minor=2_500))) == [("refund", 2_500)]
    assert await bought_and_spent(admin) == (7_500, ["refund", "purchase"])
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_a_paid_order_earns_by_its_net_lines(admin: httpx.AsyncClient, service: Service) -> None:
    lines = [LINES[0] | {"tax_minor": 1_140}]
    told = await put(admin, state(1, lines=lines, shipping_minor=500, points_paid_minor=0))
    assert told["effects"][0]["loyalty"]["points_earned"] == 60
    assert (await admin.get(LOYALTY)).json()["pending"] == 60
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_what_points_paid_earns_nothing(admin: httpx.AsyncClient) -> None:
    told = await put(admin, state(1, points_paid_minor=5_000))
    assert told["effects"][0]["loyalty"]["points_earned"] == 50


@pytest.mark.usefixtures("club")
async def test_case_21_the_same_state_five_times_earns_once_with_the_same_answer(
    admin: httpx.AsyncClient,
) -> None:
    first = await put(admin, state(1))
    for _ in range(4):
        assert await put(admin, state(1)) == first
    assert await entries(admin) == [("earn", 100)]


@pytest.mark.usefixtures("club")
async def test_many_senders_of_one_state_write_it_once(admin: httpx.AsyncClient, service: Service) -> None:
    answers = await asyncio.gather(*[admin.put(ORDER, json=state(1)) for _ in range(6)])
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert await entries(admin) == [("earn", 100)]
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_case_22_paid_cancelled_paid_earns_loses_and_earns(
    admin: httpx.AsyncClient, service: Service
) -> None:
    assert effects(await put(admin, state(1), state(2, "cancelled"))) == [("cancellation", 10_000)]
    told = await put(admin, state(3))
    assert effects(told) == [("repayment", 10_000)]
    assert await entries(admin) == [("earn", 100), ("clawback", -100), ("earn", 100)]
    assert (await bought_and_spent(admin))[0] == 10_000
    value = (await admin.get("/v1/customers/external_id:42/health")).json()["value"]
    assert value["currency"] == "EUR"
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_case_23_a_refund_that_came_first_is_applied_when_the_order_is_paid(
    admin: httpx.AsyncClient, service: Service
) -> None:
    assert (await posted(admin, refunded("r", 2_500)))["pending_match"]
    told = await put(admin, state(1, "placed"), state(2))
    assert effects(told) == [("purchase", 10_000)]
    assert told["effects"][0]["loyalty"]["points_clawed"] == 25
    # The state that says so too speaks of the same money.
    assert effects(await put(admin, state(3, refunded_minor=2_500))) == []
    assert (await bought_and_spent(admin))[0] == 7_500
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_case_24_an_older_version_is_ignored(admin: httpx.AsyncClient) -> None:
    await put(admin, state(5))
    told = await put(admin, state(4, "cancelled"))
    assert (told["ignored"], told["effects"], told["order"]["version"]) == ("stale_version", [], 5)
    assert await entries(admin) == [("earn", 100)]


@pytest.mark.usefixtures("club")
async def test_the_same_version_with_another_content_is_refused(admin: httpx.AsyncClient) -> None:
    await put(admin, state(1))
    assert problem(await admin.put(ORDER, json=state(1, "cancelled"))) == (409, "id_reused")


@pytest.mark.usefixtures("club")
async def test_partial_refunds_by_line_are_exact_to_the_point(
    admin: httpx.AsyncClient, service: Service
) -> None:
    half = [LINES[0] | {"returned_quantity": 1}, LINES[1]]
    whole = [LINES[0] | {"returned_quantity": 2}, LINES[1]]
    taken = []
    for one in (state(1), state(2, lines=half), state(3, lines=whole), state(4, "refunded", lines=whole)):
        told = await put(admin, one)
        taken += [effect["loyalty"]["points_clawed"] for effect in told["effects"]]
    assert taken == [0, 30, 30, 40]
    assert (await admin.get(LOYALTY)).json()["pending"] == 0
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_what_is_added_earns_its_amount_and_is_refunded_first(
    admin: httpx.AsyncClient, service: Service
) -> None:
    rules = [
        {"code": "base", "points": 1, "per_amount_minor": 100},
        {"code": "bonus", "points": 500},
        {"code": "shoes", "multiplier": "2", "when": {"category": ["shoes"]}},
    ]
    await publish(admin, earning_rules=rules)
    more = [*LINES, {"line_id": "3", "category": "shoes", "net_minor": 1_000, "tax_minor": 190}]
    now = datetime.now(UTC).isoformat()
    first = await put(admin, state(1, placed_at=now))
    assert first["effects"][0]["loyalty"]["points_earned"] == 60 + 80 + 500
    second = await put(admin, state(2, lines=more, placed_at=now))
    assert effects(second) == [("addition", 1_190)]
    assert second["effects"][0]["loyalty"]["points_earned"] == 20
    third = await put(admin, state(3, lines=more, placed_at=now, refunded_minor=1_190))
    assert third["effects"][0]["loyalty"]["points_clawed"] == 20
    assert await sound(service)


@pytest.mark.usefixtures("club")
async def test_an_order_adopts_the_purchase_that_was_posted_for_it(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await posted(admin, bought("p", 10_000, order_id="A-1"))
    told = await put(admin, state(1))
    assert (told["effects"], told["order"]["adopted"]) == ([], "p")
    assert (await put(admin, state(2, "cancelled")))["effects"][0]["loyalty"]["points_clawed"] == 100
    assert await entries(admin) == [("earn", 100), ("clawback", -100)]
    assert await sound(service)


async def test_without_a_programme_it_adopts_what_was_posted_and_given_back(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await posted(admin, bought("p", 10_000, order_id="A-1"))
    await posted(admin, refunded("r", 2_000))
    assert effects(await put(admin, state(1, refunded_minor=2_000))) == []
    await posted(admin, refunded("r2", 1_000))
    assert effects(await put(admin, state(2, refunded_minor=3_500))) == [("refund", 500)]
    assert (await bought_and_spent(admin))[0] == 6_500
    assert await sound(service)


@pytest.mark.parametrize("with_programme", [False, True])
async def test_a_purchase_posted_after_its_order_counts_once(
    admin: httpx.AsyncClient, service: Service, request: pytest.FixtureRequest, with_programme: bool
) -> None:
    if with_programme:
        await request.getfixturevalue("publishing")()
    await put(admin, state(1))
    before = (await admin.get("/v1/customers/external_id:42/health")).json()["score_exact"]
    told = await posted(admin, bought("p", 10_000, order_id="A-1"))
    assert (told["duplicate"], told["health"]["delta"]) == (False, 0)
    if with_programme:
        assert told["loyalty"]["points_earned"] == 0
    assert await posted(admin, bought("p", 10_000, order_id="A-1")) == told | {"duplicate": True}
    shown = (await admin.get("/v1/touchpoints/p?customer=external_id:42")).json()
    assert shown["voided"]["reason"] == "Its order has counted it already"
    after = (await admin.get("/v1/customers/external_id:42/health")).json()["score_exact"]
    assert after == pytest.approx(before, abs=1e-3)
    batch = {"touchpoints": [bought("q", 10_000, order_id="A-1"), bought("other", 500)]}
    assert (await admin.post("/v1/touchpoints/batch", json=batch)).json()["stored"] == 2
    assert await bought_and_spent(admin) == (10_500, ["purchase", "purchase"])
    assert await sound(service)


async def test_an_order_has_an_etag_and_refuses_who_has_seen_another(admin: httpx.AsyncClient) -> None:
    first = await admin.put(ORDER, json=state(1))
    tag = first.headers["ETag"]
    read = await admin.get(GET)
    assert (read.headers["ETag"], read.json()) == (tag, first.json()["order"])
    stale = await admin.put(ORDER, json=state(2), headers={"If-Match": '"99"'})
    assert problem(stale) == (412, "stale")
    fresh = await admin.put(ORDER, json=state(2, "fulfilled"), headers={"If-Match": tag})
    assert (fresh.status_code, fresh.json()["order"]["status"]) == (200, "fulfilled")
    assert fresh.headers["ETag"] != tag


async def test_orders_are_listed_newest_first(admin: httpx.AsyncClient) -> None:
    for name in ("A-1", "A-2", "A-3"):
        await admin.put(f"/v1/orders/{name}", json=state(1))
    url = "/v1/orders?customer=external_id:42&limit=2"
    first = (await admin.get(url)).json()
    rest = (await admin.get(f"{url}&cursor={first['next_cursor']}")).json()
    assert [one["order_id"] for one in first["data"] + rest["data"]] == ["A-3", "A-2", "A-1"]
    assert rest["next_cursor"] is None
    assert problem(await admin.get(f"{url}&cursor=x")) == (422, "invalid_cursor")


async def test_two_shops_may_have_an_order_of_one_name(admin: httpx.AsyncClient, service: Service) -> None:
    shop = await service.client(await service.key("storefront", source="shop-us"))
    await put(admin, state(1))
    await put(shop, state(1, lines=LINES[:1]))
    assert (await shop.get(GET)).json()["paid_minor"] == 6_000
    assert (await admin.get(f"{GET}&source=shop-us")).json()["source"] == "shop-us"
    assert problem(await admin.get(f"{GET}&source=nobody")) == (404, "order_not_found")


async def test_an_order_may_create_its_customer(admin: httpx.AsyncClient) -> None:
    told = await put(admin, state(1, customer={"external_id": "new"}))
    assert (await admin.get("/v1/customers/external_id:new")).json()["id"] == told["order"]["customer_id"]


@pytest.mark.parametrize(
    "said, expected",
    [
        ({"placed_at": "2126-01-01T00:00:00Z"}, (422, "in_the_future")),
        ({"changed_at": "2126-01-01T00:00:00Z"}, (422, "in_the_future")),
        ({"placed_at": "2026-01-01T00:00:00"}, (422, "naive_time")),
        ({"currency": "EURO"}, (422, "unknown_currency")),
        ({"lines": [LINES[0], LINES[0]]}, (422, "duplicate_line")),
        ({"version": 0}, (422, "validation_failed")),
        ({"customer": "nonsense"}, (422, "invalid_reference")),
        ({"lines": [{"line_id": "1", "net_minor": -1}]}, (422, "validation_failed")),
    ],
)
async def test_what_is_wrong_with_an_order_is_refused(
    admin: httpx.AsyncClient, said: dict[str, Any], expected: tuple[int, str]
) -> None:
    answer = await admin.put(ORDER, json=state(1) | said)
    assert problem(answer)[0] == expected[0]
    told = answer.json()
    assert expected[1] in {told["code"], *(one["code"] for one in told["errors"])}
    assert problem(await admin.get(GET)) == (404, "order_not_found")


async def test_only_those_who_may_send_and_read_orders(service: Service) -> None:
    reader = await service.client(await service.key(scopes=["customers:read"]))
    writer = await service.client(await service.key(scopes=["events:write"]))
    assert problem(await reader.put(ORDER, json=state(1))) == (403, "scope_missing")
    for url in (GET, "/v1/orders?customer=external_id:42"):
        assert problem(await writer.get(url)) == (403, "scope_missing")
    assert problem(await writer.put(ORDER, json=state(1, source="else"))) == (403, "scope_missing")
