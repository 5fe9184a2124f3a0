import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service

URL = "/v1/loyalty/programs/main/versions"
SILVER = {"code": "silver", "threshold": 100}
DRAFT = {
    "earning_rules": [
        {"code": "base", "points": 2, "per_amount_minor": 100},
        {"code": "first", "points": 10, "when": {"first_purchase": True}},
        {"code": "vip", "points": 5, "when": {"segment": ["vip"]}},
    ],
    "tiers": [{"code": "base", "threshold": 0}, SILVER],
}

pytestmark = pytest.mark.usefixtures("club")


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def post(admin: httpx.AsyncClient, who: str, kind: str, amount: int, days: float, **said: Any) -> None:
    at = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    touchpoint = {"customer": {"external_id": who}, "kind": kind, "occurred_at": at, **said}
    if kind != "order_cancelled":
        touchpoint |= {"amount_minor": amount, "currency": "EUR"}
    answer = await admin.post("/v1/touchpoints", json=touchpoint)
    assert answer.status_code == 201, answer.text


@pytest.fixture
async def shop(admin: httpx.AsyncClient, club: dict[str, Any]) -> None:  # noqa: ARG001 - has to be there first
    """Ada bought long ago and since; Bob once, and gave half back; Cy cancelled; Dan only looked."""
    assert (await admin.post(URL, json=DRAFT)).status_code == 201
    await post(admin, "ada", "purchase", 30_000, 200)
    await post(admin, "ada", "purchase", 6_000, 20)
    await admin.patch("/v1/customers/external_id:ada", json={"tags": ["segment:vip"]})
    await post(admin, "bob", "purchase", 2_000, 10, order_id="b1")
    await post(admin, "bob", "refund", 1_000, 5, order_id="b1")
    await post(admin, "cy", "purchase", 9_900, 10, order_id="c1")
    await post(admin, "cy", "order_cancelled", 0, 5, order_id="c1")
    answer = await admin.post("/v1/touchpoints", json={"customer": {"external_id": "dan"}, "kind": "visit"})
    assert answer.status_code == 201


@pytest.mark.usefixtures("shop")
async def test_a_draft_beside_the_rules_in_force(admin: httpx.AsyncClient) -> None:
    before = (await admin.get("/v1/loyalty/liability")).json()
    asked = {"days": 90, "against": "in_force", "point_cost": "0.01"}
    answer = await admin.post(f"{URL}/2/simulate", json=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["is_complete"], told["purchases"], told["customers"]) == (True, 3, 3)
    # 60 + 10 + 0 points now; the draft gives Ada 120 + 5, Bob half of 40 + 10, Cy nothing.
    assert told["before"] == {"points": 70, "cost_minor": 70, "tiers": {"base": 3}}
    assert told["drafted"] == {"points": 150, "cost_minor": 150, "tiers": {"base": 2, "silver": 1}}
    assert sum(month["points"] for month in told["liability"]) == 150
    assert told["tier_moves"] == [{"before": "base", "after": "silver", "customers": 1}]
    assert (told["winners"], told["losers"], told["most_lost"]) == (2, 0, [])
    assert [(one["before"], one["drafted"], one["gained"]) for one in told["most_gained"]] == [
        (60, 125, 65),
        (10, 25, 15),
    ]
    assert (await admin.get("/v1/loyalty/liability")).json()["points"] == before["points"]


@pytest.mark.usefixtures("shop")
async def test_only_the_days_that_are_asked_for_count(admin: httpx.AsyncClient) -> None:
    told = (await admin.post(f"{URL}/2/simulate", json={"days": 15})).json()
    assert (told["purchases"], told["drafted"]["points"], told["drafted"]["cost_minor"]) == (2, 25, None)
    everything = (await admin.post(f"{URL}/2/simulate", json={"days": 365})).json()
    # Ada's order of long ago was her first; it lapses in none of its twelve months.
    assert everything["drafted"]["points"] == 150 + 600 + 10 + 5
    assert (await admin.post(f"{URL}/2/simulate")).json()["purchases"] == 3


@pytest.mark.usefixtures("shop")
async def test_it_ends_when_its_time_is_over(service: Service, admin: httpx.AsyncClient) -> None:
    settings = service.app.state.settings
    service.app.state.settings = settings.model_copy(update={"simulation_seconds": 1e-9})
    told = (await admin.post(f"{URL}/2/simulate", json={})).json()
    assert (told["is_complete"], told["customers"]) == (False, 1)
    service.app.state.settings = settings


@pytest.mark.usefixtures("shop")
async def test_the_log_goes_on_meanwhile(admin: httpx.AsyncClient) -> None:
    work = asyncio.gather(*(admin.post(f"{URL}/2/simulate", json={}) for _ in range(3)))
    _, told = await asyncio.gather(post(admin, "eve", "purchase", 100, 0), work)
    assert {answer.status_code for answer in told} == {200}


async def test_what_cannot_be_tried(admin: httpx.AsyncClient, service: Service) -> None:
    assert problem(await admin.post(f"{URL}/9/simulate", json={})) == (404, "version_not_found")
    nowhere = "/v1/loyalty/programs/x/versions/1/simulate"
    assert problem(await admin.post(nowhere, json={})) == (404, "program_not_found")
    for said in ({"days": 0}, {"days": 366}, {"against": "x"}, {"point_cost": "1e3"}, {"x": 1}):
        assert problem(await admin.post(f"{URL}/1/simulate", json=said)) == (422, "validation_failed")
    shop = await service.client(await service.key("storefront"))
    assert problem(await shop.post(f"{URL}/1/simulate", json={})) == (403, "scope_missing")
