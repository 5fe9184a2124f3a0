"""GET /v1/customers/{customer}/context as a support tool meets it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.api.context_shapes import ContextOut
from tests.api.conftest import Service

URL = "/v1/customers/external_id:42/context"


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


async def post(client: httpx.AsyncClient, id: str, kind: str, days: float, **members: Any) -> None:  # noqa: A002 - the wire's own name
    customer = {"external_id": "42", "email": "ada@example.com"}
    body = {"id": id, "customer": customer, "kind": kind, "occurred_at": ago(days)} | members
    answer = await client.post("/v1/touchpoints", json=body)
    assert answer.status_code == 201, answer.text


@pytest.fixture
async def support(service: Service, admin: httpx.AsyncClient) -> httpx.AsyncClient:
    """A support tool; external_id:42 is Ada, who buys, complains and answers."""
    profile = {"name": "Ada Lovelace", "tags": ["vip"], "traits": {"shoe_size": 38}}
    identifiers = {"external_id": "42", "email": "ada@example.com"}
    await admin.post("/v1/customers", json={"identifiers": identifiers} | profile)
    for days in (100, 70, 40):
        money = {"amount_minor": 4999, "currency": "EUR", "order_id": f"A-{days}"}
        await post(admin, f"p{days}", "purchase", days, channel="web", **money)
    await post(admin, "c1", "complaint_opened", 3.5, properties={"complaint_id": "k1", "severity": "high"})
    scale = {"min": 0, "max": 10, "direction": "lower_is_better"}
    await post(admin, "n1", "csat", 2, properties={"rating": 9, "text": "*meh*", "scale": scale})
    client = await service.client(await service.key("support", source="helpdesk"))
    await client.post("/v1/customers/external_id:42/notes", json={"text": "Call <b>after</b> 5"})
    return client


async def test_one_call_tells_everything_about_a_customer(support: httpx.AsyncClient) -> None:
    answer = await support.get(URL)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert list(told) == list(ContextOut.model_fields)
    assert told["customer"] == (await support.get("/v1/customers/external_id:42")).json()
    health = (await support.get("/v1/customers/external_id:42/health")).json()
    for member in ("score", "band", "coverage", "reasons", "red_flags", "model"):
        assert told["health"][member] == health[member]
    assert set(told["value"]) == set(health["value"])
    assert 0 < told["value"]["clv"] <= told["value"]["expected_value_365d"]
    assert told["value"]["currency"] == "EUR"
    assert told["loyalty"] is told["consent"] is None
    (complaint,) = told["open_complaints"]
    assert (complaint["complaint_id"], complaint["severity"], complaint["age_days"]) == ("k1", "high", 3)
    assert (complaint["touchpoint_id"], complaint["source"]) == ("c1", "admin")
    csat = told["feedback"].pop("latest_csat")
    assert (csat["rating"], csat["text"]) == (9, "*meh*")
    assert csat["scale"] == {"min": 0, "max": 10, "direction": "lower_is_better"}
    assert told["feedback"] == {"latest_nps": None, "latest_ces": None, "latest_review": None}
    assert [row["id"] for row in told["recent_touchpoints"]] == ["n1", "c1", "p40", "p70", "p100"]
    assert told["recent_touchpoints"][2]["amount"] == "49.99"
    assert told["next_best_actions"][0]["action"] == "resolve_complaint"
    assert [note["text"] for note in told["notes"]] == ["Call <b>after</b> 5"]
    assert told["summary"].startswith("Ada Lovelace, customer since ")
    assert len(told["summary"].split()) <= 80


async def test_the_answer_has_the_shape_that_is_documented(support: httpx.AsyncClient) -> None:
    told = (await support.get(URL)).json()
    assert ContextOut.model_validate(told).model_dump(mode="json") == told


async def test_somebody_of_whom_nothing_is_known_has_the_same_members(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/customers", json={"identifiers": {"external_id": "new"}})
    told = (await admin.get("/v1/customers/external_id:new/context")).json()
    assert list(told) == list(ContextOut.model_fields)
    assert (told["health"]["score"], told["health"]["band"]) == (None, "unknown")
    assert told["value"]["p_alive"] is None
    for member in ("open_complaints", "recent_touchpoints", "next_best_actions", "notes"):
        assert told[member] == []
    assert set(told["feedback"].values()) == {None}
    ContextOut.model_validate(told)


async def test_the_caller_says_how_many_touchpoints_to_show(support: httpx.AsyncClient) -> None:
    for count, shown in ((0, 0), (2, 2), (50, 5)):
        assert len((await support.get(f"{URL}?touchpoints={count}")).json()["recent_touchpoints"]) == shown
    assert (await support.get(f"{URL}?touchpoints=51")).status_code == 422


async def test_the_same_comes_as_markdown_and_what_people_typed_stays_text(
    support: httpx.AsyncClient,
) -> None:
    answer = await support.get(f"{URL}?format=markdown")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.text.startswith("# Ada Lovelace\n\nAda Lovelace, customer since ")
    assert "- Complaint k1, high, open for 4 days: Complaint opened, high\n" in answer.text
    assert ", helpdesk: Call \\<b\\>after\\</b\\> 5\n" in answer.text
    assert "where lower is better on " in answer.text


async def test_an_unchanged_context_is_not_sent_again(
    support: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    first = await support.get(URL)
    etag = first.headers["etag"]
    assert etag.startswith('W/"')
    for known in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
        again = await support.get(URL, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert (await support.get(f"{URL}?format=markdown")).headers["etag"] != etag

    await post(admin, "v", "visit", 0)
    changed = await support.get(URL, headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


async def test_nobody_has_no_context(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/v1/customers/external_id:nobody/context")
    assert (answer.status_code, answer.json()["code"]) == (404, "customer_not_found")


async def test_reading_a_context_needs_its_scope(service: Service) -> None:
    writer = await service.client(await service.key("storefront", scopes=["events:write"]))
    answer = await writer.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
