"""A person leaves: nothing of them is left anywhere, whoever asks again gets the same receipt, nobody imports them."""

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.settings import Settings
from app.storage.database import driver
from app.storage.privacy.holdings import HOLDINGS
from app.storage.privacy.loyalty_holdings import LOYALTY
from app.storage.privacy.ways import Blank, Keep
from app.usecases.fresh import refresh_all
from app.usecases.privacy import erase_customer as module
from app.usecases.verify import verify
from tests.api.conftest import ADMIN_KEY, Service
from tests.api.privacy.person import CUSTOMER, EMAIL, OTHERS, PHONE, TRACES, meet, ok, traces

OF_POINTS = {one.table for one in LOYALTY} | {"merges"}
"""Tables that test_points.py fills."""
SECRET = "t1:" + "e" * 32
BOUGHT = {"kind": "purchase", "amount_minor": 100, "currency": "EUR"}


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        admin_key=SecretStr(ADMIN_KEY),
        pool_size=4,
        sweep_seconds=0,
        erasure_secrets=SecretStr(SECRET),
    )


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def erase(admin: httpx.AsyncClient, customer: str = CUSTOMER, mode: str | None = None) -> Any:
    return await ok(await admin.delete(customer, params={} if mode is None else {"mode": mode}))


async def holds(service: Service) -> None:
    """What `rapport verify` looks at agrees."""
    for result in await verify(service.app.state.database):
        assert not result.differences, (result.check.name, result.first)


async def test_the_person_fills_every_table_and_every_trace_is_found_before(
    service: Service, admin: httpx.AsyncClient, owner_url: str
) -> None:
    await meet(admin)
    assert await traces(owner_url) == list(TRACES)
    async with service.app.state.database.hot_reading() as connection:
        empty = [
            one.table
            for one in HOLDINGS
            if one.table not in OF_POINTS
            and not await connection.fetchval(f"SELECT count(*) FROM {one.table}")  # noqa: S608 - our own names
        ]
    assert set(empty) <= {
        "consents",
        "consent_log",
        "opening_states",
        "survey_periods",
        "erasures",
        "erased_identifiers",
    }


@pytest.mark.parametrize("mode", ["erase", "anonymise"])
async def test_a_dump_of_the_database_shows_no_trace(
    service: Service, admin: httpx.AsyncClient, owner_url: str, mode: str
) -> None:
    told = await meet(admin)
    receipt = await erase(admin, mode=mode)
    assert await traces(owner_url) == []
    assert (receipt["customer_id"], receipt["mode"], receipt["tombstones"]) == (told["id"], mode, 3)
    assert receipt["rows"]["customer_notes"] == 1
    assert receipt["rows"]["customer_identifiers"] == receipt["rows"]["identifier_claims"] == 3
    assert receipt["rows"]["touchpoints"] >= 8
    await holds(service)


async def test_an_erasure_leaves_no_row_but_those_that_say_so(
    service: Service, admin: httpx.AsyncClient
) -> None:
    told = await meet(admin)
    await erase(admin)
    stay = {one.table for one in HOLDINGS if isinstance(one.erase, Blank | Keep)}
    async with service.app.state.database.hot_reading() as connection:
        for one in HOLDINGS:
            if one.table not in stay:
                assert (
                    await connection.fetchval(f"SELECT count(*) FROM {one.table}") == 0  # noqa: S608 - our own names
                ), one.table
        row = await connection.fetchrow(
            "SELECT name, tags, traits::text FROM customers WHERE id = $1::text::uuid", told["id"]
        )
    assert tuple(row) == (None, [], "{}")


async def test_an_anonymised_log_keeps_what_happened(service: Service, admin: httpx.AsyncClient) -> None:
    told = await meet(admin)
    async with service.app.state.database.hot_reading() as connection:
        before = await connection.fetchval("SELECT state FROM customer_states")
        await erase(admin, mode="anonymise")
        rows = await connection.fetch(
            "SELECT kind, amount_minor, thread, properties::text FROM touchpoints ORDER BY kind, id"
        )
        assert await connection.fetchval("SELECT state FROM customer_states") == before
        ratings = await connection.fetch("SELECT kind, rating, text, source_id = id::text FROM feedback")
    kinds = [row["kind"] for row in rows]
    assert {"purchase", "refund", "csat", "complaint_opened", "complaint_resolved"} <= set(kinds)
    bought, back = (row for row in rows if row["kind"] in ("purchase", "refund"))
    assert (bought["amount_minor"], back["amount_minor"]) == (4999, 999)
    assert bought["thread"] == back["thread"]
    assert bought["thread"].startswith("order:anonymised:")
    assert [tuple(row) for row in ratings] == [("csat", 1, None, True)]
    assert problem(await admin.get(f"/v1/customers/{told['id']}")) == (409, "erased")
    listed = await ok(await admin.get("/v1/feedback"))
    assert listed["data"][0]["text"] is None
    assert (await admin.get("/v1/complaints")).status_code == 200
    assert (await admin.get("/v1/survey-invitations")).status_code == 200
    assert (await admin.get("/v1/follow-ups")).status_code == 200
    assert (await admin.get("/v1/touchpoints")).status_code == 200


