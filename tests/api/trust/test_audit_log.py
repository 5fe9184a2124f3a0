"""Whatever an admin changes is in the audit log; the log itself nobody changes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import event

from app.domain.audit import HIDDEN
from app.settings import Settings
from app.storage.database import connect_arguments
from tests.api.conftest import Service
from tests.api.test_problems import problem

CUSTOMER = "external_id:42"
CALENDAR = {"time_zone": "UTC", "hours": {"monday": [["09:00", "17:00"]]}, "holidays": []}
SURVEY = {"code": "nps", "kind": "nps", "question": "How likely are you to recommend us?"}
KIND = {"kind": "showroom_visit", "component": "engagement", "weight": 2, "label": "Showroom visit"}
OVERRIDE = {"score": 35, "reason": "Ada told us that she leaves.", "until": "2027-06-01T00:00:00Z"}
CLUB = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}
REWARD = {"code": "mug", "name": "A mug", "points": 150, "coupons": "given"}
KEY = {"preset": "storefront", "source": "shop-eu"}
TOUCHPOINT = {"id": "evt-1", "customer": CUSTOMER, "kind": "visit"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Who is erased leaves tombstones."""
    return settings.model_copy(update={"erasure_secrets": SecretStr("t1:" + "e" * 32)})


class Deed(NamedTuple):
    """How to do what a route is for: the path as called, the body, and what the log then says."""

    path: str
    body: Any
    action: str


# Every route with the scope admin that writes, in an order in which each finds what it needs. A new one belongs here.
DEEDS: dict[str, Deed] = {
    "POST /v1/keys": Deed("/v1/keys", KEY, "key_created"),
    "PATCH /v1/keys/{key_id}": Deed("/v1/keys/{key}", {"rate_per_minute": 60}, "key_changed"),
    "POST /v1/keys/{key_id}/rotate": Deed("/v1/keys/{key}/rotate", {}, "key_rotated"),
    "DELETE /v1/keys/{key_id}": Deed("/v1/keys/{key}", None, "key_revoked"),
    "POST /v1/touchpoint-kinds": Deed("/v1/touchpoint-kinds", KIND, "kind_defined"),
    "PATCH /v1/touchpoint-kinds": Deed(
        "/v1/touchpoint-kinds", {"kind": "showroom_visit", "weight": 3}, "kind_changed"
    ),
    "PATCH /v1/touchpoint-kinds/{kind}": Deed(
        "/v1/touchpoint-kinds/showroom_visit", {"weight": 4}, "kind_changed"
    ),
    "PUT /v1/customers/{customer}/health/override": Deed(
        f"/v1/customers/{CUSTOMER}/health/override", OVERRIDE, "health_override_set"
    ),
    "DELETE /v1/customers/{customer}/health/override": Deed(
        f"/v1/customers/{CUSTOMER}/health/override", None, "health_override_lifted"
    ),
    "DELETE /v1/touchpoints/{id}": Deed(
        f"/v1/touchpoints/evt-1?customer={CUSTOMER}", None, "touchpoint_voided"
    ),
    "PUT /v1/calendars/{code}": Deed("/v1/calendars/default", CALENDAR, "calendar_kept"),
    "POST /v1/surveys": Deed("/v1/surveys", SURVEY, "survey_defined"),
    "PATCH /v1/surveys": Deed("/v1/surveys", {"code": "nps", "active": False}, "survey_changed"),
    "PATCH /v1/surveys/{code}": Deed("/v1/surveys/nps", {"active": True}, "survey_changed"),
    "POST /v1/scoring-models": Deed(
        "/v1/scoring-models", {"version": "2", "parameters": {"w_contact": 0.6}}, "model_proposed"
    ),
    "POST /v1/scoring-models/{version}/backtest": Deed(
        "/v1/scoring-models/2/backtest", {"horizon_days": 30}, "model_tried"
    ),
    "POST /v1/scoring-models/{version}/publish": Deed(
        "/v1/scoring-models/2/publish", {"force": True, "reason": "Try it."}, "model_published"
    ),
    "POST /v1/loyalty/programs": Deed("/v1/loyalty/programs", CLUB, "program_created"),
    "POST /v1/loyalty/programs/{code}/versions": Deed(
        "/v1/loyalty/programs/main/versions", {}, "program_version_drafted"
    ),
    "POST /v1/loyalty/programs/{code}/versions/{version}/publish": Deed(
        "/v1/loyalty/programs/main/versions/1/publish", {}, "program_version_published"
    ),
    "POST /v1/loyalty/rewards": Deed("/v1/loyalty/rewards", REWARD, "reward_created"),
    "PATCH /v1/loyalty/rewards/{code}": Deed("/v1/loyalty/rewards/mug", {"points": 200}, "reward_changed"),
    "POST /v1/loyalty/rewards/{code}/coupons": Deed(
        "/v1/loyalty/rewards/mug/coupons", {"codes": ["SPRING-1"]}, "coupons_added"
    ),
    "POST /v1/loyalty/programs/{code}/close": Deed(
        "/v1/loyalty/programs/main/close", {"ends_at": "2031-01-01T00:00:00Z"}, "program_closed"
    ),
    "DELETE /v1/customers/{customer}": Deed(f"/v1/customers/{CUSTOMER}", None, "customer_erased"),
    "POST /v1/tombstones/lift": Deed(
        "/v1/tombstones/lift", {"customer": CUSTOMER, "reason": "came_back"}, "tombstones_lifted"
    ),
}

