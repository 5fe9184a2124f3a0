"""GET /v1/feedback/summary: what counts, in which period and group, and what is said of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.domain.feedback.statistics import change, nps
from app.settings import Settings
from tests.api.conftest import ADMIN_KEY, Service
from tests.api.feedback.test_answers import post, problem
from tests.api.test_surveys import ASKED, SURVEYS, customer, invite

URL = "/v1/feedback/summary"
NOVEMBER = {"from": "2025-11-01", "to": "2025-12-01"}


async def summary(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answered = await client.get(URL, params={"kind": "nps"} | query)
    assert answered.status_code == 200, answered.text
    told: dict[str, Any] = answered.json()
    return told


async def say(client: httpx.AsyncClient, at: str, rating: int, customer: int = 1, **members: Any) -> None:
    where = f"external_id:{customer}"
    await post(client, rating=rating, customer=where, occurred_at=f"2025-{at}", **members)


def by_group(told: dict[str, Any]) -> dict[str | None, tuple[int, float | None]]:
    return {group["group"]: (group["n"], group["score"]) for group in told["groups"]}


async def test_no_answers_have_no_score(admin: httpx.AsyncClient) -> None:
    told = await summary(admin)
    for name in ("score", "ci_low", "ci_high", "response_rate", "difference"):
        assert told[name] is None, name
    assert (told["n"], told["indicative"], told["suppressed"], told["moved"]) == (0, True, 0, "too_few")
    assert told["previous"] == {"score": None, "n": 0, "ci_low": None, "ci_high": None, "indicative": True}
    assert (told["groups"], told["scale"]["max"]) == ([], 10)


async def test_a_figure_is_that_of_the_formulae_and_compared_with_the_month_before(
    admin: httpx.AsyncClient,
) -> None:
    for number, rating in enumerate((10, 9, 7, 3)):
        await say(admin, "11-10T12:00:00Z", rating, number)
    for number, rating in enumerate((10, 2)):
        await say(admin, "10-31T23:59:59Z", rating, number)
    await say(admin, "12-01T00:00:00Z", 0)
    told = await summary(admin, **NOVEMBER)
    expected, before = nps(2, 1, 1), nps(1, 0, 1)
    assert expected.ci_low is not None
    assert (told["score"], told["n"], told["indicative"]) == (25.0, 4, True)
    assert told["ci_low"] == pytest.approx(expected.ci_low, abs=1e-6)
    assert told["ci_high"] == pytest.approx(expected.ci_high, abs=1e-6)
    assert (told["previous"]["score"], told["previous"]["n"]) == (0.0, 2)
    assert (told["difference"], told["moved"]) == (25.0, change(expected, before).moved)
    assert told["ratings"] == {"3": 1, "7": 1, "9": 1, "10": 1}


async def test_of_what_a_survey_asked_the_latest_answer_of_a_customer_counts(
    admin: httpx.AsyncClient,
) -> None:
    await say(admin, "11-01T10:00:00Z", 1, survey="quarterly")
    await say(admin, "11-20T10:00:00Z", 10, survey="quarterly")
    await say(admin, "11-10T10:00:00Z", 4, survey="quarterly")
    await say(admin, "11-10T10:00:00Z", 7, survey="delivery")
    await say(admin, "11-10T10:00:00Z", 8, 2, survey="quarterly")
    assert (await summary(admin, **NOVEMBER))["ratings"] == {"7": 1, "8": 1, "10": 1}
    for _ in range(2):
        await say(admin, "11-11T10:00:00Z", 0)
    told = await summary(admin, **NOVEMBER, group_by="survey")
    assert told["n"] == 5
    assert by_group(told) == {"delivery": (1, 0.0), "quarterly": (2, 50.0), None: (2, -100.0)}


async def test_groups_are_channels_agents_and_the_customers_tags(admin: httpx.AsyncClient) -> None:
    for number, tags in ((1, ["vip", "early"]), (2, ["vip"])):
        customer = {"identifiers": {"external_id": str(number)}, "tags": tags}
        await admin.post("/v1/customers", json=customer)
    await say(admin, "11-01T10:00:00Z", 10, 1, channel="email", attributed_to="ben")
    await say(admin, "11-02T10:00:00Z", 0, 2, channel="web", attributed_to="ben")
    await say(admin, "11-03T10:00:00Z", 7, 3, channel="web")
    await say(admin, "10-03T10:00:00Z", 9, 3, channel="web")
    channels = await summary(admin, **NOVEMBER, group_by="channel")
    assert by_group(channels) == {"email": (1, 100.0), "web": (2, -50.0)}
    assert [group["previous"]["n"] for group in channels["groups"]] == [0, 1]
    assert by_group(await summary(admin, **NOVEMBER, group_by="agent")) == {"ben": (2, 0.0), None: (1, 0.0)}
    tagged = await summary(admin, **NOVEMBER, group_by="tag")
    assert by_group(tagged) == {"early": (1, 100.0), "vip": (2, 0.0), None: (1, 0.0)}


async def test_a_segment_is_what_the_list_of_customers_calls_one(admin: httpx.AsyncClient) -> None:
    for number, tags in (
        (1, ["segment:gold", "segment:new", "gold"]),
        (2, ["segment:gold"]),
        (3, ["segment:"]),
    ):
        customer = {"identifiers": {"external_id": str(number)}, "tags": tags}
        await admin.post("/v1/customers", json=customer)
    await say(admin, "11-01T10:00:00Z", 10, 1)
    await say(admin, "11-02T10:00:00Z", 0, 2)
    await say(admin, "11-03T10:00:00Z", 7, 3)
    await say(admin, "11-03T11:00:00Z", 0, 4)
    await say(admin, "10-03T10:00:00Z", 9, 2)
    told = await summary(admin, **NOVEMBER, group_by="segment")
    assert by_group(told) == {"gold": (2, 0.0), "new": (1, 100.0), None: (2, -50.0)}
    assert [group["previous"]["n"] for group in told["groups"]] == [1, 0, 0]
    for segment, expected in (("gold", ["2", "1"]), ("new", ["1"]), ("old", [])):
        found = (await admin.get("/v1/customers", params={"segment": segment})).json()["data"]
        assert [one["identifiers"]["external_id"] for one in found] == expected
    both = {"segment": "gold", "tag": "gold", "search": "1"}
    assert len((await admin.get("/v1/customers", params=both)).json()["data"]) == 1
    assert (await admin.get("/v1/customers", params=both | {"segment": "none"})).json()["data"] == []
    assert problem(await admin.get("/v1/customers", params={"segment": "x" * 57})) == (
        422,
        "validation_failed",
    )


async def test_every_group_tells_how_many_of_its_invitations_were_answered(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    await admin.post(SURVEYS, json=ASKED)
    for number, tags in ((1, ["vip", "segment:gold"]), (2, ["vip"]), (3, [])):
        told = await invite(admin, await customer(admin, number, tags=tags))
        await admin.post(f"/v1/survey-invitations/{told['id']}/reports", json={"report": "sent"})
        if number != 2:
            assert (await stranger.post(told["link"], data={"rating": "9"})).status_code == 201
    await invite(admin, "external_id:1")
    expected: dict[str, dict[str | None, tuple[float, int]]] = {
        "tag": {"vip": (50.0, 1), "segment:gold": (100.0, 1), None: (100.0, 0)},
        "segment": {"gold": (100.0, 1), None: (50.0, 0)},
        "survey": {"how_was_it": (66.666667, 1)},
        "channel": {"email": (66.666667, 1)},
        "month": {f"{datetime.now(UTC):%Y-%m}-01": (66.666667, 1)},
        "day": {f"{datetime.now(UTC):%Y-%m-%d}": (66.666667, 1)},
    }
    for group_by, groups in expected.items():
        told = await summary(admin, group_by=group_by)
        found = {one["group"]: (one["response_rate"], one["suppressed"]) for one in told["groups"]}
        assert found == groups, group_by
    (nobody,) = (await summary(admin, group_by="agent"))["groups"]
    assert (nobody["group"], nobody["response_rate"]) == (None, None)


async def test_days_begin_in_the_shops_zone(database_url: str, service: Service) -> None:
    settings = Settings(
        database_url=database_url, admin_key=ADMIN_KEY, pool_size=2, shop_time_zone="Europe/Berlin"
    )
    admin = await service.client(ADMIN_KEY)
    service.app.state.settings = settings
    # 23:30 on 31 October in Berlin, and 00:30 on 1 November.
    await say(admin, "10-31T22:30:00Z", 0)
    await say(admin, "10-31T23:30:00Z", 10)
    told = await summary(admin, **NOVEMBER, group_by="day")
    assert (told["from"], told["time_zone"]) == ("2025-10-31T23:00:00Z", "Europe/Berlin")
    assert (told["n"], by_group(told)) == (1, {"2025-11-01": (1, 100.0)})
    assert told["previous"]["n"] == 1


async def test_each_bucket_of_time_counts_and_compares_by_itself(admin: httpx.AsyncClient) -> None:
    await say(admin, "10-15T10:00:00Z", 10, survey="q")
    await say(admin, "11-15T10:00:00Z", 0, survey="q")
    told = await summary(admin, **{"from": "2025-10-01", "to": "2025-12-01"}, group_by="month")
    assert (told["n"], told["score"]) == (1, -100.0)
    assert by_group(told) == {"2025-10-01": (1, 100.0), "2025-11-01": (1, -100.0)}
    first, second = told["groups"]
    assert (first["previous"], second["previous"]["score"], second["difference"]) == (None, 100.0, -200.0)
    weeks = await summary(admin, **NOVEMBER, group_by="week")
    assert by_group(weeks) == {"2025-11-10": (1, -100.0)}


async def test_scales_are_never_mixed(admin: httpx.AsyncClient) -> None:
    for number, rating in enumerate((6, 7, 1)):
        await say(admin, "11-01T10:00:00Z", rating, number, kind="ces")
    await say(admin, "11-01T10:00:00Z", 1, kind="ces", scale={"direction": "lower_is_better"})
    await say(admin, "11-01T10:00:00Z", 5, kind="csat")
    told = await summary(admin, kind="ces", **NOVEMBER)
    assert (told["n"], told["score"]) == (3, pytest.approx(14 / 3, abs=1e-6))
    assert told["easy"]["score"] == pytest.approx(200 / 3, abs=1e-6)
    (other,) = told["other_scales"]
    assert (other["n"], other["score"], other["scale"]["direction"]) == (1, 1.0, "lower_is_better")
    assert (await summary(admin, kind="csat", **NOVEMBER))["score"] == 100.0


async def test_an_edited_answer_counts_as_it_is_now(admin: httpx.AsyncClient) -> None:
    told = await post(admin, rating=0)
    await admin.patch(f"/v1/feedback/{told['id']}", json={"rating": 10})
    assert (await summary(admin))["ratings"] == {"10": 1}


@pytest.mark.parametrize(
    "query, expected",
    [
        ({"kind": "comment"}, "validation_failed"),
        ({"kind": None}, "validation_failed"),
        ({"from": "2025-11-01", "to": "2025-11-01"}, "invalid_period"),
        ({"from": "2025-11-02", "to": "2025-11-01"}, "invalid_period"),
        ({"from": "2011-11-02", "to": "2025-11-01"}, "invalid_period"),
        ({"from": "2025-11-01T10:00:00Z", "to": "2025-11-01T10:00:00Z"}, "invalid_period"),
        ({"from": "2025-13-01"}, "invalid_time"),
        ({"from": "yesterday"}, "invalid_time"),
        ({"from": "2025-11-01T10:00:00"}, "naive_time"),
        ({"group_by": "mood"}, "validation_failed"),
    ],
)
async def test_what_cannot_be_counted_is_refused(
    admin: httpx.AsyncClient, query: dict[str, str | None], expected: str
) -> None:
    params = {name: value for name, value in ({"kind": "nps"} | query).items() if value is not None}
    assert problem(await admin.get(URL, params=params)) == (422, expected)


async def test_instants_are_a_period_too(admin: httpx.AsyncClient) -> None:
    await post(admin, rating=10)
    now = datetime.now(UTC)
    window = {"from": (now - timedelta(hours=1)).isoformat(), "to": (now + timedelta(hours=1)).isoformat()}
    assert (await summary(admin, **window))["n"] == 1


async def test_figures_need_feedback_read(service: Service) -> None:
    shop = await service.client(await service.key("storefront"))
    assert problem(await shop.get(URL, params={"kind": "nps"})) == (403, "scope_missing")
