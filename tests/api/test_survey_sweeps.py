"""What the worker asks: after an occasion, again and again, after a complaint, and once."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx

from app.usecases.surveys.sweep_surveys import SurveysSwept
from tests.api.conftest import Service
from tests.api.test_surveys import (
    AFTER_DELIVERY,
    ASKED,
    INVITATIONS,
    SURVEYS,
    complain,
    customer,
    invite,
    listed,
    post,
    settle,
    sweep,
)


async def test_a_delivery_has_its_survey_asked_a_week_later_and_once(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post(SURVEYS, json=AFTER_DELIVERY)
    who = await customer(admin)
    await post(admin, who, "delivered", "d1", order_id="A-1")
    assert await sweep(service) == SurveysSwept(queued=1)
    assert await sweep(service) == SurveysSwept()
    (told,) = await listed(admin)
    assert (told["state"], told["about"]) == ("queued", {"order_id": "A-1"})
    assert await listed(admin, "?due=true") == []
    assert await sweep(service, days=7.1) == SurveysSwept()
    # Decided once more when due; a complaint since then holds it back.
    assert (await listed(admin))[0]["send_at"] > told["send_at"]


async def test_contacts_and_purchases_set_off_their_surveys_and_old_ones_do_not(
    service: Service, admin: httpx.AsyncClient
) -> None:
    quiet = {"quiet_days": 0, "quiet_nps_days": 0}
    for on in ("contact_resolved", "purchase"):
        await admin.post(SURVEYS, json=ASKED | {"code": on, "trigger": {"on": on}, "limits": quiet})
    who = await customer(admin)
    money = {"amount_minor": 100, "currency": "EUR"}
    old = (datetime.now(UTC) - timedelta(days=60)).isoformat()
    await post(admin, who, "purchase", "p0", occurred_at=old, **money)
    await post(admin, who, "support_resolved", "s1")
    await post(admin, who, "purchase", "p1", order_id="A-7", **money)
    assert await sweep(service, log_page=1) == SurveysSwept(queued=2)
    assert sorted(one["survey"] for one in await listed(admin, "?due=true")) == [
        "contact_resolved",
        "purchase",
    ]


async def test_a_survey_asks_only_about_what_arrives_after_it(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await post(admin, await customer(admin), "delivered", "d1")
    await admin.post(SURVEYS, json=AFTER_DELIVERY)
    assert await sweep(service) == SurveysSwept()


async def test_any_number_of_sweeps_at_once_invite_once(service: Service, admin: httpx.AsyncClient) -> None:
    await admin.post(SURVEYS, json=AFTER_DELIVERY)
    for number in range(10):
        await post(admin, await customer(admin, number), "delivered", "d1")
    swept = await asyncio.gather(*[sweep(service, page=3, log_page=3) for _ in range(4)])
    assert sum(one.queued for one in swept) == 10
    assert len(await listed(admin)) == 10


async def test_what_a_complaint_held_back_is_asked_after_it(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post(SURVEYS, json=AFTER_DELIVERY)
    who = await customer(admin)
    await post(admin, who, "delivered", "d1")
    await sweep(service)
    await complain(admin, who)
    assert await sweep(service, days=7.1) == SurveysSwept(suppressed=1)
    (held,) = await listed(admin)
    assert (held["suppressed_by"], held["next_eligible_at"]) == ("open_complaint", None)
    assert await sweep(service, days=7.2) == SurveysSwept()
    await settle(admin, who)
    assert await sweep(service, days=8) == SurveysSwept(released=1)
    (released,) = await listed(admin)
    assert (released["id"], released["state"]) == (held["id"], "queued")
    assert await sweep(service, days=8.1) == SurveysSwept()


async def test_a_periodic_survey_comes_again_on_the_customers_own_days(
    service: Service, admin: httpx.AsyncClient
) -> None:
    who = await customer(admin)
    old = (datetime.now(UTC) - timedelta(days=100)).isoformat()
    money = {"amount_minor": 100, "currency": "EUR"}
    await post(admin, who, "purchase", "p0", occurred_at=old, **money)
    trigger = {"on": "periodic", "after_days": 10, "every_days": 120}
    await admin.post(SURVEYS, json=ASKED | {"trigger": trigger})
    new = await customer(admin, 43)
    await post(admin, new, "purchase", "p1", **money)
    # Bought 100 days ago, so first asked 130 days after: in 30 days. The new one in 10.
    assert await sweep(service) == SurveysSwept()
    assert await sweep(service, days=9) == SurveysSwept()
    assert (await sweep(service, days=11)).queued == 1
    assert (await sweep(service, days=29)).queued == 0
    assert (await sweep(service, days=31)).queued == 1
    later = await sweep(service, days=132)
    assert (later.queued, later.expired) == (1, 2)


async def test_an_ended_survey_takes_back_what_waits_and_what_is_too_late_expires(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await admin.post(SURVEYS, json=AFTER_DELIVERY)
    await admin.post(SURVEYS, json=ASKED)
    await post(admin, await customer(admin), "delivered", "d1")
    other = await invite(admin, await customer(admin, 43))
    await sweep(service)
    await admin.patch(f"{SURVEYS}/after_delivery", json={"active": False})
    assert await sweep(service, days=8) == SurveysSwept(cancelled=1)
    assert await sweep(service, days=31) == SurveysSwept(expired=1)
    assert (await admin.get(f"{INVITATIONS}/{other['id']}")).json()["state"] == "expired"
