"""Tiers over HTTP: where a member stands, every move, lists by tier, and occasions that earn."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from app.usecases.loyalty.run_clock import run_clock
from tests.api.conftest import Service

LOYALTY = "/v1/customers/external_id:42/loyalty"
CONTEXT = "/v1/customers/external_id:42/context"
TIERS = [
    {"code": "base", "threshold": 0},
    {"code": "silver", "threshold": 100},
    {"code": "gold", "threshold": 500},
]
OCCASIONS: dict[str, Any] = {
    "earning_rules": [
        {"code": "welcome", "event": "signup", "points": 50},
        {"code": "words", "event": "review", "points": 150, "caps": {"per_period": 300, "period_days": 30}},
        {"code": "cake", "event": "birthday", "points": 25, "when": {"segment": ["vip"]}},
    ],
    "tiers": TIERS,
    "pending_days": 0,
    "expiry_months": 1,
    "expiry_rounding": "none",
    "expiry_warning_days": 45,
}


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


@pytest.fixture
async def club(admin: httpx.AsyncClient) -> None:
    await make_club(admin, OCCASIONS)


async def make_club(admin: httpx.AsyncClient, rules: dict[str, Any], code: str = "main") -> None:
    said = {"code": code, "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}
    assert (await admin.post("/v1/loyalty/programs", json=said)).status_code == 201
    drafted = await admin.post(f"/v1/loyalty/programs/{code}/versions", json=rules)
    assert drafted.status_code == 201, drafted.text
    since = {"effective_from": "2026-01-01T00:00:00Z"}
    done = await admin.post(f"/v1/loyalty/programs/{code}/versions/1/publish", json=since)
    assert done.status_code == 200, done.text


async def post(client: httpx.AsyncClient, id: str, kind: str, **members: Any) -> httpx.Response:  # noqa: A002 - the wire's own name
    said = {"id": id, "customer": {"external_id": "42"}, "kind": kind} | members
    answer = await client.post("/v1/touchpoints", json=said)
    assert answer.status_code in {200, 201}, answer.text
    return answer


async def balance(client: httpx.AsyncClient) -> int:
    found: int = (await client.get(LOYALTY)).json()["available"]
    return found


@pytest.mark.usefixtures("club", "ada")
async def test_joining_earns_once_whoever_says_it_again(admin: httpx.AsyncClient) -> None:
    await post(admin, "j1", "loyalty_joined")
    assert await balance(admin) == 50
    await post(admin, "j1", "loyalty_joined")
    await post(admin, "j2", "loyalty_joined")
    assert await balance(admin) == 50
    health = (await admin.get("/v1/customers/external_id:42/health")).json()
    (loyalty,) = [one for one in health["components"] if one["name"] == "loyalty"]
    assert loyalty["contribution"] > 0


@pytest.mark.usefixtures("club", "ada")
async def test_a_review_earns_once_for_what_it_is_about_and_within_its_cap(admin: httpx.AsyncClient) -> None:
    about = {"rating": 5, "sku": "X1"}
    await post(admin, "r1", "review", properties=about)
    await post(admin, "r2", "review_public", properties={"sku": "X1"})
    assert await balance(admin) == 150
    await post(admin, "r3", "review", properties={"rating": 4}, order_id="A-1")
    await post(admin, "r4", "review", properties={"rating": 1}, order_id="A-1")
    assert await balance(admin) == 300
    await post(admin, "r5", "review", properties={"rating": 3})
    assert await balance(admin) == 300
    entry = (await admin.get("/v1/loyalty/entries?customer=external_id:42")).json()["data"][-1]
    assert (entry["kind"], entry["points"]) == ("earn", 0)
    why = (await admin.get(f"/v1/loyalty/entries/{entry['id']}/explain")).json()
    assert why["explain"]["rules"][0]["reason"] == "period_cap"


@pytest.mark.usefixtures("club", "ada")
async def test_an_answer_of_kind_review_earns_and_an_edit_of_it_does_not_earn_again(
    admin: httpx.AsyncClient,
) -> None:
    said = {
        "customer": {"external_id": "42"},
        "kind": "review",
        "rating": 5,
        "source_id": "a1",
        "text": "Good",
    }
    answer = await admin.post("/v1/feedback", json=said)
    assert answer.status_code == 201, answer.text
    assert await balance(admin) == 150
    edited = await admin.patch(f"/v1/feedback/{answer.json()['id']}", json={"rating": 4})
    assert edited.status_code == 200, edited.text
    assert await balance(admin) == 150
    assert len((await admin.get("/v1/loyalty/entries?customer=external_id:42")).json()["data"]) == 1


@pytest.mark.usefixtures("club", "ada")
async def test_a_batch_of_reviews_raises_the_tier_once_and_tells_it(admin: httpx.AsyncClient) -> None:
    items = [
        {"id": f"b{n}", "customer": {"external_id": "42"}, "kind": "review", "properties": {"rating": 5}}
        for n in range(3)
    ]
    answer = await admin.post("/v1/touchpoints/batch", json={"touchpoints": items})
    assert answer.json()["stored"] == 3
    shown = (await admin.get(LOYALTY)).json()
    assert (shown["available"], shown["tier"]["code"], shown["tier"]["points_to_next"]) == (
        300,
        "silver",
        200,
    )
    told = (await admin.get("/v1/customers/external_id:42/timeline?kind=tier_changed")).json()["data"]
    assert [row["description"] for row in told] == ["Tier went from base to silver"]
    moves = (await admin.get(f"{LOYALTY}/tiers")).json()
    assert [(one["from"], one["to"], one["why"]) for one in moves["data"]] == [("base", "silver", "upgrade")]


@pytest.mark.usefixtures("club", "ada")
async def test_the_tier_of_the_past_never_changes(admin: httpx.AsyncClient) -> None:
    before = datetime.now(UTC).isoformat()
    await post(admin, "r1", "review", properties={"rating": 5})
    then = await admin.get(f"{LOYALTY}/tier", params={"as_of": before})
    assert (then.status_code, then.json()) == (200, {"program": "main", "tier": None})
    now = (await admin.get(f"{LOYALTY}/tier")).json()["tier"]
    assert now == (await admin.get(LOYALTY)).json()["tier"]
    # The review looks at the twelve months from tomorrow on.
    assert (now["code"], now["points_to_keep"], now["projected"]) == ("silver", 100, "base")
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert problem(await admin.get(f"{LOYALTY}/tier", params={"as_of": ahead})) == (422, "in_the_future")
    for path in ("tier", "tiers"):
        assert problem(await admin.get(f"{LOYALTY}/{path}?program=no")) == (404, "program_not_found")
    assert problem(await admin.get(f"{LOYALTY}/tiers?cursor=x")) == (422, "invalid_cursor")


@pytest.mark.usefixtures("ada")
async def test_moves_come_page_by_page_the_newest_first(admin: httpx.AsyncClient) -> None:
    await make_club(admin, OCCASIONS | {"earning_rules": [{"code": "r", "event": "review", "points": 300}]})
    for name in ("r1", "r2"):
        await post(admin, name, "review", properties={"rating": 5})
    first = await admin.get(f"{LOYALTY}/tiers?limit=1")
    assert [one["to"] for one in first.json()["data"]] == ["gold"]
    assert 'rel="next"' in first.headers["link"]
    cursor = first.json()["next_cursor"]
    second = (await admin.get(f"{LOYALTY}/tiers", params={"limit": 1, "cursor": cursor})).json()
    assert [one["to"] for one in second["data"]] == ["silver"]
    assert second["next_cursor"] is None


@pytest.mark.usefixtures("club", "ada")
async def test_customers_are_listed_by_tier(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/customers", json={"identifiers": {"external_id": "7"}, "name": "Bob"})
    await post(admin, "r1", "review", properties={"rating": 5})
    for query, found in (("tier=silver", ["42"]), ("tier=gold", []), ("tier=silver&search=42", ["42"])):
        listed = (await admin.get(f"/v1/customers?{query}")).json()["data"]
        assert [one["identifiers"]["external_id"] for one in listed] == found


@pytest.mark.usefixtures("ada")
async def test_without_a_programme_nobody_is_in_a_tier(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/v1/customers?tier=base")).json()["data"] == []
    await post(admin, "r1", "review", properties={"rating": 5})
    assert (await admin.get(CONTEXT)).json()["loyalty"] is None


@pytest.mark.usefixtures("club")
async def test_a_birthday_earns_once_a_year_for_members_of_the_segment(
    admin: httpx.AsyncClient, service: Service
) -> None:
    now = datetime.now(UTC)
    day = now.astimezone(ZoneInfo("Europe/Berlin"))
    said = {
        "identifiers": {"external_id": "42"},
        "traits": {"birthday": f"1990-{day:%m-%d}"},
        "tags": ["segment:vip"],
    }
    await admin.post("/v1/customers", json=said)
    database, model = service.app.state.database, service.app.state.model.current
    # Who is no member has no birthday here.
    assert (await run_clock(database, model, now)).celebrated == 0
    await post(admin, "j1", "loyalty_joined")
    for expected in (1, 0):
        assert (await run_clock(database, model, datetime.now(UTC))).celebrated == expected
    assert await balance(admin) == 75


@pytest.mark.usefixtures("club", "ada")
async def test_the_context_tells_points_tier_and_what_will_lapse(admin: httpx.AsyncClient) -> None:
    nobody = await admin.get(CONTEXT)
    assert nobody.json()["loyalty"] is None
    await post(admin, "r1", "review", properties={"rating": 5})
    told = (await admin.get(CONTEXT)).json()
    shown = (await admin.get(LOYALTY)).json()
    assert told["loyalty"] == shown
    actions = {one["action"]: one["why"] for one in told["next_best_actions"]}
    assert actions["remind_of_points"].startswith("150 points expire after ")
    assert "Member in tier silver, 150 points, 150 expire after " in told["summary"]
    assert len(told["summary"].split()) <= 80
    markdown = (await admin.get(f"{CONTEXT}?format=markdown")).text
    assert "## Loyalty\n\n- Points: 150 available, 0 pending, 0 held\n- Tier: silver since " in markdown


@pytest.mark.usefixtures("club", "ada")
async def test_the_etag_of_the_context_changes_with_the_points_alone(admin: httpx.AsyncClient) -> None:
    await post(admin, "r1", "review", properties={"rating": 5})
    etag = (await admin.get(CONTEXT)).headers["etag"]
    known = await admin.get(CONTEXT, headers={"If-None-Match": etag})
    assert known.status_code == 304
    given = {"id": "g", "customer": "external_id:42", "points": 5, "reason_code": "service"}
    assert (await admin.post("/v1/loyalty/adjustments", json=given)).status_code == 201
    assert (await admin.get(CONTEXT, headers={"If-None-Match": etag})).status_code == 200


@pytest.mark.usefixtures("ada")
async def test_a_tier_that_is_near_its_loss_is_a_red_flag_and_something_to_do(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await make_club(
        admin, OCCASIONS | {"tier_window_months": 1, "tier_warning_days": 366, "expiry_months": 12}
    )
    back = (datetime.now(UTC) - timedelta(days=10)).isoformat()
    await post(admin, "r1", "review", properties={"rating": 5}, occurred_at=back)
    told = (await admin.get(CONTEXT)).json()
    assert told["health"]["red_flags"] == ["tier_at_risk"]
    assert (await admin.get("/v1/customers/external_id:42/health")).json()["red_flags"] == ["tier_at_risk"]
    actions = {one["action"]: one["why"] for one in told["next_best_actions"]}
    assert actions["keep_tier"].endswith("; 100 more points keep it")
    assert "Member in tier silver, which is at risk" in told["summary"]
    database, model = service.app.state.database, service.app.state.model.current
    assert (await run_clock(database, model, datetime.now(UTC))).failed == 0
    timeline = (await admin.get("/v1/customers/external_id:42/timeline?kind=tier_warned")).json()["data"]
    assert len(timeline) == 1
    assert timeline[0]["description"].startswith("Tier silver is lost on ")


async def test_only_those_who_may_read_points_see_tiers(service: Service) -> None:
    stranger = await service.client(await service.key(scopes=["customers:read"]))
    for path in ("tier", "tiers"):
        assert problem(await stranger.get(f"{LOYALTY}/{path}")) == (403, "scope_missing")


@pytest.mark.usefixtures("club", "ada")
async def test_points_that_nobody_earned_raise_no_tier(admin: httpx.AsyncClient) -> None:
    """Adjustments, goodwill and opening balances are given: a tier follows from what was earned."""
    for name, reason in (("a", "service"), ("b", "surprise")):
        body = {"id": name, "customer": "external_id:42", "points": 500, "reason_code": reason, "about": name}
        given = await admin.post("/v1/loyalty/adjustments", json=body)
        assert given.status_code == 201, given.text
    told = (await admin.get(LOYALTY)).json()
    assert (told["available"], told["tier"]["code"], told["tier"]["points_to_next"]) == (1_000, "base", 100)
    timeline = (await admin.get("/v1/customers/external_id:42/timeline?kind=tier_changed")).json()
    assert timeline["data"] == []
