"""GET /v1/customers/{customer}/health."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.domain.health.model import BANDS, COMPONENTS
from app.usecases.sweep_bands import sweep_bands
from tests.api.conftest import Service

URL = "/v1/customers/external_id:42/health"
NOW = datetime.now(UTC)


async def post(client: httpx.AsyncClient, id: str, kind: str, days: float, **members: Any) -> dict[str, Any]:  # noqa: A002 - the wire's own name
    at = (NOW - timedelta(days=days)).isoformat()
    body = {"id": id, "customer": "external_id:42", "kind": kind, "occurred_at": at} | members
    answer = await client.post("/v1/touchpoints", json=body)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture
async def ada(admin: httpx.AsyncClient) -> dict[str, Any]:
    """The answer to the last of her touchpoints."""
    for days in (100, 70, 40):
        await post(
            admin, f"p{days}", "purchase", days, amount_minor=4999, currency="EUR", order_id=f"o{days}"
        )
    await post(admin, "r", "refund", 20, amount_minor=1000, currency="EUR", order_id="o40")
    await post(admin, "n", "nps", 10, properties={"rating": 9})
    return await post(
        admin, "c", "complaint_opened", 3, properties={"complaint_id": "k1", "severity": "high"}
    )


async def test_every_point_of_the_score_is_accounted_for(
    admin: httpx.AsyncClient, ada: dict[str, Any]
) -> None:
    told = (await admin.get(URL)).json()
    assert [component["name"] for component in told["components"]] == list(COMPONENTS)
    parts = sum(component["contribution"] or 0 for component in told["components"])
    assert told["base"] + parts == pytest.approx(told["score_exact"], abs=1e-9)
    assert (told["score"], told["band"]) == (ada["health"]["score"], ada["health"]["band"])
    assert told["customer_id"] == ada["customer_id"]
    by_name = {component["name"]: component for component in told["components"]}
    assert by_name["contacts"]["contribution"] is None
    assert by_name["contacts"]["evidence"] is None
    assert by_name["momentum"]["evidence"] == "3 purchases"
    assert [row["id"] for row in by_name["momentum"]["top_touchpoints"]] == ["p40", "p70", "p100"]
    assert by_name["complaints"]["top_touchpoints"][0]["kind"] == "complaint_opened"
    assert all(component["points_missed"] >= 0 for component in told["components"])


@pytest.mark.usefixtures("ada")
async def test_it_says_why_what_would_help_and_what_is_not_known_yet(admin: httpx.AsyncClient) -> None:
    told = (await admin.get(URL)).json()
    assert told["reasons"]
    assert told["red_flags"] == ["complaint_open"]
    assert told["trend_30d"] < 0
    assert (told["override"], told["as_of"]) == (None, None)
    helps = told["what_would_help"]
    assert {help_["action"] for help_ in helps} == {"resolve_complaint", "purchase", "answer_survey"}
    assert [help_["gain"] for help_ in helps] == sorted((help_["gain"] for help_ in helps), reverse=True)
    assert 0 < told["coverage"] < 1
    assert 0 < told["confidence"] < 1
    assert told["model"] == "2026.1"


@pytest.mark.usefixtures("ada")
async def test_it_says_when_the_band_falls_if_nothing_happens(admin: httpx.AsyncClient) -> None:
    told = (await admin.get(URL)).json()
    fall = told["next_fall"]
    assert BANDS.index(fall["band"]) > BANDS.index(told["band"])
    at = datetime.fromisoformat(fall["at"])
    assert datetime.fromisoformat(told["computed_at"]) < at
    assert (at.second, at.microsecond) == (0, 0)


@pytest.mark.usefixtures("ada")
async def test_what_silence_does_is_a_touchpoint_and_moves_the_customer_in_lists(
    service: Service, admin: httpx.AsyncClient
) -> None:
    promised = (await admin.get(URL)).json()["next_fall"]
    state = service.app.state
    later = datetime.now(UTC) + timedelta(days=700)
    assert (await sweep_bands(state.database, state.model.current, later)).changed == 1

    timeline = (await admin.get("/v1/customers/external_id:42/timeline?kind=band_changed")).json()["data"]
    first, last = timeline[-1], timeline[0]
    assert (first["source"], first["occurred_at"]) == ("rapport", promised["at"])
    assert first["properties"]["to"] == promised["band"]
    assert first["description"].startswith("Fell from ")
    assert first["health_delta"] < 0
    listed = (await admin.get("/v1/customers", params={"band": last["properties"]["to"]})).json()["data"]
    assert [customer["identifiers"]["external_id"] for customer in listed] == ["42"]


@pytest.mark.usefixtures("ada")
async def test_it_says_what_the_customer_is_worth(admin: httpx.AsyncClient) -> None:
    told = (await admin.get(URL)).json()
    value = told["value"]
    assert 0 < value["p_alive"] < 1
    assert 0 < value["churn_probability"] < 1
    assert 0 < value["expected_purchases_90d"] < 5
    assert 0 < value["clv"] <= value["expected_value_365d"]
    assert value["currency"] == "EUR"
    assert told["forecast"] == {
        "horizon_days": 90,
        "purchase_probability": pytest.approx(told["forecast"]["purchase_probability"]),
        "expected_purchases": value["expected_purchases_90d"],
    }
    year = (await admin.get(URL, params={"horizon_days": 365})).json()["forecast"]
    assert year["horizon_days"] == 365
    assert year["purchase_probability"] > told["forecast"]["purchase_probability"]
    assert year["expected_purchases"] > told["forecast"]["expected_purchases"]


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("days", ["0", "-1", "10000", "many"])
async def test_a_horizon_that_nobody_can_look_ahead_is_refused(admin: httpx.AsyncClient, days: str) -> None:
    answer = await admin.get(URL, params={"horizon_days": days})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"][0]["pointer"] == "#/query/horizon_days"


@pytest.mark.usefixtures("ada")
async def test_health_can_be_read_as_it_was(admin: httpx.AsyncClient) -> None:
    now = (await admin.get(URL)).json()
    then = datetime.fromisoformat(now["computed_at"]) - timedelta(days=30)
    month_ago = (await admin.get(URL, params={"as_of": then.isoformat()})).json()
    assert now["score_exact"] - month_ago["score_exact"] == now["trend_30d"]
    assert month_ago["red_flags"] == []
    long_ago = (await admin.get(URL, params={"as_of": "2001-01-01T00:00:00Z"})).json()
    assert (long_ago["score"], long_ago["score_exact"], long_ago["band"]) == (None, None, "unknown")
    assert long_ago["as_of"] == "2001-01-01T00:00:00Z"
    assert long_ago["trend_30d"] is None
    unknown = (await admin.get(URL, params={"known_at": "2001-01-01T00:00:00Z"})).json()
    assert unknown["score"] is None


@pytest.mark.usefixtures("ada")
async def test_an_offset_whose_plus_was_not_escaped_is_understood(admin: httpx.AsyncClient) -> None:
    answer = await admin.get(f"{URL}?as_of=2026-01-01T01:00:00+01:00")
    assert answer.status_code == 200
    assert answer.json()["as_of"] == "2026-01-01T00:00:00Z"


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    "query, code",
    [
        ("as_of=2126-01-01T00:00:00Z", "in_the_future"),
        ("known_at=2126-01-01T00:00:00Z", "in_the_future"),
        ("as_of=2026-01-01T00:00:00", "naive_time"),
        ("as_of=1969-01-01T00:00:00Z", "before_1970"),
        ("as_of=yesterday", "validation_failed"),
        ("as_of=0001-01-01T00:00:00%2B14:00", "validation_failed"),
    ],
)
async def test_a_time_that_cannot_be_asked_about_is_refused(
    admin: httpx.AsyncClient, query: str, code: str
) -> None:
    answer = await admin.get(f"{URL}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"][0]["pointer"] == f"#/query/{query.partition('=')[0]}"


async def test_nobody_has_no_health(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/v1/customers/external_id:nobody/health")
    assert (answer.status_code, answer.json()["code"]) == (404, "customer_not_found")


async def test_somebody_of_whom_nothing_is_known_has_no_score(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/customers", json={"identifiers": {"external_id": "42"}})
    told = (await admin.get(URL)).json()
    assert (told["score"], told["band"], told["coverage"], told["trend_30d"]) == (None, "unknown", 0, None)
    assert {component["contribution"] for component in told["components"]} == {None}
    assert (told["next_fall"], told["forecast"]) == (None, None)
    assert {amount for member, amount in told["value"].items() if member != "currency"} == {None}


async def test_reading_health_needs_its_scope(service: Service) -> None:
    writer = await service.client(await service.key("storefront", scopes=["events:write"]))
    answer = await writer.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
