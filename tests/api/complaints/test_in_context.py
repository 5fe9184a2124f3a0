"""What the context of a customer tells of complaints."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx

from app.api.context_shapes import ContextOut
from app.domain.health.model import shipped
from app.usecases.complaints.watch_complaints import watch_complaints
from tests.api.complaints.telling import ADA, TO_OFFER, URL, bought, go, told, touchpoints
from tests.api.conftest import Service


async def late(owner: asyncpg.Connection, service: Service, complaint: dict[str, Any]) -> None:
    """As if it had been told 60 days ago: its clocks are turned back, and a worker looks."""
    stored = await owner.fetchval(
        "SELECT clocks FROM complaints WHERE reference = $1", complaint["reference"]
    )
    clocks = [{name: _earlier(value) for name, value in clock.items()} for clock in json.loads(stored)]
    await owner.execute(
        """
        UPDATE complaints SET clocks = $1::text::jsonb, next_due_at = next_due_at - interval '60 days'
        WHERE reference = $2
        """,
        json.dumps(clocks),
        complaint["reference"],
    )
    await watch_complaints(service.app.state.database, shipped(), datetime.now(UTC))


def _earlier(value: Any) -> Any:
    if not isinstance(value, str) or "T" not in value:
        return value
    return (datetime.fromisoformat(value) - timedelta(days=60)).isoformat()


async def context(agent: httpx.AsyncClient) -> dict[str, Any]:
    answer = await agent.get("/v1/customers/external_id:42/context")
    read: dict[str, Any] = answer.json()
    assert ContextOut.model_validate(read).model_dump(mode="json") == read
    return read


async def test_the_context_tells_how_an_open_complaint_stands(
    admin: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    await bought(admin)
    complaint = await told(agent)
    await agent.patch(f"{URL}/{complaint['id']}", json={"owner": "ben"})
    said = {"complaint_id": "theirs", "severity": "low"}
    body = {"id": "c1", "customer": ADA, "kind": "complaint_opened", "properties": said}
    await admin.post("/v1/touchpoints", json=body)
    read = await context(agent)
    mine, theirs = read["open_complaints"]
    assert (mine["complaint_id"], mine["reference"]) == (complaint["id"], complaint["reference"])
    assert (mine["state"], mine["owner"]) == ("received", "ben")
    assert mine["clocks"] == complaint["clocks"]
    assert (theirs["complaint_id"], theirs["reference"], theirs["clocks"]) == ("theirs", None, [])
    action = read["next_best_actions"][0]
    assert action["action"] == "resolve_complaint"
    assert action["why"].startswith(f"Complaint {complaint['reference']} has a promise ")
    health = (await agent.get("/v1/customers/external_id:42/health")).json()
    assert any("complaint" in one["action"] and one["gain"] > 0 for one in health["what_would_help"])

    await go(agent, (await agent.get(f"{URL}/{complaint['id']}")).json(), *TO_OFFER, "accepted")
    assert [one["complaint_id"] for one in (await context(agent))["open_complaints"]] == ["theirs"]


async def test_a_broken_promise_leads_the_reasons_and_the_actions(
    service: Service, admin: httpx.AsyncClient, agent: httpx.AsyncClient, owner: asyncpg.Connection
) -> None:
    await bought(admin)
    complaint = await told(agent)
    before = (await agent.get("/v1/customers/external_id:42/context")).headers["etag"]
    await late(owner, service, complaint)
    read = await context(agent)
    missed = f"Complaint {complaint['reference']} missed its promise "
    assert read["health"]["reasons"][0].startswith(missed)
    assert len(read["health"]["reasons"]) <= 5
    assert read["next_best_actions"][0]["why"].startswith(missed)
    assert len(read["summary"].split()) <= 80
    assert (await agent.get("/v1/customers/external_id:42/context")).headers["etag"] != before
    text = (await agent.get("/v1/customers/external_id:42/context?format=markdown")).text
    assert f"- Complaint {complaint['reference']}, high, received, open for " in text
    assert f"- {missed}" in text
    kinds = {row["description"] for row in await touchpoints(agent, "complaint_breached")}
    assert f"{missed}of a first response" in kinds
    seen = (await agent.get(f"{URL}/{complaint['id']}")).json()
    assert sorted(seen["breaches"]) == ["acknowledge", "first_response", "resolution"]
    assert seen["version"] == 1
