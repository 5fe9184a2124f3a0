"""Complaints are told and moved on over HTTP, for the tests beside."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

URL = "/v1/complaints"
ADA = {"external_id": "42", "email": "ada@example.com"}


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def bought(admin: httpx.AsyncClient, *, times: int = 4) -> None:
    for number in range(times):
        then = (datetime.now(UTC) - timedelta(days=25 * number + 3)).isoformat()
        body = {"id": f"p{number}", "customer": ADA, "kind": "purchase", "occurred_at": then}
        answer = await admin.post("/v1/touchpoints", json=body | {"amount_minor": 5000, "currency": "EUR"})
        assert answer.status_code == 201, answer.text


async def told(agent: httpx.AsyncClient, **members: Any) -> dict[str, Any]:
    body = {"customer": ADA, "subject": "Still waiting", "severity": "high"} | members
    answer = await agent.post(URL, json=body)
    assert answer.status_code == 201, answer.text
    read: dict[str, Any] = answer.json()
    return read


async def go(agent: httpx.AsyncClient, complaint: dict[str, Any], *path: str, **last: Any) -> dict[str, Any]:
    """Through these states; `last` are members of the last step."""
    for number, to in enumerate(path):
        body: dict[str, Any] = {"to": to, "expected_version": complaint["version"]}
        reasons = {
            "closed": "resolved",
            "rejected": "other",
            "escalated": "legal",
            "reopened": "not_resolved",
        }
        if to in reasons and not (to == "closed" and complaint["state"] == "accepted"):
            body["reason"] = reasons[to]
        if to == "waiting_customer":
            body["reason"] = "information_needed"
        if number == len(path) - 1:
            body |= last
        answer = await agent.post(f"{URL}/{complaint['id']}/transitions", json=body)
        assert answer.status_code == 200, answer.text
        complaint = answer.json()
        assert complaint["state"] == to
    return complaint


TO_OFFER = ("acknowledged", "assessed", "investigating", "resolution_offered")


async def log(agent: httpx.AsyncClient, complaint: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await agent.get(f"{URL}/{complaint['id']}/log", params={"limit": 200})
    assert answer.status_code == 200, answer.text
    lines: list[dict[str, Any]] = answer.json()["data"]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    return lines


async def touchpoints(agent: httpx.AsyncClient, kind: str) -> list[dict[str, Any]]:
    answer = await agent.get("/v1/customers/external_id:42/timeline", params={"kind": kind})
    found: list[dict[str, Any]] = answer.json()["data"]
    return found