async def test_asking_again_is_answered_with_the_same_receipt(admin: httpx.AsyncClient) -> None:
    told = await meet(admin)
    receipt = await erase(admin)
    for again in (f"/v1/customers/{told['id']}", CUSTOMER, f"/v1/customers/email:{EMAIL}"):
        assert await erase(admin, again) == receipt
    assert await erase(admin, mode="anonymise") == receipt
    assert receipt["id"].startswith("ers_")


async def test_two_who_erase_at_once_get_one_receipt(admin: httpx.AsyncClient) -> None:
    told = await meet(admin)
    receipts = await asyncio.gather(*[erase(admin, f"/v1/customers/{told['id']}") for _ in range(3)])
    assert receipts[0] == receipts[1] == receipts[2]


async def test_nobody_is_erased_whom_nobody_knows(admin: httpx.AsyncClient) -> None:
    assert problem(await admin.delete(CUSTOMER)) == (404, "customer_not_found")


@pytest.mark.parametrize("preset", ["storefront", "support"])
@pytest.mark.parametrize("method, path", [("DELETE", ""), ("GET", "/export")])
async def test_only_an_admin_erases_and_exports(
    service: Service, stranger: httpx.AsyncClient, preset: str, method: str, path: str
) -> None:
    client = await service.client(await service.key(preset))
    assert problem(await client.request(method, CUSTOMER + path)) == (403, "scope_missing")
    assert problem(await stranger.request(method, CUSTOMER + path)) == (401, "key_missing")


async def test_another_process_forgets_the_person_too(service: Service, admin: httpx.AsyncClient) -> None:
    await meet(admin)
    hints = dict(service.app.state.identities._hints)
    await erase(admin)
    # What another process had remembered.
    service.app.state.identities._hints.update(hints | {"crm:other": bytes(24)})
    await refresh_all(service.app.state.fresh)
    assert list(service.app.state.identities._hints) == ["crm:other"]


