"""The closed loop: whom to call, who does, and what came of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.api.conftest import Service
from tests.api.feedback.test_answers import FURIOUS, post, problem

NOW = datetime.now(UTC)
URL = "/v1/follow-ups"


async def low(client: httpx.AsyncClient, **members: Any) -> dict[str, Any]:
    told: dict[str, Any] = (await post(client, rating=1, **members))["follow_up"]
    return told


async def listed(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answered = await client.get(URL, params=query)
    assert answered.status_code == 200, answered.text
    return [row["id"] for row in answered.json()["data"]]


async def test_it_is_due_48_hours_after_the_answer_and_overdue_from_then_on(admin: httpx.AsyncClient) -> None:
    fresh = await low(admin, occurred_at=(NOW - timedelta(hours=47)).isoformat())
    late = await low(admin, occurred_at=(NOW - timedelta(hours=49)).isoformat())
    assert (fresh["overdue"], late["overdue"]) == (False, True)
    assert fresh["due_at"].startswith((NOW + timedelta(hours=1)).isoformat()[:19])
    assert await listed(admin, overdue=True) == [late["id"]]
    assert await listed(admin) == [late["id"], fresh["id"]]


async def test_the_customers_owner_follows_up_but_never_the_agent_it_is_about(
    admin: httpx.AsyncClient,
) -> None:
    customer = {"identifiers": {"external_id": "42"}, "owner": "ben"}
    assert (await admin.post("/v1/customers", json=customer)).status_code == 201
    mine = await low(admin)
    about_me = await low(admin, attributed_to="ben")
    assert (mine["state"], mine["owner"]) == ("assigned", "ben")
    assert (about_me["state"], about_me["owner"]) == ("open", None)
    assert await listed(admin, owner="ben") == [mine["id"]]
    assert await listed(admin, state="open") == [about_me["id"]]


async def test_the_shops_default_owner_follows_up_for_who_has_none(
    service: Service, admin: httpx.AsyncClient, settings: Settings
) -> None:
    service.app.state.settings = settings.model_copy(update={"follow_up_owner": "desk"})
    customer = {"identifiers": {"external_id": "42"}, "owner": "ben"}
    assert (await admin.post("/v1/customers", json=customer)).status_code == 201
    owners = [
        (await low(admin, **members))["owner"]
        for members in (
            {},
            {"attributed_to": "ben"},
            {"customer": "external_id:43"},
            {"customer": "external_id:43", "attributed_to": "desk"},
        )
    ]
    assert owners == ["ben", "desk", "desk", None]
    edited = await post(admin, rating=10, customer="external_id:43")
    changed = (await admin.patch(f"/v1/feedback/{edited['id']}", json={"rating": 0})).json()
    assert changed["follow_up"]["owner"] == "desk"


async def test_it_is_assigned_and_closed_and_the_customer_asked_again(admin: httpx.AsyncClient) -> None:
    told = await low(admin)
    url = f"{URL}/{told['id']}"
    answered = await admin.patch(url, json={"owner": "ben", "expected_version": 1})
    assert (answered.json()["state"], answered.json()["version"], answered.headers["etag"]) == (
        "assigned",
        2,
        '"2"',
    )
    closed = (
        await admin.patch(url, json={"state": "closed", "outcome": "recovered", "note": "Sent a new one."})
    ).json()
    assert (closed["state"], closed["outcome"], closed["note"], closed["version"]) == (
        "closed",
        "recovered",
        "Sent a new one.",
        3,
    )
    again = datetime.fromisoformat(closed["ask_again_at"]) - datetime.fromisoformat(closed["closed_at"])
    assert again == timedelta(days=14)
    assert (await admin.get(url)).json() == closed
    assert await listed(admin) == []
    assert await listed(admin, state="closed") == [told["id"]]
    assert problem(await admin.patch(url, json={"owner": "eva"})) == (409, "follow_up_closed")


@pytest.mark.parametrize(
    "outcome, days, again", [("not_reached", 30, None), ("recovered", 0, None), ("recovered", 30, 30)]
)
async def test_who_was_not_spoken_with_is_not_asked_again(
    admin: httpx.AsyncClient, outcome: str, days: int, again: int | None
) -> None:
    told = await low(admin)
    change = {"id": told["id"], "outcome": outcome, "ask_again_after_days": days}
    closed = (await admin.patch(URL, json=change)).json()
    assert closed["version"] == 2
    found = closed["ask_again_at"]
    if again is None:
        assert found is None
    else:
        assert datetime.fromisoformat(found) - datetime.fromisoformat(closed["closed_at"]) == timedelta(again)


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"owner": "ben", "expected_version": 7}, (409, "version_conflict")),
        ({"state": "closed"}, (422, "outcome_required")),
        ({"outcome": "fine"}, (422, "validation_failed")),
        ({"state": "open"}, (422, "validation_failed")),
        ({"surprise": 1}, (422, "validation_failed")),
    ],
)
async def test_what_cannot_be_is_refused(
    admin: httpx.AsyncClient, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    told = await low(admin)
    assert problem(await admin.patch(f"{URL}/{told['id']}", json=change)) == expected
    assert (await admin.get(f"{URL}/{told['id']}")).json()["version"] == 1


async def test_an_old_etag_is_stale(admin: httpx.AsyncClient) -> None:
    url = f"{URL}/{(await low(admin))['id']}"
    assert (await admin.patch(url, json={"owner": "a"}, headers={"If-Match": '"1"'})).status_code == 200
    assert problem(await admin.patch(url, json={"owner": "b"}, headers={"If-Match": '"1"'})) == (412, "stale")


@pytest.mark.parametrize("id", ["nonsense", "fu_" + "0" * 43])
async def test_what_is_not_there_is_not_found(admin: httpx.AsyncClient, id: str) -> None:  # noqa: A002 - as on the wire
    assert (await admin.get(f"{URL}/{id}")).status_code == 404
    assert (await admin.patch(f"{URL}/{id}", json={"owner": "ben"})).status_code == 404


async def test_pages_follow_each_other(admin: httpx.AsyncClient) -> None:
    ids = [
        (await low(admin, occurred_at=(NOW - timedelta(hours=9 - number)).isoformat()))["id"]
        for number in range(5)
    ]
    first = (await admin.get(URL, params={"limit": 3})).json()
    rest = (await admin.get(URL, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [row["id"] for row in first["data"] + rest["data"]] == ids
    assert problem(await admin.get(URL, params={"cursor": "x"})) == (422, "invalid_cursor")


async def test_an_owned_follow_up_survives_the_edit_of_its_answer(admin: httpx.AsyncClient) -> None:
    answer = await post(admin, rating=1)
    await admin.patch(f"{URL}/{answer['follow_up']['id']}", json={"owner": "ben"})
    changed = (await admin.patch(f"/v1/feedback/{answer['id']}", json={"rating": 10})).json()
    assert changed["follow_up"]["state"] == "assigned"


async def test_who_may(service: Service, admin: httpx.AsyncClient) -> None:
    told = await low(admin)
    shop = await service.client(await service.key("storefront"))
    assert problem(await shop.get(URL)) == (403, "scope_missing")
    reader = await service.client(await service.key("support", scopes=["feedback:read"]))
    assert await listed(reader) == [told["id"]]
    refused = await reader.patch(f"{URL}/{told['id']}", json={"owner": "me"})
    assert problem(refused) == (403, "scope_missing")


async def test_the_context_tells_of_it_until_it_is_closed(admin: httpx.AsyncClient) -> None:
    told = await low(admin, text=FURIOUS, occurred_at=(NOW - timedelta(days=5)).isoformat())
    url = "/v1/customers/external_id:42/context"
    before = await admin.get(url)
    context = before.json()
    (one,) = context["follow_ups"]
    assert (one["id"], one["owner"], one["overdue"]) == (told["id"], None, True)
    assert context["next_best_actions"][0] == {
        "action": "follow_up",
        "why": "A low answer has not been followed up; overdue by 3 days",
    }
    assert "1 follow-up is open, overdue. Next: follow up; overdue by 3 days." in context["summary"]
    text = (await admin.get(url, params={"format": "markdown"})).text
    assert "## Follow-ups\n\n- A low answer, nobody's yet, due on" in text
    await admin.patch(f"{URL}/{told['id']}", json={"outcome": "not_reached"})
    after = await admin.get(url)
    assert after.json()["follow_ups"] == []
    assert after.headers["etag"] != before.headers["etag"]
    assert "follow_up" not in [action["action"] for action in after.json()["next_best_actions"]]
