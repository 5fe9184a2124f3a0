"""Holds and captures of many customers in one group: each answered as if it had come alone, or done alone."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.usecases.loyalty.capture_hold import capture_hold
from tests.api.conftest import Service
from tests.api.loyalty.spending import HOLDS, Till, problem

pytestmark = pytest.mark.usefixtures("club")

CROWD = 12
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@pytest.fixture
async def tills(admin: httpx.AsyncClient) -> list[Till]:
    """A dozen customers with 100 points each."""
    made = [Till(admin, f"external_id:g-{number}") for number in range(CROWD)]
    for number, till in enumerate(made):
        await admin.post("/v1/customers", json={"identifiers": {"external_id": f"g-{number}"}})
        await till.give(100)
    return made


async def test_one_who_is_refused_refuses_nobody_else(tills: list[Till]) -> None:
    answers = await asyncio.gather(
        *[till.hold(101 if number == 5 else 60) for number, till in enumerate(tills)],
        Till(tills[0].client, "external_id:nobody").hold(1),
        tills[0].hold(1, "h-2", program="none"),
    )
    codes = [answer.status_code for answer in answers]
    assert codes == [201] * 5 + [409] + [201] * 6 + [404] * 2
    holds = [answer.json().get("hold_id", "hold_x") for answer in answers]
    captures = await asyncio.gather(*[tills[0].capture(hold_id, 20) for hold_id in holds])
    assert [answer.status_code for answer in captures] == [200] * 5 + [404] + [200] * 6 + [404] * 2
    for number, till in enumerate(tills):
        assert await till.available() == (100 if number == 5 else 80)
        assert await till.is_sound()


async def test_a_group_is_few_statements_however_many_are_in_it(service: Service, tills: list[Till]) -> None:
    # Known from here on, so that nobody is looked up.
    await asyncio.gather(*[till.hold(1, "warm") for till in tills])
    said: list[str] = []
    for seat in service.app.state.spending._seats:
        assert seat._connection is not None or await seat.__aenter__()
        seat._connection.add_query_logger(lambda query: said.append(query.query))
    counts = []
    for number in (3, CROWD):
        said.clear()
        answers = await asyncio.gather(*[till.hold(10, f"h-{number}") for till in tills[:number]])
        holds = [answer.json()["hold_id"] for answer in answers]
        await asyncio.sleep(0)
        held = len(said)
        captures = await asyncio.gather(*[tills[0].capture(hold_id) for hold_id in holds])
        assert {answer.status_code for answer in captures} == {200}
        await asyncio.sleep(0)
        counts.append((held, len(said) - held))
    # A group or two: the first caller finds the writer idle.
    assert all(holds <= 4 and captures <= 8 for holds, captures in counts), counts


async def test_an_account_that_somebody_else_writes_is_done_under_its_lock(
    service: Service, tills: list[Till]
) -> None:
    """Another process writes between the look and the write: nothing is lost, nothing is done twice."""
    till = tills[0]
    other = Till(await service.client(await service.key("admin", source="elsewhere")), till.customer)
    calls: list[Any] = []
    for number in range(6):
        calls += [
            till.hold(10, f"h-{number}"),
            other.give(5, f"gift-{number}"),
            tills[1].hold(10, f"h-{number}"),
        ]
    answers = await asyncio.gather(*calls)
    assert all(isinstance(one, dict) or one.status_code == 201 for one in answers)
    shown = await till.balance()
    assert (shown["available"], shown["held"]) == (100 + 30 - 60, 60)
    assert await till.is_sound()


async def test_of_two_captures_of_different_points_one_wins_and_the_other_hears_of_it(
    service: Service, tills: list[Till]
) -> None:
    """Another process captures a part between the look and the write of who captures all."""
    till, state = tills[0], service.app.state
    hold_id = await till.held(100)
    async with state.database.hot_transaction() as connection:
        await capture_hold(
            connection, hold_id, 40, state.programs.current, state.model.current, datetime.now(UTC)
        )
        loser = asyncio.create_task(till.capture(hold_id))
        async with asyncio.timeout(60), state.database.hot_reading() as watching:
            while not await watching.fetchval(_WAITING):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)
    assert problem(await loser) == (409, "already_captured")
    assert await till.available() == 60
    assert await till.is_sound()


async def test_a_customer_is_found_by_several_identifiers_or_refused(
    tills: list[Till], admin: httpx.AsyncClient
) -> None:
    body = {"id": "h", "points": 5, "customer": {"external_id": "g-0", "email": "new@example.com"}}
    assert (await admin.post(HOLDS, json=body)).status_code == 201
    torn = body | {"customer": {"external_id": "g-1", "email": "g2@example.com"}, "id": "h-2"}
    await admin.post("/v1/customers", json={"identifiers": {"external_id": "g-2", "email": "g2@example.com"}})
    assert problem(await admin.post(HOLDS, json=torn)) == (409, "identity_conflict")
    assert await tills[1].available() == 100
