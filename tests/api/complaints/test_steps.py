"""What agents do about a complaint, and everything that may stand against it."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.api.complaints.telling import TO_OFFER, URL, go, log, problem, told, touchpoints


async def test_an_illegal_step_names_the_legal_ones(agent: httpx.AsyncClient) -> None:
    complaint = await told(agent)
    answer = await agent.post(
        f"{URL}/{complaint['id']}/transitions", json={"to": "accepted", "expected_version": 1}
    )
    assert problem(answer) == (409, "illegal_transition")
    assert answer.json()["allowed"] == complaint["allowed"] == ["acknowledged", "merged", "withdrawn"]


@pytest.mark.parametrize(
    "step, status, code",
    [
        ({"to": "withdrawn"}, 422, "reason_required"),
        ({"to": "withdrawn", "reason": "because"}, 422, "unknown_reason"),
        ({"to": "merged", "reason": "duplicate"}, 422, "merge_target_required"),
        ({"to": "merged", "reason": "duplicate", "merged_into": "x"}, 422, "merge_target_not_found"),
        ({"to": "acknowledged", "csat": 3}, 422, "csat_not_allowed"),
        ({"to": "gone"}, 422, "validation_failed"),
        ({"to": "acknowledged", "expected_version": 7}, 409, "version_conflict"),
    ],
)
async def test_what_may_stand_against_a_step(
    agent: httpx.AsyncClient, step: dict[str, Any], status: int, code: str
) -> None:
    complaint = await told(agent)
    answer = await agent.post(f"{URL}/{complaint['id']}/transitions", json={"expected_version": 1} | step)
    assert problem(answer) == (status, code)
    assert len(await log(agent, complaint)) == 1


async def test_an_offer_is_not_closed_before_the_customer_had_time(agent: httpx.AsyncClient) -> None:
    offered = await go(agent, await told(agent), *TO_OFFER)
    body = {"to": "closed", "reason": "no_answer", "expected_version": offered["version"]}
    answer = await agent.post(f"{URL}/{offered['id']}/transitions", json=body)
    assert problem(answer) == (409, "too_early")


async def test_of_two_who_move_it_at_once_one_wins(agent: httpx.AsyncClient) -> None:
    complaint = await told(agent)
    steps = [{"to": "acknowledged"}, {"to": "withdrawn", "reason": "other"}] * 3
    answers = await asyncio.gather(
        *(
            agent.post(f"{URL}/{complaint['id']}/transitions", json=step | {"expected_version": 1})
            for step in steps
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    assert {problem(one)[1] for one in answers if one.status_code == 409} == {"version_conflict"}
    assert len(await log(agent, complaint)) == 2


async def test_a_step_under_an_idempotency_key_is_taken_once(agent: httpx.AsyncClient) -> None:
    complaint = await told(agent)
    body = {"to": "acknowledged", "expected_version": 1}
    url, headers = f"{URL}/{complaint['id']}/transitions", {"Idempotency-Key": "a"}
    first = await agent.post(url, json=body, headers=headers)
    again = await agent.post(url, json=body, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()


async def test_owner_and_severity_change_under_a_version(agent: httpx.AsyncClient) -> None:
    complaint = await told(agent)
    url = f"{URL}/{complaint['id']}"
    etag = (await agent.get(url)).headers["etag"]
    body = {"owner": "ben", "severity": "critical", "expected_version": 1}
    changed = await agent.patch(url, json=body)
    assert changed.status_code == 200, changed.text
    read = changed.json()
    assert (read["owner"], read["severity"], read["version"]) == ("ben", "critical", 2)
    assert problem(await agent.patch(url, json=body)) == (409, "version_conflict")
    stale = await agent.patch(url, json={"owner": None}, headers={"If-Match": etag})
    assert problem(stale) == (412, "stale")
    fresh = await agent.patch(url, json={"owner": None}, headers={"If-Match": changed.headers["etag"]})
    assert (fresh.json()["owner"], fresh.json()["version"]) == (None, 3)
    assert [line["details"] for line in await log(agent, complaint)][1:] == [
        {"owner": [None, "ben"], "severity": ["high", "critical"]},
        {"owner": ["ben", None]},
    ]
    await go(agent, fresh.json(), "withdrawn", reason="other")
    assert problem(await agent.patch(url, json={"severity": "low"})) == (409, "settled")


async def test_a_message_stops_the_clock_of_the_first_response_and_a_note_does_not(
    agent: httpx.AsyncClient,
) -> None:
    complaint = await told(agent)
    url = f"{URL}/{complaint['id']}/messages"
    note = await agent.post(url, json={"text": "Call the carrier", "visible_to_customer": False})
    assert note.status_code == 201
    assert note.json()["clocks"][1]["stopped_at"] is None
    message = await agent.post(url, json={"text": "We look for it"})
    assert message.json()["clocks"][1]["stopped_at"] is not None
    assert message.json()["clocks"][0]["stopped_at"] is None
    assert message.json()["version"] == 1
    assert [line["text"] for line in await log(agent, complaint)] == [
        None,
        "Call the carrier",
        "We look for it",
    ]
    assert problem(await agent.post(url, json={"text": ""})) == (422, "validation_failed")


async def test_what_is_given_is_written_down_once_with_a_name_for_the_grant(
    agent: httpx.AsyncClient,
) -> None:
    complaint = await told(agent)
    url = f"{URL}/{complaint['id']}/compensations"
    headers = {"Idempotency-Key": "g"}
    given = await agent.post(url, json={"form": "points", "points": 500}, headers=headers)
    assert given.status_code == 201, given.text
    again = await agent.post(url, json={"form": "points", "points": 500}, headers=headers)
    assert again.json() == given.json()
    assert given.json()["grant_id"] == f"complaint:{complaint['id']}:goodwill:1"
    voucher = {"form": "voucher", "amount_minor": 1000, "currency": "EUR", "note": "Sorry"}
    assert (await agent.post(url, json=voucher)).json()["number"] == 2
    rows = await touchpoints(agent, "goodwill")
    assert [row["id"] for row in rows] == [f"complaint:{complaint['id']}:goodwill:{n}" for n in (2, 1)]
    for body, code in (
        ({"form": "gold"}, "validation_failed"),
        ({"form": "voucher"}, "property_required"),
        ({"form": "apology", "points": 1}, "invalid_property"),
    ):
        assert problem(await agent.post(url, json=body)) == (422, code)
    await go(agent, complaint, "withdrawn", reason="other")
    assert problem(await agent.post(url, json={"form": "apology"})) == (409, "not_compensable")
