import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.domain.ids import uuid7
from app.storage import invitations
from app.storage.customers import LAST_ID
from app.storage.database import driver
from app.storage.invitations import Filters
from app.usecases.surveys.sweep_surveys import SurveysSwept, sweep_surveys
from tests.api.conftest import Service

SURVEYS = "/v1/surveys"
INVITATIONS = "/v1/survey-invitations"
AFTER_DELIVERY = {
    "code": "after_delivery",
    "kind": "csat",
    "question": "How satisfied are you with your order?",
    "channel": "email",
    "trigger": {"on": "delivered", "after_days": 7},
}
ASKED = {"code": "how_was_it", "kind": "nps", "question": "Would you recommend us?", "channel": "email"}


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def customer(admin: httpx.AsyncClient, number: int = 42, **members: Any) -> str:
    body = {"identifiers": {"external_id": str(number), "email": f"ada{number}@example.com"}} | members
    answer = await admin.post("/v1/customers", json=body)
    assert answer.status_code == 201, answer.text
    return f"external_id:{number}"


async def post(admin: httpx.AsyncClient, who: str, kind: str, id: str, **members: Any) -> None:  # noqa: A002 - the wire's own name
    answer = await admin.post("/v1/touchpoints", json={"id": id, "kind": kind, "customer": who} | members)
    assert answer.status_code == 201, answer.text


async def complain(admin: httpx.AsyncClient, who: str, id: str = "c1") -> None:  # noqa: A002 - as above
    said = {"complaint_id": id, "severity": "high"}
    await post(admin, who, "complaint_opened", f"open-{id}", properties=said)


async def settle(admin: httpx.AsyncClient, who: str, id: str = "c1") -> None:  # noqa: A002 - as above
    await post(admin, who, "complaint_resolved", f"done-{id}", properties={"complaint_id": id})


async def invite(admin: httpx.AsyncClient, who: str, survey: str = "how_was_it", **members: Any) -> Any:
    answer = await admin.post(INVITATIONS, json={"customer": who, "survey": survey} | members)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def sweep(service: Service, *, days: float = 0, **how: int) -> SurveysSwept:
    pepper = (await service.app.state.signing.secrets()).pepper
    now = datetime.now(UTC) + timedelta(days=days)
    return await sweep_surveys(service.app.state.database, pepper, now, **how)


