"""Consent by purpose and channel, which is one thing with `unsubscribed` and with the page behind the link."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.privacy.person import ok
from tests.api.test_surveys import ASKED, INVITATIONS, SURVEYS, customer, invite, post

CONSENT = "/v1/customers/external_id:42/consent"
NO = {"purpose": "any", "state": "withdrawn", "source": "phone"}


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def surveys(state: str, channel: str = "email", **members: Any) -> dict[str, Any]:
    return {"purpose": "surveys", "channel": channel, "state": state} | members


async def say(admin: httpx.AsyncClient, *said: dict[str, Any]) -> Any:
    return await ok(await admin.put(CONSENT, json={"consents": said}))


async def suppressed_by(admin: httpx.AsyncClient, about: str) -> str | None:
    told = await invite(admin, "external_id:42", about=about)
    reason: str | None = told["suppressed_by"]
    return reason


@pytest.fixture
async def asked(admin: httpx.AsyncClient) -> dict[str, Any]:
    """A customer with an invitation that waits."""
    await ok(
        await admin.post(
            SURVEYS, json=ASKED | {"limits": {"quiet_days": 0, "quiet_nps_days": 0, "most_per_year": 50}}
        )
    )
    told: dict[str, Any] = await invite(admin, await customer(admin), about="order-1")
    assert told["state"] == "queued"
    return told


async def state_of(admin: httpx.AsyncClient, invitation: dict[str, Any]) -> str:
    listed = await ok(await admin.get(INVITATIONS))
    return str(next(one["state"] for one in listed["data"] if one["id"] == invitation["id"]))


async def test_what_was_said_is_shown_with_its_history(admin: httpx.AsyncClient) -> None:
    await customer(admin)
    empty = await ok(await admin.get(CONSENT))
    assert (empty["consents"], empty["history"], empty["opted_out_since"]) == ([], [], None)
    expires = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    told = await say(admin, surveys("granted", legal_basis="consent", source="form 7", expires_at=expires))
    (one,) = told["consents"]
    assert (one["state"], one["allowed"], one["legal_basis"], one["source"]) == (
        "granted",
        True,
        "consent",
        "form 7",
    )
    told = await say(admin, surveys("withdrawn"))
    assert (told["consents"][0]["state"], told["consents"][0]["allowed"]) == ("withdrawn", False)
    assert [one["state"] for one in told["history"]] == ["withdrawn", "granted"]
    assert await ok(await admin.get(CONSENT)) == told
    assert [one["state"] for one in (await ok(await admin.get(f"{CONSENT}?limit=1")))["history"]] == [
        "withdrawn"
    ]


async def test_the_same_again_writes_nothing(admin: httpx.AsyncClient) -> None:
    await customer(admin)
    said = [surveys("granted"), surveys("withdrawn", "sms"), NO]
    first = await say(admin, *said)
    assert len(first["history"]) == 3
    # The last word was no to everything: what is granted once more is said anew.
    again = await say(admin, surveys("granted"))
    assert len(again["history"]) == 4
    assert await say(admin, surveys("granted")) == again
    earlier = surveys("withdrawn", stated_at="2020-01-01T00:00:00Z")
    late = await say(admin, earlier)
    assert len(late["history"]) == 5
    # It was said before what stands.
    assert late["consents"] == again["consents"]
    assert await say(admin, earlier) == late


async def test_a_no_to_surveys_cancels_what_waits_and_holds_back_what_comes(
    admin: httpx.AsyncClient, asked: dict[str, Any]
) -> None:
    await say(admin, surveys("withdrawn", "sms"))
    assert await state_of(admin, asked) == "queued"
    await say(admin, surveys("withdrawn"))
    assert await state_of(admin, asked) == "cancelled"
    assert await suppressed_by(admin, "order-2") == "opt_out"
    await say(admin, {"purpose": "any", "state": "granted"})
    assert await suppressed_by(admin, "order-3") is None


async def test_a_yes_that_ended_is_a_no(
    service: Service, admin: httpx.AsyncClient, asked: dict[str, Any]
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    await say(admin, surveys("granted", expires_at=soon))
    assert await state_of(admin, asked) == "queued"
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    told = await say(
        admin, surveys("granted", stated_at="2026-01-01T00:00:00Z", expires_at=past, source="older")
    )
    assert told["consents"][0]["allowed"]
    # As if the grant had been given and had ended meanwhile.
    async with service.app.state.database.hot_transaction() as connection:
        await connection.execute("UPDATE consents SET expires_at = now() - interval '1 second'")
    due = await ok(await admin.get(f"{INVITATIONS}?due=true"))
    assert due["data"] == []
    assert await suppressed_by(admin, "order-2") == "opt_out"
    assert not (await ok(await admin.get(CONSENT)))["consents"][0]["allowed"]


async def test_no_to_everything_is_the_same_as_to_unsubscribe(
    admin: httpx.AsyncClient, asked: dict[str, Any]
) -> None:
    told = await say(admin, NO)
    assert told["consents"] == []
    (said,) = told["history"]
    assert (said["purpose"], said["state"], said["source"]) == ("any", "withdrawn", "rapport")
    assert said["touchpoint_id"].startswith("unsubscribed:consent:")
    assert told["opted_out_since"] == told["unsubscribed_at"] == said["stated_at"]
    assert await state_of(admin, asked) == "cancelled"
    timeline = await ok(await admin.get("/v1/customers/external_id:42/timeline"))
    assert timeline["data"][0]["kind"] == "unsubscribed"
    context = await ok(await admin.get("/v1/customers/external_id:42/context"))
    assert "opted_out" in context["health"]["red_flags"]
    assert context["consent"] == {"opted_out_since": told["opted_out_since"], "consents": []}
    assert await say(admin, NO) == told
    yes = await say(admin, surveys("granted", "any"))
    assert (yes["opted_out_since"], yes["consents"][0]["allowed"]) == (None, True)
    assert "opted_out" not in (await ok(await admin.get("/v1/customers/external_id:42/health")))["red_flags"]
    assert len((await say(admin, NO))["history"]) == 3


async def test_what_a_storefront_posts_and_what_the_page_does_show_in_the_consent(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient, asked: dict[str, Any]
) -> None:
    await post(admin, "external_id:42", "unsubscribed", "u-1")
    told = await ok(await admin.get(CONSENT))
    assert (told["history"][0]["touchpoint_id"], told["opted_out_since"] is None) == ("u-1", False)
    assert await suppressed_by(admin, "order-2") == "opt_out"
    await ok(await admin.delete("/v1/touchpoints/u-1?customer=external_id:42"))
    assert (await ok(await admin.get(CONSENT)))["history"] == []
    assert await suppressed_by(admin, "order-3") is None
    assert (await stranger.post(asked["unsubscribe_link"])).status_code == 200
    (said,) = (await ok(await admin.get(CONSENT)))["history"]
    assert said["touchpoint_id"].startswith("unsubscribed:inv_")
    # A yes is heard, and so is the next no.
    await say(admin, surveys("granted", "any"))
    assert (await ok(await admin.get(CONSENT)))["opted_out_since"] is None
    assert (await stranger.post(asked["unsubscribe_link"])).status_code == 200
    assert (await ok(await admin.get(CONSENT)))["opted_out_since"] is not None


async def test_the_context_shows_what_was_agreed_to(admin: httpx.AsyncClient) -> None:
    await customer(admin)
    context = "/v1/customers/external_id:42/context"
    first = await admin.get(context)
    assert first.json()["consent"] is None
    told = await say(admin, surveys("granted"))
    second = await admin.get(context)
    assert second.json()["consent"] == {"opted_out_since": None, "consents": told["consents"]}
    assert first.headers["etag"] != second.headers["etag"]


@pytest.mark.parametrize(
    "said, code",
    [
        (surveys("granted", stated_at="2999-01-01T00:00:00Z"), "in_the_future"),
        (surveys("granted", stated_at="1969-12-31T00:00:00Z"), "before_1970"),
        (surveys("withdrawn", expires_at="2999-01-01T00:00:00Z"), "expiry_not_allowed"),
        (surveys("granted", expires_at="2001-01-01T00:00:00Z"), "already_expired"),
        (surveys("granted", "E mail"), "invalid_word"),
        (surveys("perhaps"), "validation_failed"),
        (surveys("granted", legal_basis="because"), "validation_failed"),
        (surveys("granted", stated_at="2026-01-01T00:00:00"), "naive_time"),
    ],
)
async def test_what_cannot_be_said(admin: httpx.AsyncClient, said: dict[str, Any], code: str) -> None:
    await customer(admin)
    assert problem(await admin.put(CONSENT, json={"consents": [said]})) == (422, code)
    assert (await ok(await admin.get(CONSENT)))["history"] == []


async def test_a_customer_speaks_of_so_many_things_at_most(admin: httpx.AsyncClient) -> None:
    await customer(admin)
    for start in range(0, 200, 50):
        await say(admin, *[surveys("granted", f"c{start + number}") for number in range(50)])
    more = await admin.put(CONSENT, json={"consents": [surveys("granted", "one_more")]})
    assert problem(more) == (409, "too_many_consents")


async def test_nothing_is_written_over_what_was_said_since(admin: httpx.AsyncClient) -> None:
    await customer(admin)
    seen = (await admin.get(CONSENT)).headers["etag"]
    body = {"consents": [surveys("granted")]}
    first = await admin.put(CONSENT, json=body, headers={"If-Match": seen})
    assert first.status_code == 200
    assert problem(await admin.put(CONSENT, json=body, headers={"If-Match": seen})) == (412, "stale")
    again = await admin.put(CONSENT, json=body, headers={"If-Match": first.headers["etag"]})
    assert again.headers["etag"] == first.headers["etag"]


async def test_of_nobody_nothing_is_known(admin: httpx.AsyncClient) -> None:
    assert problem(await admin.get(CONSENT)) == (404, "customer_not_found")
    assert problem(await admin.put(CONSENT, json={"consents": [NO]})) == (404, "customer_not_found")


async def test_a_support_key_reads_and_does_not_write(service: Service) -> None:
    agent = await service.client(await service.key("support"))
    assert problem(await agent.get(CONSENT)) == (404, "customer_not_found")
    assert problem(await agent.put(CONSENT, json={"consents": [NO]})) == (403, "scope_missing")
    narrow = await service.client(await service.key("storefront", scopes=["events:write"]))
    assert problem(await narrow.get(CONSENT)) == (403, "scope_missing")
