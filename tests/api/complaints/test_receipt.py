"""A complaint is told: once, from a contact too, and what is no complaint is refused."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.complaints.telling import ADA, URL, problem, told, touchpoints


async def test_the_same_complaint_told_twice_is_one(agent: httpx.AsyncClient) -> None:
    first = await told(agent, source_id="t-1")
    body = {"customer": ADA, "subject": "Still waiting", "severity": "high", "source_id": "t-1"}
    again = await agent.post(URL, json=body)
    assert again.status_code == 200
    assert {**again.json(), "updated_at": ""} == {**first, "updated_at": ""}
    assert problem(await agent.post(URL, json=body | {"subject": "Another"})) == (409, "id_reused")
    assert len((await agent.get(URL)).json()["data"]) == 1


async def test_many_who_tell_the_same_at_once_make_one_complaint(agent: httpx.AsyncClient) -> None:
    await told(agent, customer=ADA, source_id="other")
    body = {"customer": ADA, "subject": "Once", "source_id": "t-9"}
    answers = await asyncio.gather(*(agent.post(URL, json=body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await touchpoints(agent, "complaint_opened")) == 2


async def test_an_idempotency_key_makes_a_retry_safe(agent: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    body = {"customer": ADA, "subject": "Once"}
    first = await agent.post(URL, json=body, headers=headers)
    again = await agent.post(URL, json=body, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_support_contact_becomes_a_complaint_that_has_waited_since_then(
    admin: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    then = (datetime.now(UTC) - timedelta(hours=30)).isoformat()
    contact = {"id": "call-5", "customer": ADA, "kind": "support_contact", "occurred_at": then}
    await admin.post("/v1/touchpoints", json=contact)
    complaint = await told(agent, from_contact="call-5", severity=None)
    assert complaint["severity"] == "medium"
    assert complaint["source_id"] == "contact:call-5"
    assert datetime.fromisoformat(complaint["opened_at"]) == datetime.fromisoformat(then)
    body = {"customer": ADA, "subject": "Still waiting", "severity": None, "from_contact": "call-5"}
    assert (await agent.post(URL, json=body)).status_code == 200
    assert problem(await agent.post(URL, json=body | {"from_contact": "no"})) == (404, "contact_not_found")
    assert problem(await agent.post(URL, json=body | {"source_id": "x"})) == (422, "source_id_not_allowed")


@pytest.mark.parametrize(
    "members, status, code",
    [
        ({"subject": ""}, 422, "validation_failed"),
        ({"severity": "huge"}, 422, "validation_failed"),
        ({"remedy_sought": "gold"}, 422, "validation_failed"),
        ({"about": {"Order Id": "x"}}, 422, "validation_failed"),
        ({"state": "closed"}, 422, "validation_failed"),
        ({"calendar": "none"}, 422, "unknown_calendar"),
        ({"customer": {}}, 422, "invalid_reference"),
        ({"customer": "0193a5c2-0000-7000-8000-000000000000"}, 404, "customer_not_found"),
    ],
)
async def test_what_is_no_complaint_is_refused(
    agent: httpx.AsyncClient, members: dict[str, Any], status: int, code: str
) -> None:
    body = {"customer": ADA, "subject": "Still waiting"} | members
    assert problem(await agent.post(URL, json=body)) == (status, code)
    assert (await agent.get(URL)).json()["data"] == []


async def test_touchpoints_from_outside_make_no_complaint_here(
    admin: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    said = {"complaint_id": "theirs", "severity": "high"}
    body = {"id": "c1", "customer": ADA, "kind": "complaint_opened", "properties": said}
    assert (await admin.post("/v1/touchpoints", json=body)).status_code == 201
    assert (await agent.get(URL)).json()["data"] == []
    assert (await told(agent))["repeat"] is True
