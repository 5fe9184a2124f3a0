"""Who did not answer is reminded once: the mailer's list of reminders, and who is not on it."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx

from app.storage.database import connect_arguments
from tests.api.conftest import Service
from tests.api.test_surveys import (
    ASKED,
    INVITATIONS,
    SURVEYS,
    complain,
    customer,
    invite,
    listed,
    post,
    problem,
    settle,
)

WAITING = "?reminder_due=true"


async def sent(admin: httpx.AsyncClient, number: int) -> dict[str, Any]:
    told = await invite(admin, await customer(admin, number))
    answer = await admin.post(f"{INVITATIONS}/{told['id']}/reports", json={"report": "sent"})
    found: dict[str, Any] = answer.json()
    return found


async def pass_days(owner_url: str, days: int) -> None:
    """As if everything had been sent so much earlier."""
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    try:
        await connection.execute(
            """
            UPDATE survey_invitations
            SET sent_at = sent_at - $1::interval, remind_at = remind_at - $1, expires_at = expires_at - $1
            """,
            timedelta(days=days),
        )
    finally:
        await connection.close()


async def ids(admin: httpx.AsyncClient) -> list[str]:
    return [one["id"] for one in await listed(admin, WAITING)]


async def test_a_reminder_is_due_after_its_days_the_longest_due_first_in_pages(
    admin: httpx.AsyncClient, owner_url: str
) -> None:
    await admin.post(SURVEYS, json=ASKED)
    told = [await sent(admin, number) for number in range(3)]
    wait = datetime.fromisoformat(told[0]["remind_at"]) - datetime.fromisoformat(told[0]["sent_at"])
    assert wait == timedelta(days=7)
    await pass_days(owner_url, 6)
    assert await ids(admin) == []
    await pass_days(owner_url, 2)
    assert await ids(admin) == [one["id"] for one in told]
    assert (await listed(admin, WAITING))[0]["link"] is not None
    assert await listed(admin, "?due=true") == []
    first = (await admin.get(f"{INVITATIONS}{WAITING}&limit=2")).json()
    rest = (await admin.get(f"{INVITATIONS}{WAITING}&limit=2&cursor={first['next_cursor']}")).json()
    assert [one["id"] for one in first["data"] + rest["data"]] == [one["id"] for one in told]
    assert rest["next_cursor"] is None


async def test_it_is_given_once_and_not_to_who_answered_or_was_not_reached(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient, owner_url: str
) -> None:
    await admin.post(SURVEYS, json=ASKED)
    told = [await sent(admin, number) for number in range(5)]
    await pass_days(owner_url, 8)
    assert len(await ids(admin)) == 5
    reminded, answered, bounced, opened, _ = told
    for one, report in ((reminded, "reminded"), (bounced, "bounced"), (opened, "opened")):
        answer = await admin.post(f"{INVITATIONS}/{one['id']}/reports", json={"report": report})
        assert answer.status_code == 200
    assert (await stranger.post(answered["link"], data={"rating": "9"})).status_code == 201
    assert await ids(admin) == [one["id"] for one in told[3:]]
    again = await admin.post(f"{INVITATIONS}/{reminded['id']}/reports", json={"report": "reminded"})
    assert problem(again) == (409, "reminded_already")
    await pass_days(owner_url, 23)
    # The link is over, and so is what would remind of it.
    assert await ids(admin) == []


async def test_it_leaves_who_complains_or_unsubscribed_in_peace(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient, owner_url: str
) -> None:
    await admin.post(SURVEYS, json=ASKED)
    told = [await sent(admin, number) for number in range(3)]
    await pass_days(owner_url, 8)
    await complain(admin, "external_id:0")
    await post(admin, "external_id:1", "unsubscribed", "u1")
    assert await ids(admin) == [told[2]["id"]]
    await settle(admin, "external_id:0")
    assert await ids(admin) == [told[0]["id"], told[2]["id"]]
    assert (await stranger.post(told[2]["unsubscribe_link"])).status_code == 200
    assert await ids(admin) == [told[0]["id"]]


async def test_a_survey_may_go_without_reminders(admin: httpx.AsyncClient, owner_url: str) -> None:
    await admin.post(SURVEYS, json=ASKED | {"limits": {"remind_after_days": None}})
    assert (await sent(admin, 1))["remind_at"] is None
    await pass_days(owner_url, 20)
    assert await ids(admin) == []


async def test_the_list_stands_alone(service: Service, admin: httpx.AsyncClient) -> None:
    for query in ("&due=true", "&state=sent", "&state=queued", "&survey=x", "&customer=external_id:1"):
        assert problem(await admin.get(INVITATIONS + WAITING + query)) == (422, "invalid_filter")
    shop = await service.client(await service.key("storefront"))
    assert problem(await shop.get(INVITATIONS + WAITING)) == (403, "scope_missing")
