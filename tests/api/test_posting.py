"""POST /v1/touchpoints and /v1/touchpoints/batch as a storefront meets them."""

import asyncio
import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.usecases.group_writer import GroupWriter
from tests.api.conftest import Service

VISIT: dict[str, Any] = {"id": "v1", "customer": {"external_id": "42"}, "kind": "visit"}
PURCHASE: dict[str, Any] = {
    "id": "evt-1001",
    "customer": {"external_id": "42", "email": "ada@example.com"},
    "kind": "purchase",
    "occurred_at": "2026-10-20T12:15:00.5+02:00",
    "channel": "web",
    "amount_minor": 4999,
    "currency": "EUR",
    "order_id": "A-1001",
    "items": [{"sku": "X1", "quantity": 2, "amount_minor": 4999, "category": "shoes"}],
    "description": "Order A-1001, 2 items",
    "properties": {"mood": "😀"},
}


async def stored(service: Service) -> int:
    async with service.app.state.database.hot_reading() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM touchpoints"))


async def post(client: httpx.AsyncClient, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    return await client.post(
        "/v1/touchpoints", content=content, headers={"Content-Type": "application/json"} | headers
    )


async def batch(client: httpx.AsyncClient, items: list[Any], query: str = "") -> httpx.Response:
    return await client.post(f"/v1/touchpoints/batch{query}", json={"touchpoints": items})


async def test_a_purchase_is_answered_with_what_it_did(admin: httpx.AsyncClient) -> None:
    answer = await post(admin, PURCHASE)
    assert answer.status_code == 201
    told = answer.json()
    assert told["occurred_at"] == "2026-10-20T10:15:00.500000Z"
    assert (told["id"], told["kind"], told["source"]) == ("evt-1001", "purchase", "admin")
    assert (told["duplicate"], told["pending_match"], told["loyalty"]) == (False, False, None)
    health = told["health"]
    assert health["before"] is None
    assert health["delta"] == health["score"] - 50
    assert health["band_changed"]
    assert health["model"] == "2026.1"
    assert health["reasons"]


async def test_a_retry_is_a_duplicate_with_the_first_answer_whatever_happened_since(
    admin: httpx.AsyncClient,
) -> None:
    first = (await post(admin, PURCHASE)).json()
    await post(admin, VISIT)
    again = await post(admin, json.dumps(PURCHASE, sort_keys=True, indent=3))
    assert again.status_code == 200
    assert again.json() == first | {"duplicate": True}


async def test_a_used_id_with_another_body_is_refused(admin: httpx.AsyncClient, service: Service) -> None:
    await post(admin, PURCHASE)
    changes: list[dict[str, Any]] = [{"amount_minor": 5000}, {"channel": "app"}, {"properties": {}}]
    for change in changes:
        answer = await post(admin, PURCHASE | change)
        assert (answer.status_code, answer.json()["code"]) == (409, "id_reused")
    assert await stored(service) == 1


async def test_sources_do_not_share_ids_and_only_an_admin_may_name_one(
    service: Service, admin: httpx.AsyncClient
) -> None:
    shop = await service.client(await service.key("storefront", source="shop-eu"))
    assert (await post(shop, VISIT)).json()["source"] == "shop-eu"
    assert (await post(admin, VISIT)).status_code == 201
    assert (await post(admin, VISIT | {"source": "shop-us"})).json()["source"] == "shop-us"
    refused = await post(shop, VISIT | {"source": "shop-us"})
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert await stored(service) == 3


async def test_an_idempotency_key_becomes_the_id_of_a_touchpoint_without_one(
    admin: httpx.AsyncClient,
) -> None:
    nameless = {name: value for name, value in VISIT.items() if name != "id"}
    first = await post(admin, nameless, **{"Idempotency-Key": '"try-1"'})
    again = await post(admin, nameless, **{"Idempotency-Key": "try-1"})
    assert (first.json()["id"], again.json()["duplicate"]) == ("try-1", True)
    made = [(await post(admin, nameless)).json()["id"] for _ in range(2)]
    assert len(set(made)) == 2
    refused = await post(admin, nameless, **{"Idempotency-Key": "a/b"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_identifier")


async def test_two_identifiers_of_two_customers_are_a_conflict_that_names_both(
    admin: httpx.AsyncClient,
) -> None:
    one = (await post(admin, VISIT)).json()["customer_id"]
    two = (await post(admin, VISIT | {"customer": {"email": "bob@example.com"}})).json()["customer_id"]
    answer = await post(
        admin, VISIT | {"id": "v2", "customer": {"external_id": "42", "email": "BOB@example.com"}}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "identity_conflict")
    assert sorted(answer.json()["customers"]) == sorted([one, two])


def visit(**members: Any) -> str:
    return json.dumps(VISIT | members)


def nested(depth: int) -> Any:
    """Objects and arrays in turn, so deep; an object is the outermost of an even number."""
    value: Any = "bottom"
    for level in range(depth):
        value = {"a": value} if level % 2 else [value]
    return value


LATE = (datetime.now(UTC) + timedelta(days=1)).isoformat()
BAD_BODIES: list[tuple[str | bytes, int, str]] = [
    (b"", 400, "malformed_json"),
    ('{"id": "a", ', 400, "malformed_json"),
    (b'{"id": "\xff"}', 400, "malformed_json"),
    (visit()[:-1] + ', "properties": ' + "[" * 10_000 + "]" * 10_000 + "}", 400, "malformed_json"),
    (visit()[:-1] + ', "properties": {"a": NaN}}', 400, "number_out_of_range"),
    (visit()[:-1] + ', "properties": {"a": -Infinity}}', 400, "number_out_of_range"),
    (visit()[:-1] + ', "properties": {"a": 1e400}}', 400, "number_out_of_range"),
    (visit()[:-1] + ', "amount_minor": NaN}', 400, "number_out_of_range"),
    ("[]", 422, "validation_failed"),
    ("null", 422, "validation_failed"),
    ("{}", 422, "validation_failed"),
    (visit(surprise=1), 422, "validation_failed"),
    (visit(kind=7), 422, "validation_failed"),
    (visit(id=""), 422, "validation_failed"),
    (visit(id="a/b"), 422, "validation_failed"),
    (visit(amount_minor=-1, currency="EUR"), 422, "validation_failed"),
    (visit(amount_minor=1.5, currency="EUR"), 422, "validation_failed"),
    (visit(amount_minor="1", currency="EUR"), 422, "validation_failed"),
    (visit(amount_minor=True, currency="EUR"), 422, "validation_failed"),
    (visit(amount_minor=2**63, currency="EUR"), 422, "validation_failed"),
    (visit(items=[{"sku": "X", "colour": "red"}]), 422, "validation_failed"),
    (visit(customer="ada"), 422, "invalid_reference"),
    (visit(customer={}), 422, "invalid_reference"),
    (visit(customer={"phone": "0151 123"}), 422, "invalid_phone"),
    (visit(customer={"Shop": "1"}), 422, "invalid_identifier"),
    (visit(customer={"external_id": "\0"}), 422, "invalid_identifier"),
    (visit(occurred_at="2026-10-20T10:15:00"), 422, "naive_time"),
    (visit(occurred_at="yesterday"), 422, "invalid_time"),
    (visit(occurred_at=1760955300), 422, "invalid_time"),
    (visit(occurred_at="2026-02-30T10:15:00Z"), 422, "invalid_time"),
    (visit(occurred_at=LATE), 422, "in_the_future"),
    (visit(occurred_at="1969-12-31T23:59:59Z"), 422, "before_1970"),
    (visit(occurred_at="0001-01-01T00:00:00+14:00"), 422, "invalid_time"),
    (visit(kind="sneezed"), 422, "unknown_kind"),
    (visit(kind="tier_changed"), 422, "reserved_kind"),
    (visit(kind="purchase"), 422, "property_required"),
    (visit(kind="nps", properties={"rating": 6.5}), 422, "invalid_property"),
    (visit(amount_minor=1, currency="XTS"), 422, "unknown_currency"),
    (visit(amount_minor=1, currency="USD", exchange_rate="-1"), 422, "invalid_rate"),
    (visit(amount_minor=9**16 // 9**2, currency="USD", exchange_rate="999999999"), 422, "value_too_large"),
    (visit(description="\0"), 422, "invalid_text"),
    (visit(description="\ud800"), 422, "invalid_text"),
    (visit(properties={"a\0": 1}), 422, "invalid_text"),
    (visit(properties={"a": {"\udfff": 1}}), 422, "invalid_text"),
    (visit(properties={"a": ["\0"]}), 422, "invalid_text"),
    (visit(properties=nested(18)), 422, "properties_too_deep"),
    (visit(properties=nested(256)), 422, "properties_too_deep"),
    (visit(description="x" * 2001), 422, "validation_failed"),
    (visit(description="x" * 1_000_000), 413, "body_too_large"),
]


@pytest.mark.parametrize("body, status, code", BAD_BODIES)
async def test_bad_input_is_refused_with_its_code_and_nothing_is_stored(
    admin: httpx.AsyncClient, service: Service, body: str | bytes, status: int, code: str
) -> None:
    answer = await post(admin, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) <= 4096
    assert problem["message"] == problem["detail"]
    assert problem["instance"].startswith("urn:trace:")
    assert await stored(service) == 0
    assert (await post(admin, VISIT)).status_code == 201


async def test_a_problem_does_not_repeat_what_was_sent(admin: httpx.AsyncClient) -> None:
    sent = "s3cret-value-that-must-not-come-back"
    for body in (
        visit(kind=sent),
        visit(currency=sent),
        visit(occurred_at=sent),
        visit(**{sent: sent}),
    ):
        answer = await post(admin, body)
        assert answer.status_code == 422
        assert sent not in answer.text or f"#/{sent}" in answer.text


async def test_a_body_must_say_that_it_is_json(admin: httpx.AsyncClient) -> None:
    answer = await post(admin, VISIT, **{"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_the_deepest_properties_that_are_taken_can_be_read_everywhere(admin: httpx.AsyncClient) -> None:
    deepest = nested(16)
    assert (await post(admin, VISIT | {"properties": deepest})).status_code == 201
    body = (await batch(admin, [VISIT | {"id": "b", "properties": deepest}])).json()
    assert body["stored"] == 1
    for url in ("/v1/customers/external_id:42/timeline", "/v1/touchpoints"):
        rows = (await admin.get(url)).json()["data"]
        assert [row["properties"] for row in rows] == [deepest, deepest]
    single = await admin.get("/v1/touchpoints/b", params={"customer": "external_id:42"})
    assert single.json()["properties"] == deepest
    assert (await admin.get("/v1/customers/external_id:42/context")).status_code == 200


async def test_properties_that_are_too_deep_are_pointed_at_and_refused_alone_in_a_batch(
    admin: httpx.AsyncClient, service: Service
) -> None:
    for too_deep in ({"a": nested(16)}, {"flat": 1, "a": nested(17)}):
        answer = await post(admin, VISIT | {"properties": too_deep})
        assert (answer.status_code, answer.json()["code"]) == (422, "properties_too_deep")
        assert [fault["pointer"] for fault in answer.json()["errors"]] == ["#/properties"]
        body = (await batch(admin, [VISIT | {"id": "bad", "properties": too_deep}, VISIT])).json()
        assert body["results"][0]["problem"]["code"] == "properties_too_deep"
        assert body["results"][1]["status"] in ("stored", "duplicate")
    assert await stored(service) == 1


# --- what is counted -----------------------------------------------------------------------------------------------


async def counted(client: httpx.AsyncClient) -> dict[tuple[str, str], int]:
    """(kind, result) and how often."""
    found = {}
    for line in (await client.get("/metrics")).text.splitlines():
        if matched := re.fullmatch(r'touchpoints_total{kind="(.*)",result="(.*)"} (.*)', line):
            found[matched[1], matched[2]] = int(float(matched[3]))
    return found


async def test_what_is_refused_is_counted_by_kinds_that_exist(admin: httpx.AsyncClient) -> None:
    await post(admin, VISIT)
    await post(admin, VISIT | {"channel": "other"})  # id_reused: refused at the log
    await post(admin, VISIT | {"id": "v2", "surprise": 1})
    await post(admin, VISIT | {"kind": "purchase"})
    await post(admin, VISIT | {"kind": "tier_changed"})
    for kind in ("sneezed", "sneezed again", 7, ["visit"], None):
        await post(admin, VISIT | {"kind": kind})
    await post(admin, "[]")
    await post(admin, "{")
    expected = {
        ("visit", "stored"): 1,
        ("visit", "rejected"): 2,
        ("purchase", "rejected"): 1,
        ("tier_changed", "rejected"): 1,
        ("unknown", "rejected"): 7,
    }
    assert await counted(admin) == expected
    await batch(admin, [VISIT | {"id": "b"}, VISIT | {"id": ""}, VISIT | {"kind": "sneezed"}, "nonsense", 7])
    lines = b'{"kind": "visit"}\n{"id": '
    await admin.post("/v1/touchpoints/batch", content=lines, headers={"Content-Type": "application/x-ndjson"})
    expected["visit", "stored"] += 1
    expected["visit", "rejected"] += 2
    expected["unknown", "rejected"] += 4
    assert await counted(admin) == expected


# --- batches -------------------------------------------------------------------------------------------------------


async def test_a_batch_takes_what_is_good_and_says_what_is_wrong_with_the_rest(
    admin: httpx.AsyncClient, service: Service
) -> None:
    items = [
        VISIT,
        VISIT,
        VISIT | {"channel": "app"},
        {"kind": "visit"},
        VISIT | {"id": "v2"},
        "nonsense",
        VISIT | {"id": "v3", "description": "\0"},
    ]
    answer = await batch(admin, items)
    body = answer.json()
    assert answer.status_code == 200
    assert (body["stored"], body["duplicates"], body["rejected"]) == (2, 1, 4)
    statuses = [result["status"] for result in body["results"]]
    assert statuses == ["stored", "duplicate", "rejected", "rejected", "stored", "rejected", "rejected"]
    codes = [result["problem"]["code"] for result in body["results"] if result["status"] == "rejected"]
    assert codes == ["id_reused", "validation_failed", "validation_failed", "invalid_text"]
    assert [result["index"] for result in body["results"]] == list(range(7))
    assert await stored(service) == 2
    only_errors = (await batch(admin, items, "?results=errors")).json()
    assert [result["index"] for result in only_errors["results"]] == [2, 3, 5, 6]
    assert (only_errors["stored"], only_errors["duplicates"]) == (0, 3)


async def test_lines_of_json_may_come_gzipped_and_a_bad_line_is_one_rejection(
    admin: httpx.AsyncClient,
) -> None:
    lines = [json.dumps(VISIT | {"id": str(index)}) for index in range(5)]
    lines[2] = '{"id": '
    answer = await admin.post(
        "/v1/touchpoints/batch",
        content=gzip.compress("\n".join([*lines, ""]).encode()),
        headers={"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
    )
    body = answer.json()
    assert (body["stored"], body["rejected"]) == (4, 1)
    assert body["results"][2]["problem"]["code"] == "malformed_json"


@pytest.mark.parametrize(
    "content, headers, status, code",
    [
        (b"{", {}, 400, "malformed_json"),
        (b'{"touchpoints": 5}', {}, 422, "validation_failed"),
        (b'{"touchpoints": [], "more": 1}', {}, 422, "validation_failed"),
        (json.dumps({"touchpoints": [VISIT] * 2501}).encode(), {}, 413, "too_many_items"),
        (gzip.compress(b" " * 200_000_000, 9), {"Content-Encoding": "gzip"}, 413, "body_too_large"),
        (b"not gzip", {"Content-Encoding": "gzip"}, 400, "malformed_gzip"),
        (b"{}", {"Content-Encoding": "br"}, 415, "unsupported_encoding"),
    ],
    ids=["malformed", "no array", "unknown member", "too many", "bomb", "no gzip", "brotli"],
)
async def test_a_batch_that_cannot_be_read_is_refused_whole(
    admin: httpx.AsyncClient,
    service: Service,
    content: bytes,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    answer = await admin.post(
        "/v1/touchpoints/batch", content=content, headers={"Content-Type": "application/json"} | headers
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await stored(service) == 0


async def test_an_empty_batch_is_a_batch(admin: httpx.AsyncClient) -> None:
    assert (await batch(admin, [])).json() == {"stored": 0, "duplicates": 0, "rejected": 0, "results": []}


async def test_an_item_over_32_kb_is_refused_alone(admin: httpx.AsyncClient) -> None:
    large = VISIT | {"id": "large", "properties": {"text": "x" * 33_000}}
    body = (await batch(admin, [VISIT, large])).json()
    assert (body["stored"], body["results"][1]["problem"]["code"]) == (1, "body_too_large")


async def test_what_came_in_a_batch_can_be_retried_alone(admin: httpx.AsyncClient) -> None:
    await batch(admin, [VISIT, VISIT | {"id": "v2"}])
    for name in ("v1", "v2"):
        answer = await post(admin, VISIT | {"id": name})
        assert (answer.status_code, answer.json()["duplicate"]) == (200, True)


async def test_a_full_queue_answers_503_and_a_batch_that_finds_none_of_its_lanes_free_too(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await post(admin, VISIT)
    for lane in service.app.state.lanes._lanes:
        lane.queue_limit = 0
    for answer in (await post(admin, VISIT | {"id": "x"}), await batch(admin, [VISIT | {"id": "x"}])):
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "1"
    for lane in service.app.state.lanes._lanes:
        assert isinstance(lane, GroupWriter)
        lane.queue_limit = 100
    assert (await post(admin, VISIT | {"id": "x"})).status_code == 201


async def test_sixty_four_clients_at_once_store_each_touchpoint_once(
    admin: httpx.AsyncClient, service: Service
) -> None:
    async def client(number: int) -> None:
        for step in range(5):
            body = VISIT | {"id": f"{number % 32}-{step}", "customer": {"external_id": str(number % 8)}}
            assert (await post(admin, body)).status_code in (200, 201)

    await asyncio.gather(*(client(number) for number in range(64)))
    assert await stored(service) == 32 * 5


# --- publishable keys ----------------------------------------------------------------------------------------------

SHOP = "https://shop.example"


@pytest.fixture
async def page(service: Service) -> httpx.AsyncClient:
    return await service.client(await service.key("publishable", origins=[SHOP], source="web"))


async def test_a_web_page_may_say_little_and_is_told_little(page: httpx.AsyncClient) -> None:
    answer = await post(page, VISIT, Origin=SHOP)
    assert (answer.status_code, answer.json()) == (201, {"id": "v1", "duplicate": False})
    assert answer.headers["access-control-allow-origin"] == SHOP
    elsewhere = await post(page, VISIT, Origin="https://evil.example")
    assert "access-control-allow-origin" not in elsewhere.headers


async def test_a_web_page_may_not_post_money_name_customers_by_uuid_or_add_identifiers(
    page: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    known = (await post(admin, VISIT)).json()["customer_id"]
    for members, status, code in (
        ({"kind": "purchase", "amount_minor": 1, "currency": "EUR"}, 403, "kind_not_allowed"),
        ({"customer": known}, 422, "reference_not_allowed"),
        ({"customer": {"external_id": "42", "email": "mallory@example.com"}}, 403, "identifier_not_allowed"),
    ):
        answer = await post(page, VISIT | {"id": "w1"} | members)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
