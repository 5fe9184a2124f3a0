"""POST, GET and PATCH of answers, over real HTTP shapes and a real database."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.storage.database import Database
from tests.api.conftest import Service

NOW = datetime.now(UTC)
FURIOUS = "Terrible service, they charged me twice and never replied. I am furious."


def answer(**members: Any) -> dict[str, Any]:
    return {"customer": "external_id:42", "kind": "nps", "rating": 9} | members


async def post(client: httpx.AsyncClient, status: int = 201, **members: Any) -> dict[str, Any]:
    answered = await client.post("/v1/feedback", json=answer(**members))
    assert answered.status_code == status, answered.text
    told: dict[str, Any] = answered.json()
    return told


def problem(answered: httpx.Response) -> tuple[int, str]:
    assert answered.headers["content-type"] == "application/problem+json", answered.text
    return answered.status_code, answered.json()["code"]


async def timeline(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await client.get("/v1/customers/external_id:42/timeline")).json()["data"]
    return rows


async def age(service: Service, hours: float) -> None:
    """As if every answer had come in so long ago."""
    database: Database = service.app.state.database
    async with database.hot_transaction() as connection:
        await connection.execute(
            "UPDATE feedback SET received_at = received_at - make_interval(secs => $1)", hours * 3600
        )


# --- posting ----------------------------------------------------------------------------------------------------------


async def test_an_answer_is_told_with_its_sentiment_health_and_follow_up(admin: httpx.AsyncClient) -> None:
    told = await post(
        admin,
        rating=2,
        text=FURIOUS,
        source_id="resp-1",
        attributed_to="ben",
        about={"order_id": "A-1"},
        channel="email",
    )
    assert told["id"].startswith("fb_")
    assert (told["group"], told["sentiment"]["label"], told["mixed"]) == ("detractor", "negative", False)
    assert told["sentiment"]["evidence"]
    assert told["health"]["delta"] < 0
    assert told["health"]["before"] is None
    assert (told["follow_up"]["state"], told["follow_up"]["reason"]) == ("open", "low_answer")
    assert not told["duplicate"]
    (row,) = await timeline(admin)
    assert (row["kind"], row["source"], row["order_id"]) == ("nps", "rapport", "A-1")
    assert row["id"] == f"feedback:{told['id']}"
    assert row["health_delta"] == told["health"]["delta"]
    context = (await admin.get("/v1/customers/external_id:42/context")).json()
    assert context["feedback"]["latest_nps"]["rating"] == 2


async def test_a_comment_is_words_alone_and_a_line_of_the_log_without_effect(
    admin: httpx.AsyncClient,
) -> None:
    told = await post(admin, kind="comment", rating=None, text=FURIOUS)
    assert (told["rating"], told["scale"], told["group"]) == (None, None, None)
    assert told["follow_up"]["reason"] == "negative_text"
    assert (told["health"]["score"], told["health"]["delta"]) == (None, 0)
    assert [row["kind"] for row in await timeline(admin)] == ["comment"]


async def test_five_stars_with_a_furious_text_are_mixed_and_followed_up(admin: httpx.AsyncClient) -> None:
    told = await post(admin, kind="review", rating=5, text=FURIOUS, public=True)
    assert (told["mixed"], told["public"], told["follow_up"]["reason"]) == (True, True, "mixed")


async def test_german_words_are_not_read_as_english(admin: httpx.AsyncClient) -> None:
    told = await post(
        admin, kind="comment", rating=None, text="Die Lieferung war leider viel zu spät, schade."
    )
    assert (told["sentiment"]["label"], told["sentiment"]["doubt"]) == ("unknown", "language")
    assert told["follow_up"] is None


async def test_the_same_source_id_answers_the_first_answer_for_ever(admin: httpx.AsyncClient) -> None:
    first = await post(admin, rating=3, source_id="r-1")
    await post(admin, rating=10, source_id="r-2")
    again = await post(admin, 200, rating=3, source_id="r-1")
    assert again == first | {"duplicate": True}
    answered = await admin.post("/v1/feedback", json=answer(rating=4, source_id="r-1"))
    assert problem(answered) == (409, "id_reused")
    assert len(await timeline(admin)) == 2


async def test_a_retry_after_an_edit_is_told_what_was_told_first(admin: httpx.AsyncClient) -> None:
    first = await post(admin, rating=3, text="Bad.", source_id="r-1")
    await admin.patch(f"/v1/feedback/{first['id']}", json={"rating": 9, "text": None})
    again = await post(admin, 200, rating=3, text="Bad.", source_id="r-1")
    assert (again["health"], again["sentiment"]) == (first["health"], first["sentiment"])
    assert (again["rating"], again["revision"]) == (9, 2)


async def test_the_same_source_id_of_another_customer_or_source_is_another_answer(
    service: Service, admin: httpx.AsyncClient
) -> None:
    first = await post(admin, source_id="r-1")
    other = await post(admin, source_id="r-1", customer="external_id:43")
    desk = await post(await service.client(await service.key("support")), source_id="r-1")
    named = await post(admin, source_id="r-1", source="shop-eu")
    assert len({one["id"] for one in (first, other, desk, named)}) == 4
    assert (desk["source"], named["source"]) == ("shop-test", "shop-eu")


async def test_an_idempotency_key_answers_without_a_source_id(admin: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await admin.post("/v1/feedback", json=answer(), headers=headers)
    again = await admin.post("/v1/feedback", json=answer(), headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    other = await admin.post("/v1/feedback", json=answer(rating=8), headers=headers)
    assert problem(other) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    "members, expected",
    [
        ({"rating": 6.5}, (422, "invalid_rating")),
        ({"rating": 11}, (422, "invalid_rating")),
        ({"rating": -1}, (422, "invalid_rating")),
        ({"rating": "9"}, (422, "validation_failed")),
        ({"rating": True}, (422, "validation_failed")),
        ({"rating": None}, (422, "property_required")),
        ({"kind": "csat", "rating": 0}, (422, "invalid_rating")),
        ({"kind": "csat", "rating": 7, "scale": {"max": 7, "direction": "up"}}, (422, "validation_failed")),
        ({"kind": "nps", "scale": {"max": 7}}, (422, "invalid_scale")),
        ({"kind": "comment", "rating": None}, (422, "property_required")),
        ({"kind": "comment", "text": "x"}, (422, "invalid_rating")),
        ({"public": True}, (422, "not_a_review")),
        ({"kind": "stars"}, (422, "validation_failed")),
        ({"occurred_at": (NOW + timedelta(hours=1)).isoformat()}, (422, "in_the_future")),
        ({"occurred_at": "2026-11-20T10:15:00"}, (422, "naive_time")),
        ({"customer": "nonsense"}, (422, "invalid_reference")),
        ({"customer": "01935d5e-7c00-7000-8000-000000000009"}, (404, "customer_not_found")),
        ({"surprise": 1}, (422, "validation_failed")),
    ],
)
async def test_what_cannot_be_an_answer_is_refused_and_leaves_nothing(
    admin: httpx.AsyncClient, members: dict[str, Any], expected: tuple[int, str]
) -> None:
    answered = await admin.post("/v1/feedback", json=answer(**members))
    assert problem(answered) == expected
    assert (await admin.get("/v1/feedback")).json()["data"] == []
    assert (await admin.get("/v1/touchpoints")).json()["data"] == []


async def test_another_source_needs_admin(service: Service) -> None:
    desk = await service.client(await service.key("support"))
    answered = await desk.post("/v1/feedback", json=answer(source="shop-eu"))
    assert problem(answered) == (403, "scope_missing")


async def test_an_old_answer_of_an_import_opens_no_follow_up(admin: httpx.AsyncClient) -> None:
    told = await post(admin, rating=0, occurred_at=(NOW - timedelta(days=31)).isoformat())
    assert told["follow_up"] is None


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_answers_are_listed_newest_first_and_narrowed(admin: httpx.AsyncClient) -> None:
    ids = [
        (await post(admin, rating=rating, customer=f"external_id:{rating % 2}"))["id"] for rating in range(5)
    ]
    await post(admin, kind="csat", rating=1, survey="after_delivery", attributed_to="ben")
    first = (await admin.get("/v1/feedback", params={"kind": "nps", "limit": 3})).json()
    rest = (await admin.get("/v1/feedback", params={"kind": "nps", "cursor": first["next_cursor"]})).json()
    assert [row["id"] for row in first["data"] + rest["data"]] == ids[::-1]
    assert rest["next_cursor"] is None
    for query, count in (
        ({"customer": "external_id:1"}, 2),
        ({"survey": "after_delivery"}, 1),
        ({"attributed_to": "ben"}, 1),
        ({"since": (NOW + timedelta(days=1)).isoformat()}, 0),
        ({"until": (NOW + timedelta(days=1)).isoformat()}, 6),
    ):
        rows = (await admin.get("/v1/feedback", params=query)).json()["data"]
        assert len(rows) == count, query


async def test_one_answer_is_read_with_its_etag(admin: httpx.AsyncClient) -> None:
    told = await post(admin, rating=2)
    answered = await admin.get(f"/v1/feedback/{told['id']}")
    assert answered.headers["etag"] == '"1"'
    assert answered.json() | {"duplicate": False} == told


@pytest.mark.parametrize("id", ["nonsense", "fb_" + "0" * 43, "fu_" + "0" * 43])
async def test_what_is_no_answer_is_not_found(admin: httpx.AsyncClient, id: str) -> None:  # noqa: A002 - as on the wire
    assert problem(await admin.get(f"/v1/feedback/{id}")) == (404, "feedback_not_found")
    changed = await admin.patch(f"/v1/feedback/{id}", json={"rating": 1})
    assert changed.status_code == 404


# --- the edit window --------------------------------------------------------------------------------------------------


async def test_an_edit_voids_the_old_touchpoint_and_writes_the_new_revision(admin: httpx.AsyncClient) -> None:
    alone = (await post(admin, rating=9, customer="external_id:twin"))["health"]
    told = await post(admin, rating=1)
    answered = await admin.patch(f"/v1/feedback/{told['id']}", json={"rating": 9})
    assert answered.status_code == 200, answered.text
    changed = answered.json()
    assert (changed["rating"], changed["revision"], answered.headers["etag"]) == (9, 2, '"2"')
    # Health is as if the first rating had never been; the delta is the way from there to here.
    assert changed["health"]["score"] == alone["score"]
    assert changed["health"]["before"] == told["health"]["score"]
    assert changed["health"]["delta"] == alone["score"] - told["health"]["score"]
    (row,) = await timeline(admin)
    assert row["id"] == f"feedback:{told['id']}:2"
    log = (await admin.get("/v1/touchpoints", params={"kind": "nps"})).json()["data"]
    assert len(log) == 3
    # Nobody had taken the follow-up on: its cause is gone, and so is it.
    assert (changed["follow_up"]["state"], changed["follow_up"]["outcome"]) == ("closed", "answer_changed")


async def test_an_edit_can_open_a_follow_up(admin: httpx.AsyncClient) -> None:
    told = await post(admin, rating=9)
    changed = (await admin.patch(f"/v1/feedback/{told['id']}", json={"text": FURIOUS})).json()
    assert (changed["mixed"], changed["follow_up"]["reason"]) == (True, "mixed")


async def test_an_edit_that_changes_nothing_writes_nothing(admin: httpx.AsyncClient) -> None:
    told = await post(admin, rating=9, text="Fine, thank you.")
    changed = (await admin.patch(f"/v1/feedback/{told['id']}", json={"rating": 9})).json()
    assert changed["revision"] == 1
    assert len((await admin.get("/v1/touchpoints")).json()["data"]) == 1


async def test_after_24_hours_an_answer_stands(service: Service, admin: httpx.AsyncClient) -> None:
    told = await post(admin)
    await age(service, 23.9)
    assert (await admin.patch(f"/v1/feedback/{told['id']}", json={"rating": 5})).status_code == 200
    await age(service, 0.2)
    refused = await admin.patch(f"/v1/feedback/{told['id']}", json={"rating": 4})
    assert problem(refused) == (409, "answer_final")


async def test_an_edit_of_an_old_version_is_refused(admin: httpx.AsyncClient) -> None:
    told = await post(admin)
    url = f"/v1/feedback/{told['id']}"
    assert (await admin.patch(url, json={"rating": 5}, headers={"If-Match": '"1"'})).status_code == 200
    assert problem(await admin.patch(url, json={"rating": 6}, headers={"If-Match": '"1"'})) == (412, "stale")


@pytest.mark.parametrize("members", [{"rating": 6.5}, {"rating": 11}, {"rating": None}, {"public": True}])
async def test_an_edit_obeys_the_rules_of_the_kind(admin: httpx.AsyncClient, members: dict[str, Any]) -> None:
    told = await post(admin)
    assert (await admin.patch(f"/v1/feedback/{told['id']}", json=members)).status_code == 422
    assert (await admin.get(f"/v1/feedback/{told['id']}")).json()["revision"] == 1


# --- merged and erased ------------------------------------------------------------------------------------------------


async def test_an_answer_after_a_merge_goes_to_the_survivor(
    service: Service, admin: httpx.AsyncClient
) -> None:
    gone = (await admin.post("/v1/customers", json={"identifiers": {"external_id": "old"}})).json()["id"]
    kept = (await admin.post("/v1/customers", json={"identifiers": {"external_id": "new"}})).json()["id"]
    async with service.app.state.database.hot_transaction() as connection:
        await connection.execute(
            "UPDATE customer_states SET merged_into = $2 WHERE customer_id = $1", gone, kept
        )
    told = await post(admin, customer=gone)
    assert told["customer_id"] == kept
    assert (await post(admin, customer="external_id:old", rating=8))["customer_id"] == kept
    rows = (await admin.get("/v1/feedback", params={"customer": gone})).json()["data"]
    assert len(rows) == 2


async def test_after_an_erasure_an_answer_is_gone(service: Service, admin: httpx.AsyncClient) -> None:
    told = await post(admin, rating=1)
    async with service.app.state.database.hot_transaction() as connection:
        await connection.execute("UPDATE customer_states SET erased_at = $1", NOW)
    expected = (410, "erased")
    assert problem(await admin.post("/v1/feedback", json=answer())) == expected
    assert problem(await admin.get(f"/v1/feedback/{told['id']}")) == expected
    assert problem(await admin.patch(f"/v1/feedback/{told['id']}", json={"rating": 3})) == expected
    assert problem(await admin.get("/v1/feedback", params={"customer": "external_id:42"})) == expected
    follow_up = f"/v1/follow-ups/{told['follow_up']['id']}"
    assert problem(await admin.patch(follow_up, json={"owner": "ben"})) == expected


# --- who may ----------------------------------------------------------------------------------------------------------


async def test_a_storefront_may_write_and_not_read(service: Service) -> None:
    shop = await service.client(await service.key("storefront"))
    told = await post(shop)
    for path in ("/v1/feedback", f"/v1/feedback/{told['id']}", "/v1/follow-ups"):
        assert problem(await shop.get(path)) == (403, "scope_missing")
    assert (await shop.patch(f"/v1/feedback/{told['id']}", json={"rating": 8})).status_code == 200


async def test_who_only_reads_may_not_write(service: Service, admin: httpx.AsyncClient) -> None:
    told = await post(admin)
    reader = await service.client(await service.key("support", scopes=["feedback:read"]))
    assert problem(await reader.post("/v1/feedback", json=answer())) == (403, "scope_missing")
    assert problem(await reader.patch(f"/v1/feedback/{told['id']}", json={"rating": 1})) == (
        403,
        "scope_missing",
    )
    assert (await reader.get(f"/v1/feedback/{told['id']}")).status_code == 200
