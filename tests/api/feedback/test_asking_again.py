"""Survey again after somebody has spoken with the customer: once, and only when nothing stands against it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.usecases.surveys.sweep_surveys import SurveysSwept
from tests.api.conftest import Service
from tests.api.feedback.test_answers import post as answer
from tests.api.test_surveys import ASKED, SURVEYS, complain, customer, listed, post, settle, sweep

FOLLOW_UPS = "/v1/follow-ups"
AT_ONCE = ASKED | {"limits": {"quiet_days": 0, "quiet_nps_days": 0}}


async def spoken_with(
    admin: httpx.AsyncClient, survey: str | None = "how_was_it", number: int = 42, days: int = 14
) -> dict[str, Any]:
    """A customer whose bad answer was followed up, and who may be asked again after so many days."""
    who = await customer(admin, number)
    about: dict[str, Any] = {} if survey is None else {"survey": survey}
    told = await answer(admin, customer=who, rating=1, **about)
    change = {"id": told["follow_up"]["id"], "outcome": "recovered", "ask_again_after_days": days}
    closed = await admin.patch(FOLLOW_UPS, json=change)
    assert closed.status_code == 200, closed.text
    found: dict[str, Any] = closed.json()
    return found


async def follow_up(admin: httpx.AsyncClient, told: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await admin.get(f"{FOLLOW_UPS}/{told['id']}")).json()
    return found


async def test_who_was_spoken_with_is_asked_the_same_survey_once_more(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post(SURVEYS, json=AT_ONCE)
    told = await spoken_with(admin)
    assert told["ask_again_invitation"] is None
    assert await sweep(service, days=13.9) == SurveysSwept()
    assert await sweep(service, days=14.1) == SurveysSwept(queued=1)
    (asked,) = await listed(admin)
    assert (asked["state"], asked["survey"], asked["about"]) == ("queued", "how_was_it", None)
    now = await follow_up(admin, told)
    assert (now["ask_again_invitation"], now["version"]) == (asked["id"], told["version"] + 1)
    assert await sweep(service, days=14.2) == SurveysSwept()
    assert await sweep(service, days=60) == SurveysSwept(expired=1)
    assert len(await listed(admin)) == 1


async def test_any_number_of_sweeps_at_once_ask_again_once(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post(SURVEYS, json=AT_ONCE)
    for number in range(8):
        await spoken_with(admin, number=number)
    swept = await asyncio.gather(*[sweep(service, days=15, page=3) for _ in range(4)])
    assert sum(one.queued for one in swept) == 8
    assert len({one["customer_id"] for one in await listed(admin)}) == len(await listed(admin)) == 8


async def test_a_quiet_period_puts_it_off_until_it_is_over(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post(SURVEYS, json=ASKED | {"kind": "csat"})
    told = await spoken_with(admin, days=1)
    other = {"customer": "external_id:42", "survey": "how_was_it"}
    assert (await admin.post("/v1/survey-invitations", json=other)).json()["state"] == "queued"
    assert await sweep(service, days=1.1) == SurveysSwept(suppressed=1)
    held, _ = await listed(admin)
    assert held["suppressed_by"] == "quiet_period"
    assert (await follow_up(admin, told))["ask_again_invitation"] == held["id"]
    eligible = datetime.fromisoformat(held["next_eligible_at"])
    assert eligible > datetime.now(UTC) + timedelta(days=29)
    assert await sweep(service, days=20) == SurveysSwept()
    assert (await sweep(service, days=30.1)).queued == 1
    assert (await listed(admin))[0]["id"] == held["id"]
    assert (await listed(admin))[0]["state"] == "queued"
    assert (await sweep(service, days=30.2)).queued == 0


async def test_an_open_complaint_puts_it_off_until_it_is_over(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post(SURVEYS, json=AT_ONCE)
    await spoken_with(admin)
    await complain(admin, "external_id:42")
    assert await sweep(service, days=15) == SurveysSwept(suppressed=1)
    assert await sweep(service, days=15.5) == SurveysSwept()
    assert await sweep(service, days=16.1) == SurveysSwept(suppressed=1)
    await settle(admin, "external_id:42")
    assert await sweep(service, days=17.2) == SurveysSwept(released=1)
    (asked,) = await listed(admin)
    assert asked["state"] == "queued"
    assert await sweep(service, days=18.3) == SurveysSwept()


async def test_who_opted_out_is_left_in_peace_for_good(service: Service, admin: httpx.AsyncClient) -> None:
    await admin.post(SURVEYS, json=AT_ONCE)
    told = await spoken_with(admin)
    await post(admin, "external_id:42", "unsubscribed", "u1")
    assert await sweep(service, days=15) == SurveysSwept(suppressed=1)
    (left,) = await listed(admin)
    assert left["suppressed_by"] == "opt_out"
    assert (await follow_up(admin, told))["ask_again_invitation"] == left["id"]
    assert await sweep(service, days=200) == SurveysSwept()


@pytest.mark.parametrize("case", ["nobody_asked", "unknown", "ended", "too_late", "not_wanted"])
async def test_what_cannot_be_asked_again_is_let_go(
    service: Service, admin: httpx.AsyncClient, case: str
) -> None:
    await admin.post(SURVEYS, json=AT_ONCE)
    survey = {"nobody_asked": None, "unknown": "elsewhere"}.get(case, "how_was_it")
    told = await spoken_with(admin, survey, days=0 if case == "not_wanted" else 14)
    if case == "ended":
        await admin.patch(f"{SURVEYS}/how_was_it", json={"active": False})
    assert await sweep(service, days=45 if case == "too_late" else 15) == SurveysSwept()
    # It is not looked at again: a survey that begins anew asks nobody about then.
    await admin.patch(f"{SURVEYS}/how_was_it", json={"active": True})
    assert await sweep(service, days=16) == SurveysSwept()
    assert await listed(admin) == []
    now = await follow_up(admin, told)
    assert (now["ask_again_invitation"], now["version"]) == (None, told["version"])