async def listed(client: httpx.AsyncClient, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"{INVITATIONS}{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


# --- surveys ----------------------------------------------------------------------------------------------------------


async def test_a_survey_is_described_read_changed_and_listed(admin: httpx.AsyncClient) -> None:
    made = await admin.post(SURVEYS, json=AFTER_DELIVERY)
    assert made.status_code == 201, made.text
    told = made.json()
    assert told["scale"] == {"min": 1, "max": 5, "direction": "higher_is_better"}
    assert told["limits"]["quiet_days"] == 30
    assert (told["active"], told["revision"], made.headers["etag"]) == (True, 1, '"1"')
    assert (await admin.post(SURVEYS, json=AFTER_DELIVERY)).status_code == 200
    changed = await admin.patch(
        f"{SURVEYS}/after_delivery", json={"question": "How was it?"}, headers={"If-Match": '"1"'}
    )
    assert (changed.json()["question"], changed.json()["revision"]) == ("How was it?", 2)
    named = await admin.patch(SURVEYS, json={"code": "after_delivery", "active": False})
    assert named.json()["active"] is False
    assert (await admin.get(f"{SURVEYS}/after_delivery")).json() == named.json()
    await admin.post(SURVEYS, json=ASKED)
    first = (await admin.get(f"{SURVEYS}?limit=1")).json()
    second = (await admin.get(f"{SURVEYS}?limit=1&cursor={first['next_cursor']}")).json()
    assert [one["data"][0]["code"] for one in (first, second)] == ["after_delivery", "how_was_it"]


@pytest.mark.parametrize(
    "change, code",
    [
        ({"code": "No!"}, "invalid_code"),
        ({"kind": "comment"}, "unknown_kind"),
        ({"question": "  "}, "invalid_question"),
        ({"channel": "pigeon"}, "unknown_channel"),
        ({"scale": {"min": 1, "max": 2}}, "invalid_scale"),
        ({"trigger": {"on": "full_moon"}}, "invalid_trigger"),
        ({"limits": {"threshold": 9}}, "invalid_rating"),
    ],
)
async def test_a_survey_that_breaks_a_rule_is_refused(
    admin: httpx.AsyncClient, change: dict[str, Any], code: str
) -> None:
    assert problem(await admin.post(SURVEYS, json=AFTER_DELIVERY | change)) == (422, code)


async def test_another_survey_of_the_same_code_and_a_stale_change_are_refused(
    admin: httpx.AsyncClient,
) -> None:
    await admin.post(SURVEYS, json=ASKED)
    assert problem(await admin.post(SURVEYS, json=ASKED | {"kind": "csat"})) == (409, "survey_exists")
    stale = await admin.patch(f"{SURVEYS}/how_was_it", json={"active": False}, headers={"If-Match": '"7"'})
    assert problem(stale) == (412, "stale")
    assert problem(await admin.get(f"{SURVEYS}/nothing")) == (404, "survey_not_found")
    assert problem(await admin.patch(f"{SURVEYS}/nothing", json={})) == (404, "survey_not_found")


# --- invitations ------------------------------------------------------------------------------------------------------


async def test_an_invitation_is_queued_with_its_links_and_headers(admin: httpx.AsyncClient) -> None:
    await admin.post(SURVEYS, json=ASKED)
    told = await invite(admin, await customer(admin), about={"order_id": "A-1"})
    assert (told["state"], told["suppressed_by"], told["next_eligible_at"]) == ("queued", None, None)
    assert told["link"].startswith("http://rapport.test/s/")
    assert told["about"] == {"order_id": "A-1"}
    assert told["headers"] == {
        "List-Unsubscribe": f"<{told['unsubscribe_link']}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert (await admin.get(f"{INVITATIONS}/{told['id']}")).json() == told
    assert [one["id"] for one in await listed(admin, "?state=queued&due=true")] == [told["id"]]


async def test_whoever_may_only_read_is_shown_no_link(service: Service, admin: httpx.AsyncClient) -> None:
    await admin.post(SURVEYS, json=ASKED)
    told = await invite(admin, await customer(admin))
    reader = await service.client(await service.key("support", scopes=["feedback:read"]))
    shown = (await reader.get(f"{INVITATIONS}/{told['id']}")).json()
    assert (shown["link"], shown["unsubscribe_link"], shown["headers"]) == (None, None, {})


async def test_every_reason_to_leave_somebody_in_peace_is_stored(admin: httpx.AsyncClient) -> None:
    limits = {"quiet_days": 0, "quiet_nps_days": 0}
    await admin.post(SURVEYS, json=ASKED | {"limits": limits})
    await admin.post(SURVEYS, json=ASKED | {"code": "usual"})
    found: dict[str, Any] = {}
    await admin.post("/v1/customers", json={"identifiers": {"external_id": "1"}})
    found["no_channel"] = await invite(admin, "external_id:1")
    two = await customer(admin, 2)
    await post(admin, two, "unsubscribed", "u1")
    found["opt_out"] = await invite(admin, two)
    three = await customer(admin, 3)
    await complain(admin, three)
    found["open_complaint"] = await invite(admin, three)
    four = await customer(admin, 4)
    await invite(admin, four, about="order 1")
    found["duplicate"] = await invite(admin, four, about="order 1")
    found["quiet_period"] = await invite(admin, four, "usual", about="order 2")
    for reason, told in found.items():
        assert (told["state"], told["suppressed_by"], told["link"]) == ("suppressed", reason, None)
        assert (told["next_eligible_at"] is not None) == (reason == "quiet_period")
    assert len(await listed(admin, "?state=suppressed")) == 5
    assert len(await listed(admin, f"?customer={four}")) == 3


async def test_a_household_is_asked_as_one(admin: httpx.AsyncClient) -> None:
    await admin.post(SURVEYS, json=ASKED | {"limits": {"scope": "household"}})
    one = await customer(admin, 1, traits={"household": "12 Mill Lane"})
    two = await customer(admin, 2, traits={"household": " 12 mill  LANE"})
    other = await customer(admin, 3, traits={"household": "13 Mill Lane"})
    assert (await invite(admin, one))["state"] == "queued"
    assert (await invite(admin, two))["suppressed_by"] == "quiet_period"
    assert (await invite(admin, other))["state"] == "queued"


async def test_a_household_that_is_asked_at_once_from_all_sides_is_asked_once(
    admin: httpx.AsyncClient,
) -> None:
    await admin.post(SURVEYS, json=ASKED | {"limits": {"scope": "household"}})
    members = [await customer(admin, number, traits={"household": "x"}) for number in range(8)]
    told = await asyncio.gather(*[invite(admin, who) for who in members])
    assert sorted(one["state"] for one in told) == ["queued"] + ["suppressed"] * 7


async def test_what_was_wrong_with_an_invitation_is_told(admin: httpx.AsyncClient) -> None:
    await admin.post(SURVEYS, json=ASKED)
    who = await customer(admin)
    unknown = await admin.post(INVITATIONS, json={"customer": who, "survey": "nothing"})
    assert problem(unknown) == (404, "survey_not_found")
    long = {"customer": who, "survey": "how_was_it", "about": "x" * 1001}
    assert problem(await admin.post(INVITATIONS, json=long)) == (422, "invalid_about")
    nobody = {"customer": str(uuid7(0)), "survey": "how_was_it"}
    assert problem(await admin.post(INVITATIONS, json=nobody)) == (404, "customer_not_found")
    for query, code in (
        ("?state=lost", "unknown_state"),
        ("?due=true&state=sent", "invalid_filter"),
        ("?cursor=x", "invalid_cursor"),
    ):
        assert problem(await admin.get(INVITATIONS + query)) == (422, code)
    for missing in ("inv_0", f"inv_{'0' * 43}"):
        assert problem(await admin.get(f"{INVITATIONS}/{missing}")) == (404, "invitation_not_found")
    await admin.patch(f"{SURVEYS}/how_was_it", json={"active": False})
    ended = await admin.post(INVITATIONS, json={"customer": who, "survey": "how_was_it"})
    assert problem(ended) == (409, "survey_inactive")


async def test_a_retry_with_a_key_invites_once(admin: httpx.AsyncClient) -> None:
    await admin.post(SURVEYS, json=ASKED)
    body = {"customer": await customer(admin), "survey": "how_was_it"}
    answers = [await admin.post(INVITATIONS, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert len(await listed(admin)) == 1


async def test_reports_move_an_invitation_on_and_a_reminder_goes_out_once(
    admin: httpx.AsyncClient,
) -> None:
    await admin.post(SURVEYS, json=ASKED)
    told = await invite(admin, await customer(admin))
    reports = f"{INVITATIONS}/{told['id']}/reports"
    assert problem(await admin.post(reports, json={"report": "lost"})) == (422, "unknown_report")
    sent = (await admin.post(reports, json={"report": "sent"})).json()
    assert (sent["state"], sent["remind_at"] is not None) == ("sent", True)
    assert (await admin.post(reports, json={"report": "sent"})).json() == sent
    assert await listed(admin, "?due=true") == []
    assert await listed(admin, "?reminder_due=true") == []
    assert (await admin.post(reports, json={"report": "reminded"})).json()["remind_at"] is None
    assert problem(await admin.post(reports, json={"report": "reminded"})) == (409, "reminded_already")
    bounced = (await admin.post(reports, json={"report": "bounced"})).json()
    assert bounced["state"] == "bounced"
    missing = await admin.post(f"{INVITATIONS}/inv_{'0' * 43}/reports", json={"report": "sent"})
    assert problem(missing) == (404, "invitation_not_found")


async def test_a_list_takes_as_many_statements_for_few_rows_as_for_many(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post(SURVEYS, json=ASKED)
    made = [(await invite(admin, await customer(admin, number)))["id"] for number in range(4)]
    for query, expected in (("", made[::-1]), ("&due=true", made)):
        first = (await admin.get(f"{INVITATIONS}?limit=2{query}")).json()
        rest = (await admin.get(f"{INVITATIONS}?limit=2{query}&cursor={first['next_cursor']}")).json()
        assert [one["id"] for one in first["data"] + rest["data"]] == expected
    statements = []
    for limit in (1, 4):
        told: list[str] = []

        def note(record: Any, told: list[str] = told) -> None:
            told.append(record.query)

        async with service.app.state.database.reading() as session:
            connection = await driver(session)
            with connection.query_logger(note):
                rows = await invitations.newest(connection, Filters(), LAST_ID, limit)
                due = await invitations.to_send(connection, datetime.now(UTC), invitations.FIRST, limit)
        assert (len(rows), len(due)) == (limit, limit)
        statements.append(len(told))
    assert statements == [2, 2]


async def test_figures_tell_who_was_asked_and_who_was_left_in_peace(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    await admin.post(SURVEYS, json=ASKED)
    for number in range(3):
        told = await invite(admin, await customer(admin, number))
        await admin.post(f"{INVITATIONS}/{told['id']}/reports", json={"report": "sent"})
        if number == 0:
            assert (await stranger.post(told["link"], data={"rating": "10"})).status_code == 201
    await invite(admin, "external_id:0")
    summary = (await admin.get("/v1/feedback/summary?kind=nps")).json()
    assert (summary["score"], summary["n"]) == (100, 1)
    assert summary["suppressed_by"] == {"quiet_period": 1}
    assert summary["response_rate"] is not None


@pytest.mark.parametrize(
    "method, path, scope",
    [
        ("GET", SURVEYS, "feedback:read"),
        ("POST", SURVEYS, "admin"),
        ("PATCH", SURVEYS, "admin"),
        ("GET", INVITATIONS, "feedback:read"),
        ("POST", INVITATIONS, "feedback:write"),
        ("POST", f"{INVITATIONS}/inv_0/reports", "feedback:write"),
    ],
)
async def test_every_route_names_the_scope_it_needs(
    service: Service, method: str, path: str, scope: str
) -> None:
    client = await service.client(await service.key("storefront", scopes=["events:write"]))
    answer = await client.request(method, path, json={})
    assert problem(answer) == (403, "scope_missing")
    assert answer.json()["scope"] == scope
