"""Points as compensation of a complaint: booked in the ledger, once, with the complaint as their natural key."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.api.loyalty.spending import Till, problem

pytestmark = pytest.mark.usefixtures("ada")


@pytest.fixture
async def complaint(admin: httpx.AsyncClient) -> dict[str, Any]:
    told = {"customer": "external_id:42", "subject": "Late", "text": "Two weeks.", "source_id": "c-1"}
    answer = await admin.post("/v1/complaints", json=told)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def give(till: Till, complaint: dict[str, Any], points: int, **headers: str) -> httpx.Response:
    return await till.client.post(
        f"/v1/complaints/{complaint['id']}/compensations",
        json={"form": "points", "points": points},
        headers=headers,
    )


@pytest.mark.usefixtures("club")
async def test_points_for_a_complaint_are_booked_once(till: Till, complaint: dict[str, Any]) -> None:
    given = await give(till, complaint, 100)
    assert given.status_code == 201, given.text
    assert (given.json()["adjustment"]["state"], given.json()["adjustment"]["points"]) == ("booked", 100)
    assert await till.available() == 100
    for points in (100, 50):
        again = await give(till, complaint, points)
        assert problem(again) == (409, "already_compensated")
        assert again.json()["points"] == 100
    # The same goodwill asked for by hand is the same goodwill.
    by_hand = {
        "id": "by-hand",
        "customer": "external_id:42",
        "points": 100,
        "reason_code": "goodwill",
        "about": complaint["id"],
    }
    answer = await till.client.post("/v1/loyalty/adjustments", json=by_hand)
    assert (answer.status_code, answer.json()["id"]) == (200, given.json()["adjustment"]["id"])
    assert await till.available() == 100
    shown = (await till.client.get(f"/v1/complaints/{complaint['id']}")).json()
    assert shown["compensations"] == 1
    assert await till.is_sound()


@pytest.mark.usefixtures("club")
async def test_many_who_compensate_at_once_book_once(till: Till, complaint: dict[str, Any]) -> None:
    answers = await asyncio.gather(*[give(till, complaint, 100) for _ in range(6)])
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
    assert await till.available() == 100
    shown = (await till.client.get(f"/v1/complaints/{complaint['id']}")).json()
    assert shown["compensations"] == 1


@pytest.mark.usefixtures("club")
async def test_an_idempotency_key_replays_the_gift(till: Till, complaint: dict[str, Any]) -> None:
    first = await give(till, complaint, 100, **{"Idempotency-Key": "k"})
    again = await give(till, complaint, 100, **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (201, first.json())


@pytest.mark.usefixtures("club")
async def test_more_than_a_year_allows_is_not_given_at_all(till: Till, complaint: dict[str, Any]) -> None:
    assert problem(await give(till, complaint, 301)) == (409, "yearly_cap")
    shown = (await till.client.get(f"/v1/complaints/{complaint['id']}")).json()
    assert (shown["compensations"], await till.available()) == (0, 0)


async def test_without_a_programme_points_are_only_written_down(
    till: Till, complaint: dict[str, Any]
) -> None:
    given = await give(till, complaint, 100)
    assert (given.status_code, given.json()["adjustment"]) == (201, None)
