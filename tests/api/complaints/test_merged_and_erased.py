"""Complaints of customers who are somebody else by now, or nobody."""

import asyncpg
import httpx

from tests.api.complaints.telling import URL, go, problem, told


async def test_a_complaint_of_a_merged_customer_goes_on_with_the_survivor(
    admin: httpx.AsyncClient, agent: httpx.AsyncClient, owner: asyncpg.Connection
) -> None:
    complaint = await told(agent, customer="external_id:old")
    answer = await admin.post("/v1/customers", json={"identifiers": {"external_id": "new"}})
    survivor = answer.json()["id"]
    await owner.execute(
        "UPDATE customer_states SET merged_into = $1 WHERE customer_id = $2",
        survivor,
        complaint["customer_id"],
    )
    assert (await agent.get(f"{URL}/{complaint['id']}")).json()["reference"] == complaint["reference"]
    await go(agent, complaint, "withdrawn", reason="other")
    rows = (await agent.get("/v1/customers/external_id:new/timeline")).json()["data"]
    assert [row["kind"] for row in rows] == ["complaint_resolved"]


async def test_nothing_is_done_for_an_erased_customer(
    agent: httpx.AsyncClient, stranger: httpx.AsyncClient, owner: asyncpg.Connection
) -> None:
    complaint = await told(agent)
    await owner.execute("UPDATE customer_states SET erased_at = now()")
    one = f"{URL}/{complaint['id']}"
    assert problem(await agent.get(one)) == (409, "erased")
    step = {"to": "acknowledged", "expected_version": 1}
    assert problem(await agent.post(f"{one}/transitions", json=step)) == (409, "erased")
    assert problem(await stranger.get(complaint["status_link"])) == (410, "erased")