async def test_what_is_still_open_is_let_go_of_before_anything_goes(
    admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await meet(admin)
    seen = []

    async def release(connection: Any, customer_ids: Any, _now: Any) -> dict[str, int]:
        seen.append(await connection.fetchval("SELECT count(*) FROM customer_notes"))
        seen.append([str(one) for one in customer_ids])
        return {"holds": 2}

    monkeypatch.setattr(module, "RELEASES", (release,))
    receipt = await erase(admin)
    assert seen == [1, [told["id"]]]
    assert receipt["rows"]["holds"] == 2


# --- nobody comes back by accident ------------------------------------------------------------------------------------


async def test_whatever_names_an_erased_identifier_is_refused(
    service: Service, admin: httpx.AsyncClient, owner_url: str
) -> None:
    told = await meet(admin)
    identities = service.app.state.identities
    assert identities._hints
    await erase(admin)
    assert not identities._hints
    name = {"email": EMAIL.upper(), "external_id": "new-1"}
    for path, body in (
        ("/v1/touchpoints", BOUGHT | {"customer": {"phone": PHONE}}),
        ("/v1/touchpoints", BOUGHT | {"customer": told["id"]}),
        ("/v1/customers", {"identifiers": name}),
        ("/v1/complaints", {"customer": name, "subject": "Late"}),
    ):
        assert problem(await admin.post(path, json=body)) == (409, "erased"), path
    for path, body in (
        ("/v1/feedback", {"customer": name, "kind": "nps", "rating": 9}),
        ("/v1/survey-invitations", {"customer": name, "survey": "how_was_it"}),
    ):
        assert problem(await admin.post(path, json=body)) == (410, "erased"), path
    batch = {"touchpoints": [BOUGHT | {"customer": OTHERS}, BOUGHT | {"customer": {"external_id": "new-2"}}]}
    results = (await ok(await admin.post("/v1/touchpoints/batch", json=batch)))["results"]
    assert [one["status"] for one in results] == ["rejected", "stored"]
    assert results[0]["problem"]["code"] == "erased"
    added = await admin.post(
        "/v1/customers/external_id:new-2/identifiers", json={"type": "email", "value": EMAIL}
    )
    assert problem(added) == (409, "erased")
    order = {
        "customer": name,
        "status": "paid",
        "version": 1,
        "placed_at": "2026-11-20T10:15:00Z",
        "currency": "EUR",
    }
    sent = await admin.put("/v1/orders/A-77", json=order | {"lines": [{"line_id": "1", "net_minor": 100}]})
    assert problem(sent) == (409, "erased")
    # To read is to find nobody.
    assert problem(await admin.get(CUSTOMER)) == (404, "customer_not_found")
    assert problem(await admin.get(f"/v1/customers/{told['id']}/context")) == (409, "erased")
    assert await traces(owner_url) == []


async def test_nobody_comes_back_as_a_friend_or_with_a_code(admin: httpx.AsyncClient) -> None:
    club = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "UTC"}
    steps: list[tuple[str, dict[str, str]]] = [
        ("", club),
        ("/main/versions", {}),
        ("/main/versions/1/publish", {}),
    ]
    for path, body in steps:
        await ok(await admin.post(f"/v1/loyalty/programs{path}", json=body))
    await ok(await admin.post("/v1/customers", json={"identifiers": {"external_id": "ben"}}))
    code = (await ok(await admin.post("/v1/referrals/codes", json={"customer": "external_id:ben"})))["code"]
    await meet(admin)
    await erase(admin)
    name = {"email": EMAIL}
    for path, said in (
        ("/v1/referrals/codes", {"customer": name}),
        ("/v1/referrals", {"code": code, "referee": name}),
    ):
        assert problem(await admin.post(path, json=said)) == (409, "erased"), path


async def test_links_of_mails_end_with_the_person(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    told = await meet(admin)
    await ok(
        await admin.post(f"/v1/survey-invitations/{told['invitation']}/reports", json={"report": "sent"})
    )
    assert (await stranger.get(told["link"])).status_code == 200
    await erase(admin)
    assert (await stranger.get(told["link"])).status_code == 410
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await stranger.post(told["link"], content="rating=9", headers=form)).status_code == 410


async def test_an_answer_that_was_kept_for_a_retry_goes_too(admin: httpx.AsyncClient) -> None:
    await meet(admin)
    await erase(admin)
    again = await admin.post(
        f"{CUSTOMER}/notes", json={"text": "Likes marzipan"}, headers={"Idempotency-Key": "note-1"}
    )
    assert problem(again) == (404, "customer_not_found")


async def test_a_household_forgets_the_one_who_left(admin: httpx.AsyncClient) -> None:
    await meet(admin)
    who = {"identifiers": {"external_id": "9", "email": "nine@example.com"}}
    await ok(await admin.post("/v1/customers", json=who | {"traits": {"household": "Hauptstrasse 7"}}))
    body = {"customer": "external_id:9", "survey": "how_was_it", "about": "turquoise-order"}
    assert (await ok(await admin.post("/v1/survey-invitations", json=body)))["state"] == "suppressed"
    await erase(admin)
    asked = await ok(await admin.post("/v1/survey-invitations", json=body))
    assert asked["state"] == "queued", asked


async def test_who_was_merged_into_the_person_leaves_too(
    service: Service, admin: httpx.AsyncClient, owner_url: str
) -> None:
    told = await meet(admin)
    other = await ok(
        await admin.post("/v1/customers", json={"identifiers": {"external_id": "2"}, "name": "Old Zoraida"})
    )
    async with service.app.state.database.transaction() as session:
        await (await driver(session)).execute(
            "UPDATE customer_states SET merged_into = $1::text::uuid WHERE customer_id = $2::text::uuid",
            told["id"],
            other["id"],
        )
    receipt = await erase(admin, f"/v1/customers/{other['id']}")
    assert (receipt["customer_id"], receipt["aliases"]) == (told["id"], [other["id"]])
    assert receipt["tombstones"] == 4
    assert await traces(owner_url) == []
    assert await erase(admin, f"/v1/customers/{other['id']}") == receipt
    assert await erase(admin, "/v1/customers/external_id:2") == receipt