READS = {
    "POST /v1/scoring-models/{version}/preview",
    "POST /v1/health/simulate",
    "POST /v1/loyalty/programs/{code}/versions/{version}/simulate",
}
"""Routes with the scope admin that are posted to and write nothing."""


def admin_writes(service: Service) -> Iterator[str]:
    for path, methods in service.app.openapi()["paths"].items():
        for method, operation in methods.items():
            scopes = operation.get("security", [{}])[0].get("bearer", [])
            if "admin" in scopes and method != "get":
                yield f"{method.upper()} {path}"


async def deeds(admin: httpx.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    answer = await admin.get("/v1/audit", params={"limit": 200} | asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_no_route_of_admins_writes_without_the_audit_log(
    service: Service, admin: httpx.AsyncClient
) -> None:
    assert set(admin_writes(service)) - READS == set(DEEDS), "add the route to DEEDS or to READS"
    key = (await admin.post("/v1/keys", json=KEY)).json()["id"]
    posted = (await admin.post("/v1/touchpoints", json=TOUCHPOINT)).json()
    for route, deed in DEEDS.items():
        before = await deeds(admin)
        method = route.partition(" ")[0]
        answer = await admin.request(method, deed.path.format(key=key), json=deed.body)
        assert answer.is_success, (route, answer.text)
        after = await deeds(admin)
        new = after[: len(after) - len(before)]
        assert deed.action in {each["action"] for each in new}, route
        for each in new:
            assert each["actor"] == "admin", route
            assert each["after"] is not None or "lifted" in each["action"], route
            # An identifier names somebody, and what people write may.
            for telling in (CUSTOMER, "Ada", "external_id", "evt-1"):
                assert telling not in str(each), route
    mine = await deeds(admin, target=f"customer:{posted['customer_id']}")
    told = [
        "tombstones_lifted",
        "customer_erased",
        "touchpoint_voided",
        "health_override_lifted",
        "health_override_set",
    ]
    assert [each["action"] for each in mine] == told
    assert mine[3]["before"]["score"] == 35


async def test_what_others_do_to_people_and_points_is_told_too(
    service: Service, admin: httpx.AsyncClient
) -> None:
    """Routes that admins share with other keys: who merged, parted, gave points, spoke for somebody, took a copy."""
    two = await service.client(await service.key("admin", source="back-office"))
    made = [
        await admin.post("/v1/customers", json={"identifiers": {"external_id": name}, "name": "Ada"})
        for name in ("42", "43")
    ]
    customer = made[0].json()["id"]
    for path, body in (
        ("", CLUB),
        ("/main/versions", {"limits": {"approval_over": 10}}),
        ("/main/versions/1/publish", {}),
    ):
        assert (await admin.post(f"/v1/loyalty/programs{path}", json=body)).is_success
    before = len(await deeds(admin))
    points = {"customer": CUSTOMER, "reason_code": "other", "note": "Ada, of the fair", "id": "evt-1"}
    said = {"consents": [{"purpose": "surveys", "state": "withdrawn", "source": "Ada called"}]}
    merged = await admin.post(
        f"/v1/customers/{CUSTOMER}/merge", json={"from": "external_id:43", "reason": "Ada"}
    )
    undo = f"/v1/merges/{merged.json()['merge_id']}/undo"
    proposed = await admin.post("/v1/loyalty/adjustments", json=points | {"points": 11})
    other = await admin.post("/v1/loyalty/adjustments", json=points | {"points": 12, "id": "evt-2"})
    adjustments = "/v1/loyalty/adjustments"
    for answer in (
        merged,
        await admin.post(undo),
        proposed,
        await two.post(f"{adjustments}/{proposed.json()['id']}/approve"),
        other,
        await two.post(f"{adjustments}/{other.json()['id']}/decline"),
        await admin.post(adjustments, json=points | {"points": 5, "id": "evt-3"}),
        await admin.put(f"/v1/customers/{CUSTOMER}/consent", json=said),
        await admin.get(f"/v1/customers/{CUSTOMER}/export"),
    ):
        assert answer.is_success, answer.text
    # Again: nothing happens, so nothing is told.
    await admin.post(undo)
    await two.post(f"{adjustments}/{proposed.json()['id']}/approve")
    await admin.post(adjustments, json=points | {"points": 5, "id": "evt-3"})
    await admin.put(f"/v1/customers/{CUSTOMER}/consent", json=said)
    new = await deeds(admin)
    new = new[: len(new) - before]
    assert sorted(each["action"] for each in new) == [
        "adjustment_approved",
        "adjustment_declined",
        "adjustment_proposed",
        "adjustment_proposed",
        "consent_changed",
        "customer_exported",
        "customers_merged",
        "merge_undone",
        "points_adjusted",
    ]
    for each in new:
        assert each["target"] == f"customer:{customer}"
        for telling in (CUSTOMER, "Ada", "external_id", "evt-"):
            assert telling not in str(each), each


async def test_what_a_form_said_of_consent_fills_no_audit_log(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post("/v1/customers", json={"identifiers": {"external_id": "42"}})
    shop = await service.client(await service.key("storefront"))
    before = len(await deeds(admin))
    said = {"consents": [{"purpose": "surveys", "state": "granted", "source": "form"}]}
    assert (await shop.put(f"/v1/customers/{CUSTOMER}/consent", json=said)).is_success
    assert len(await deeds(admin)) == before


async def test_what_changes_nothing_is_not_told(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/touchpoint-kinds", json=KIND)
    await admin.post("/v1/surveys", json=SURVEY)
    await admin.post("/v1/touchpoints", json=TOUCHPOINT)
    key = (await admin.post("/v1/keys", json=KEY)).json()["id"]
    void = f"/v1/touchpoints/evt-1?customer={CUSTOMER}"
    for method, path, body in (
        ("POST", "/v1/touchpoint-kinds", KIND),
        ("POST", "/v1/surveys", SURVEY),
        ("PATCH", "/v1/surveys/nps", {}),
    ):
        before = len(await deeds(admin))
        assert (await admin.request(method, path, json=body)).is_success
        assert len(await deeds(admin)) == before, path
    for path in (void, f"/v1/keys/{key}"):
        assert (await admin.delete(path)).is_success
        before = len(await deeds(admin))
        assert (await admin.delete(path)).is_success
        assert len(await deeds(admin)) == before, path


async def test_what_is_refused_is_not_told(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/keys", json=KEY | {"scopes": ["admin"]})
    await admin.put("/v1/customers/external_id:nobody/health/override", json=OVERRIDE)
    await admin.post("/v1/scoring-models/none/publish", json={})
    assert await deeds(admin) == []


async def test_no_key_is_ever_in_the_log(service: Service, admin: httpx.AsyncClient) -> None:
    key = (await admin.post("/v1/keys", json=KEY)).json()["key"]
    (deed,) = await deeds(admin)
    assert key not in str(deed)
    assert deed["after"]["source"] == "shop-eu"
    assert HIDDEN not in str(deed)
    async with service.app.state.database.hot_reading() as connection:
        assert key not in str(await connection.fetch("SELECT * FROM audit_log"))


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def told(service: Service) -> httpx.AsyncClient:
    """An admin of their own who has made five keys, and whom another has helped."""
    one = await service.client(await service.key())
    for _ in range(5):
        await one.post("/v1/keys", json=KEY)
    return one


async def test_the_log_is_listed_newest_first_a_page_at_a_time(told: httpx.AsyncClient) -> None:
    whole = await deeds(told)
    assert [each["at"] for each in whole] == sorted((each["at"] for each in whole), reverse=True)
    seen: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": "4"} | ({"cursor": cursor} if cursor else {})
        page = (await told.get("/v1/audit", params=params)).json()
        seen += page["data"]
        cursor = page["next_cursor"]
    assert seen == whole
    assert len(seen) == 6


async def test_it_is_filtered_by_who_did_what_to_whom(
    told: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    made = (await admin.post("/v1/keys", json=KEY)).json()["id"]
    await admin.delete(f"/v1/keys/{made}")
    assert [each["action"] for each in await deeds(told, actor="admin")] == ["key_revoked", "key_created"]
    assert len(await deeds(told, target=f"key:{made}")) == 2
    assert len(await deeds(told, target=f"key:{made}", action="key_revoked")) == 1
    assert await deeds(told, actor="nobody") == []


async def test_a_page_takes_the_same_few_queries_however_long_the_log_is(
    service: Service, told: httpx.AsyncClient
) -> None:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(service.app.state.database.engine.sync_engine, "before_cursor_execute", note)
    counts = []
    for _ in range(2):
        seen.clear()
        await deeds(told)
        counts.append(len(seen))
        for _ in range(6):
            await told.post("/v1/keys", json=KEY)
    assert counts[0] == counts[1] <= 2


async def test_only_admins_read_it_and_a_forged_cursor_is_refused(
    service: Service, admin: httpx.AsyncClient
) -> None:
    support = await service.client(await service.key("support"))
    problem(await support.get("/v1/audit"), 403, "scope_missing")
    problem(await admin.get("/v1/audit", params={"cursor": "x"}), 422, "invalid_cursor")
    problem(await admin.get("/v1/audit", params={"actor": ""}), 422, "validation_failed")


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"])
async def test_the_service_itself_cannot_change_the_log(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(**connect_arguments(database_url))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()
