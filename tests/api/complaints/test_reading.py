"""Lists of complaints, single ones, and who may see them."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import event

from tests.api.complaints.telling import URL, go, problem, told
from tests.api.conftest import Service


async def test_lists_are_narrowed_and_paged(agent: httpx.AsyncClient) -> None:
    made = [await told(agent, customer=f"external_id:{number % 2}") for number in range(5)]
    await agent.patch(f"{URL}/{made[0]['id']}", json={"owner": "ben"})
    await go(agent, made[1], "acknowledged")

    async def ids(**query: Any) -> list[str]:
        answer = await agent.get(URL, params=query)
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()["data"]]

    assert set(await ids()) == {one["id"] for one in made}
    assert await ids(owner="ben") == [made[0]["id"]]
    assert await ids(state="acknowledged") == [made[1]["id"]]
    assert set(await ids(customer="external_id:0")) == {made[n]["id"] for n in (0, 2, 4)}
    page = (await agent.get(URL, params={"limit": 3})).json()
    rest = (await agent.get(URL, params={"limit": 3, "cursor": page["next_cursor"]})).json()
    assert len(page["data"]) == 3
    assert rest["next_cursor"] is None
    assert {row["id"] for row in page["data"] + rest["data"]} == {one["id"] for one in made}
    assert problem(await agent.get(URL, params={"cursor": "x"})) == (422, "invalid_cursor")


async def test_a_complaint_is_found_by_its_reference_however_it_is_spelled(
    agent: httpx.AsyncClient,
) -> None:
    complaint = await told(agent)
    for typed in (complaint["reference"], complaint["reference"].lower().replace("-", " ")):
        found = await agent.get(f"{URL}/by-reference/{typed}")
        assert found.json()["id"] == complaint["id"]
    assert problem(await agent.get(f"{URL}/by-reference/C-00000-00000")) == (404, "complaint_not_found")
    assert problem(await agent.get(f"{URL}/by-reference/nonsense")) == (404, "complaint_not_found")


@pytest.mark.parametrize("path", ["", "/log"])
async def test_nobody_has_a_complaint_that_is_not_there(agent: httpx.AsyncClient, path: str) -> None:
    for name in ("x", "complaint_" + "0" * 43):
        assert problem(await agent.get(f"{URL}/{name}{path}")) == (404, "complaint_not_found")


async def test_each_route_needs_its_scope(service: Service, agent: httpx.AsyncClient) -> None:
    complaint = await told(agent)
    shop = await service.client(await service.key("storefront"))
    one = f"{URL}/{complaint['id']}"
    for path in (URL, one, f"{one}/log", f"{URL}/by-reference/x", "/v1/calendars", "/v1/calendars/default"):
        assert problem(await shop.get(path)) == (403, "scope_missing")
    reader = await service.client(await service.key("support", scopes=["feedback:read"]))
    assert (await reader.get(one)).status_code == 200
    for path in (URL, f"{one}/transitions", f"{one}/messages", f"{one}/compensations"):
        assert problem(await reader.post(path, json={})) == (403, "scope_missing")
    assert problem(await reader.patch(one, json={})) == (403, "scope_missing")
    assert problem(await agent.put("/v1/calendars/default", json={})) == (403, "scope_missing")


async def test_lists_and_reads_take_a_fixed_number_of_statements(
    service: Service, agent: httpx.AsyncClient
) -> None:
    said: list[str] = []
    engine = service.app.state.database.engine

    spied: list[asyncpg.Connection] = []

    @event.listens_for(engine.sync_engine, "checkout")
    def spy(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
        if dbapi_connection.driver_connection not in spied:
            spied.append(dbapi_connection.driver_connection)
            dbapi_connection.driver_connection.add_query_logger(lambda query: said.append(query.query))

    for number in range(8):
        await told(agent, customer=f"external_id:{number}")
    counts = {}
    for limit in (1, 8):
        said.clear()
        answer = await agent.get(URL, params={"limit": limit, "state": "received"})
        assert len(answer.json()["data"]) == limit
        await asyncio.sleep(0)
        counts[limit] = len([one for one in said if "FROM complaints" in one])
    assert counts == {1: 1, 8: 1}
