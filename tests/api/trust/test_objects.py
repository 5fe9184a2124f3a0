"""Ids of points, invitations, follow-ups and merges carry their customer: turned to another one they lead nowhere."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.domain.ids import opaque_id, parse_opaque_id
from tests.api.privacy.person import ok

ADA, BOB = "external_id:ada", "external_id:bob"
CLUB = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "UTC"}
SURVEY = {"code": "nps", "kind": "nps", "question": "How likely are you to recommend us?", "channel": "email"}


@pytest.fixture
async def bob(admin: httpx.AsyncClient) -> UUID:
    """The UUID of somebody else, beside Ada who has something of everything."""
    for path, body in (("", CLUB), ("/main/versions", {}), ("/main/versions/1/publish", {})):
        await ok(await admin.post(f"/v1/loyalty/programs{path}", json=body))
    await ok(await admin.post("/v1/surveys", json=SURVEY))
    names = {"external_id": "ada", "email": "ada@shop.example"}
    await ok(await admin.post("/v1/customers", json={"identifiers": names}))
    made = await ok(await admin.post("/v1/customers", json={"identifiers": {"external_id": "bob"}}))
    points = {"id": "a-1", "customer": ADA, "points": 100, "reason_code": "other", "note": "fair"}
    await ok(await admin.post("/v1/loyalty/adjustments", json=points))
    return UUID(made["id"])


async def held(admin: httpx.AsyncClient) -> str:
    hold = {"id": "h-1", "customer": ADA, "points": 10}
    return str((await ok(await admin.post("/v1/loyalty/holds", json=hold)))["hold_id"])


async def redeemed(admin: httpx.AsyncClient) -> str:
    capture = f"/v1/loyalty/holds/{await held(admin)}/capture"
    return str((await ok(await admin.post(capture, json={"points": 10})))["redemption_id"])


async def invited(admin: httpx.AsyncClient) -> str:
    asked = {"customer": ADA, "survey": "nps"}
    return str((await ok(await admin.post("/v1/survey-invitations", json=asked)))["id"])


async def followed_up(admin: httpx.AsyncClient) -> str:
    await ok(await admin.post("/v1/feedback", json={"customer": ADA, "kind": "nps", "rating": 0}))
    return str((await ok(await admin.get("/v1/follow-ups")))["data"][0]["id"])


async def merged(admin: httpx.AsyncClient) -> str:
    await ok(await admin.post("/v1/customers", json={"identifiers": {"external_id": "eve"}}))
    said = {"from": "external_id:eve", "reason": "The same"}
    return str((await ok(await admin.post(f"/v1/customers/{ADA}/merge", json=said)))["merge_id"])


# How Ada comes by one, and every way to speak of it.
REFUND: dict[str, Any] = {"id": "r-1", "points": 1, "reason": "returned"}
OBJECTS: dict[str, tuple[Any, list[tuple[str, str, Any]]]] = {
    "hold": (
        held,
        [
            ("GET", "/v1/loyalty/holds/{}", None),
            ("POST", "/v1/loyalty/holds/{}/capture", {"points": 1}),
            ("POST", "/v1/loyalty/holds/{}/release", None),
        ],
    ),
    "redemption": (redeemed, [("POST", "/v1/loyalty/redemptions/{}/refund", REFUND)]),
    "invitation": (invited, [("GET", "/v1/survey-invitations/{}", None)]),
    "follow-up": (
        followed_up,
        [("GET", "/v1/follow-ups/{}", None), ("PATCH", "/v1/follow-ups/{}", {"owner": "mallory"})],
    ),
    "merge": (merged, [("GET", "/v1/merges/{}", None), ("POST", "/v1/merges/{}/undo", None)]),
}


@pytest.mark.parametrize("what", OBJECTS)
async def test_what_is_adas_is_not_reached_through_bob(
    admin: httpx.AsyncClient, bob: UUID, what: str
) -> None:
    make, ways = OBJECTS[what]
    whole = await make(admin)
    prefix = whole.rpartition("_")[0]
    ids = parse_opaque_id(prefix, whole)
    assert ids is not None
    forged = opaque_id(prefix, bob, ids[1])
    for method, path, body in ways:
        answer = await admin.request(method, path.format(forged), json=body)
        assert answer.status_code == 404, (method, path, answer.text)
    # With her own id each of them is answered, in this order.
    for method, path, body in ways:
        answer = await admin.request(method, path.format(whole), json=body)
        assert answer.status_code != 404, (method, path, answer.text)
