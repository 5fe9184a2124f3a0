"""Complaints over HTTP: the whole life with its health figures, and everything that may stand against a step."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import event

from app.api.context_shapes import ContextOut
from app.domain.health.model import shipped
from app.settings import Settings
from app.storage.database import connect_arguments
from app.usecases.complaints.watch_complaints import watch_complaints
from tests.api.conftest import ADMIN_KEY, Service

URL = "/v1/complaints"
ADA = {"external_id": "42", "email": "ada@example.com"}
SECRET = "k1:" + "s" * 32


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        admin_key=SecretStr(ADMIN_KEY),
        pool_size=4,
        sweep_seconds=0,
        link_secrets=SecretStr(SECRET),
    )


@pytest.fixture
async def agent(service: Service) -> httpx.AsyncClient:
    """A support tool."""
    return await service.client(await service.key("support", source="helpdesk"))


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


# --- the whole life -------------------------------------------------------------------------------------------------


async def test_the_whole_life_of_a_complaint_and_what_it_does_to_health(
    admin: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    await bought(admin)
    level = (await agent.get("/v1/customers/external_id:42/health")).json()["score_exact"]
    first = await told(agent, source_id="t-1", about={"order_id": "A-1"}, remedy_sought="delivery")
    assert (first["state"], first["version"], first["repeat"]) == ("received", 1, False)
    assert [clock["name"] for clock in first["clocks"]] == ["acknowledge", "first_response", "resolution"]
    assert all(clock["due_at"] and not clock["breached"] for clock in first["clocks"])
    fall = first["health"]["delta"]
    assert fall < 0

    offered = await go(agent, first, *TO_OFFER)
    assert offered["health"] is None
    assert offered["clocks"][2]["paused_since"] is not None
    assert offered["clocks"][2]["due_at"] is None
    accepted = await go(agent, offered, "accepted", csat=5)
    assert accepted["health"]["delta"] > 0
    now = (await agent.get("/v1/customers/external_id:42/health")).json()["score_exact"]
    assert level + fall - 1 < now <= level
    closed = await go(agent, accepted, "closed")
    assert closed["health"] is None

    second = await told(agent, source_id="t-2")
    assert second["repeat"] is True
    assert second["health"]["delta"] <= fall

    opened = await touchpoints(agent, "complaint_opened")
    assert [row["id"] for row in opened] == [
        f"complaint:{second['id']}:opened:1",
        f"complaint:{first['id']}:opened:1",
    ]
    (resolved,) = await touchpoints(agent, "complaint_resolved")
    assert resolved["id"] == f"complaint:{first['id']}:resolved:1"
    lines = await log(agent, first)
    assert [line["what"] for line in lines] == ["opened", *["transition"] * 6]
    assert [line["state"] for line in lines] == ["received", *TO_OFFER, "accepted", "closed"]
    assert [line["touchpoint_id"] for line in lines if line["touchpoint_id"]] == [
        f"complaint:{first['id']}:opened:1",
        f"complaint:{first['id']}:resolved:1",
    ]


async def test_a_reopened_complaint_counts_again_under_the_same_id(
    admin: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    await bought(admin)
    closed = await go(agent, await told(agent), *TO_OFFER, "accepted", "closed")
    reopened = await go(agent, closed, "reopened")
    assert reopened["openings"] == 2
    assert reopened["health"]["delta"] < 0
    assert reopened["clocks"][2]["stopped_at"] is None
    assert reopened["clocks"][2]["started_at"] == reopened["state_since"]
    assert reopened["clocks"][0] == closed["clocks"][0]
    again = await go(agent, reopened, "investigating", "resolution_offered", "accepted")
    assert again["health"]["delta"] > 0
    ids = [row["id"] for row in await touchpoints(agent, "complaint_opened")]
    assert ids == [f"complaint:{closed['id']}:opened:{number}" for number in (2, 1)]
    assert len(await touchpoints(agent, "complaint_resolved")) == 2


async def test_a_duplicate_never_was_a_failure_of_its_own(
    admin: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    await bought(admin)
    first = await told(agent)
    level = (await agent.get("/v1/customers/external_id:42/health")).json()["score_exact"]
    second = await told(agent)
    merged = await go(agent, second, "merged", reason="duplicate", merged_into=first["id"])
    assert (merged["merged_into"], merged["allowed"]) == (first["id"], [])
    assert merged["health"]["delta"] >= 0
    now = (await agent.get("/v1/customers/external_id:42/health")).json()["score_exact"]
    assert now == pytest.approx(level, abs=0.01)
    assert len(await touchpoints(agent, "complaint_opened")) == 1

    withdrawn = await go(agent, first, "withdrawn", reason="sent_in_error")
    assert withdrawn["health"]["delta"] > 0
    assert len(await touchpoints(agent, "complaint_resolved")) == 1


# --- receipt --------------------------------------------------------------------------------------------------------


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


# --- steps ----------------------------------------------------------------------------------------------------------


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


# --- change, messages, compensation ---------------------------------------------------------------------------------


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


# --- lists and reads ------------------------------------------------------------------------------------------------


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


# --- merged and erased customers ------------------------------------------------------------------------------------


@pytest.fixture
async def owner(owner_url: str) -> Any:
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    yield connection
    await connection.close()


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


# --- over a link ----------------------------------------------------------------------------------------------------


async def test_the_customer_sees_over_a_signed_link_how_it_stands(
    agent: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    complaint = await told(agent, text="secret of mine")
    one = f"{URL}/{complaint['id']}"
    await agent.post(f"{one}/messages", json={"text": "a <note>", "visible_to_customer": False})
    await agent.post(f"{one}/messages", json={"text": "We <b>look</b> for it"})
    answer = await stranger.get(complaint["status_link"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    read = answer.json()
    assert (read["reference"], read["status"]) == (complaint["reference"], "received")
    assert [line["text"] for line in read["history"]] == [None, "We <b>look</b> for it"]
    page = await stranger.get(complaint["status_link"], headers={"Accept": "text/html"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "We &lt;b&gt;look&lt;/b&gt; for it" in page.text
    assert "<html lang=" in page.text
    for text in ("secret of mine", "a &lt;note&gt;", "helpdesk"):
        assert text not in page.text + answer.text


async def test_a_link_that_is_not_ours_leads_nowhere(
    agent: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    link = (await told(agent))["status_link"]
    for bad in (
        link.replace("/s/k1.", "/s/k2."),
        link.replace("/complaint", "x/complaint"),
        "/s/x/complaint",
    ):
        assert problem(await stranger.get(bad))[0] in (404, 422)


# --- calendars ------------------------------------------------------------------------------------------------------


async def test_a_shop_says_when_it_works(admin: httpx.AsyncClient, agent: httpx.AsyncClient) -> None:
    assert [one["code"] for one in (await agent.get("/v1/calendars")).json()["data"]] == ["default"]
    hours = {"monday": [["09:00", "12:00"], ["13:00", "24:00"]]}
    body = {"time_zone": "Europe/Berlin", "hours": hours, "holidays": ["2026-12-25"]}
    put = await admin.put("/v1/calendars/berlin", json=body)
    assert put.status_code == 200, put.text
    got = await agent.get("/v1/calendars/berlin")
    assert got.json() == put.json()
    assert got.json() | body == got.json()
    again = await admin.put("/v1/calendars/berlin", json=body | {"holidays": []})
    assert again.headers["etag"] != got.headers["etag"]
    complaint = await told(agent, calendar="berlin")
    due = datetime.fromisoformat(complaint["clocks"][0]["due_at"])
    assert due.weekday() in (0, 1)
    first = datetime.now(UTC).date() - timedelta(days=datetime.now(UTC).weekday())
    mondays = [(first + timedelta(weeks=week)).isoformat() for week in range(520)]
    for change, code in (
        ({"time_zone": "Mars/Base"}, "unknown_timezone"),
        ({"hours": {"moonday": []}}, "unknown_day"),
        ({"hours": {"monday": [["9:00", "17:00"]]}}, "invalid_hours"),
        ({"hours": {}}, "never_open"),
        ({"holidays": ["someday"]}, "invalid_holiday"),
        ({"hours": {"monday": [["09:00", "17:00"]]}, "holidays": mondays}, "never_open"),
    ):
        assert problem(await admin.put("/v1/calendars/berlin", json=body | change)) == (422, code)
    assert problem(await agent.get("/v1/calendars/none")) == (404, "calendar_not_found")


# --- what the context says ------------------------------------------------------------------------------------------


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
