import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from tests.api.conftest import Service

URL = "/v1/loyalty/adjustments"
LOYALTY = "/v1/customers/external_id:42/loyalty"

pytestmark = pytest.mark.usefixtures("club", "ada")


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def asked(points: int, name: str = "a-1", **said: Any) -> dict[str, Any]:
    return {"id": name, "customer": "external_id:42", "points": points, "reason_code": "service", **said}


async def test_points_that_are_given_are_there_at_once(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(URL, json=asked(120))
    assert answer.status_code == 201, answer.text
    given = answer.json()
    assert (given["state"], given["points"], given["debt"]) == ("booked", 120, 0)
    assert given["balance"]["available"] == 120
    now = (await admin.get(LOYALTY)).json()
    assert (now["available"], now["program"], now["tier"]["code"], now["as_of_seq"]) == (
        120,
        "main",
        "base",
        1,
    )


async def test_the_same_again_answers_the_same_and_books_once(admin: httpx.AsyncClient) -> None:
    first = await admin.post(URL, json=asked(120))
    again = await admin.post(URL, json=asked(120))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert problem(await admin.post(URL, json=asked(121))) == (409, "id_reused")
    assert (await admin.get(LOYALTY)).json()["available"] == 120


async def test_many_at_once_book_once_each(admin: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*[admin.post(URL, json=asked(10, f"a-{n % 4}")) for n in range(12)])
    assert sorted(answer.status_code for answer in answers) == [200] * 8 + [201] * 4
    assert (await admin.get(LOYALTY)).json()["available"] == 40
    proof = (await admin.get(f"{LOYALTY}/verify")).json()
    assert (proof["entries"], proof["is_sound"], proof["findings"]) == (4, True, [])


async def test_more_than_there_is_is_refused_and_says_what_is_missing(admin: httpx.AsyncClient) -> None:
    await admin.post(URL, json=asked(30))
    refused = await admin.post(URL, json=asked(-50, "a-2"))
    assert problem(refused) == (409, "insufficient_points")
    assert refused.json()["missing"] == 20
    assert (await admin.get(LOYALTY)).json()["as_of_seq"] == 1
    taken = (await admin.post(URL, json=asked(-50, "a-2", allow_debt=True))).json()
    assert (taken["debt"], taken["balance"]["available"], taken["balance"]["debt"]) == (20, -20, 20)


async def test_so_many_points_wait_for_a_second_person(
    admin: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    proposed = await admin.post(URL, json=asked(501))
    assert proposed.status_code == 202
    one = proposed.json()
    assert (one["state"], one["entry_id"], one["balance"]["available"]) == ("proposed", None, 0)
    waiting = (await bob.get(URL)).json()["data"]
    assert [each["id"] for each in waiting] == [one["id"]]
    approve = f"{URL}/{one['id']}/approve"
    assert problem(await admin.post(approve)) == (403, "same_person")
    booked = await bob.post(approve)
    assert booked.status_code == 200, booked.text
    assert (booked.json()["state"], booked.json()["approver"]) == ("booked", "back-office")
    assert (await bob.post(approve)).json() == booked.json()
    assert (await admin.get(LOYALTY)).json()["available"] == 501
    assert (await bob.get(URL)).json()["data"] == []
    assert problem(await bob.post(f"{URL}/{one['id']}/decline")) == (409, "already_booked")


async def test_a_declined_proposal_is_never_booked(admin: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    one = (await admin.post(URL, json=asked(501))).json()
    declined = await bob.post(f"{URL}/{one['id']}/decline")
    assert declined.json()["state"] == "declined"
    assert problem(await bob.post(f"{URL}/{one['id']}/approve")) == (409, "declined")
    assert (await admin.get(LOYALTY)).json()["available"] == 0


async def test_a_goodwill_is_once_for_its_complaint(admin: httpx.AsyncClient) -> None:
    told = await admin.post(
        "/v1/complaints",
        json={"customer": "external_id:42", "subject": "Late", "text": "Two weeks.", "source_id": "c-1"},
    )
    assert told.status_code == 201, told.text
    goodwill = asked(100, "g-1", about=told.json()["id"]) | {"reason_code": "goodwill"}
    assert (await admin.post(URL, json=goodwill)).status_code == 201
    again = await admin.post(URL, json=goodwill | {"id": "g-2"})
    assert (again.status_code, again.json()["proposal_id"]) == (200, "g-1")
    nowhere = goodwill | {"about": "complaint_nowhere"}
    assert problem(await admin.post(URL, json=nowhere)) == (404, "complaint_not_found")
    assert problem(await admin.post(URL, json=goodwill | {"about": None})) == (422, "about_required")


async def test_surprises_have_a_yearly_cap(admin: httpx.AsyncClient) -> None:
    surprise = asked(60, about="a birthday") | {"reason_code": "surprise"}
    assert (await admin.post(URL, json=surprise)).status_code == 201
    more = await admin.post(URL, json=surprise | {"id": "a-2", "about": "a wedding"})
    assert problem(more) == (409, "yearly_cap")
    assert (more.json()["left"], more.json()["cap"]) == (40, 100)


@pytest.mark.parametrize(
    "said, code",
    [
        ({"points": 0}, "invalid_points"),
        ({"points": -(2**31)}, "invalid_points"),
        ({"points": 2**31}, "validation_failed"),
        ({"points": 1.5}, "validation_failed"),
        ({"points": True}, "validation_failed"),
        ({"reason_code": "other"}, "note_required"),
        ({"reason_code": "love"}, "validation_failed"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "already_expired"),
    ],
)
async def test_what_is_no_adjustment_is_refused(
    admin: httpx.AsyncClient, said: dict[str, Any], code: str
) -> None:
    assert problem(await admin.post(URL, json=asked(10) | said)) == (422, code)
    assert (await admin.get(LOYALTY)).json()["as_of_seq"] == 0


async def test_who_and_what_is_not_there(admin: httpx.AsyncClient) -> None:
    nobody = asked(10) | {"customer": "external_id:43"}
    assert problem(await admin.post(URL, json=nobody)) == (404, "customer_not_found")
    assert problem(await admin.post(URL, json=asked(10, program="x"))) == (404, "program_not_found")
    assert problem(await admin.post(f"{URL}/adjustment_x/approve")) == (404, "adjustment_not_found")
    assert problem(await admin.post(f"{URL}/adjustment_x/decline")) == (404, "adjustment_not_found")


async def test_an_idempotency_key_replays_the_answer(admin: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k"}
    first = await admin.post(URL, json=asked(5), headers=key)
    again = await admin.post(URL, json=asked(5), headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert problem(await admin.post(URL, json=asked(6), headers=key)) == (422, "idempotency_key_reused")


async def test_only_those_who_may_write_points_adjust_them(service: Service) -> None:
    support = await service.client(await service.key(scopes=["loyalty:read"]))
    assert problem(await support.post(URL, json=asked(5))) == (403, "scope_missing")
    assert problem(await support.post(f"{URL}/adjustment_x/approve")) == (403, "scope_missing")
    assert problem(await support.post(f"{URL}/adjustment_x/decline")) == (403, "scope_missing")
    reader = await service.client(await service.key(scopes=["customers:read"]))
    assert problem(await reader.get(URL)) == (403, "scope_missing")


async def test_a_list_asks_the_same_however_long_it_is(service: Service, admin: httpx.AsyncClient) -> None:
    for number in range(6):
        await admin.post(URL, json=asked(501, f"big-{number}"))
        await admin.post(URL, json=asked(1, f"small-{number}"))
    said: list[str] = []

    @event.listens_for(service.app.state.database.engine.sync_engine, "checkout")
    def spy(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
        dbapi_connection.driver_connection.add_query_logger(lambda query: said.append(query.query))

    for url, most in ((URL, 1), ("/v1/loyalty/entries?customer=external_id:42", 2)):
        for limit in (1, 5):
            said.clear()
            page = (
                await admin.get(url, params=httpx.QueryParams(httpx.URL(url).params).set("limit", limit))
            ).json()
            assert len(page["data"]) == limit
            await asyncio.sleep(0)
            assert len({one for one in said if "FROM loyalty_" in one}) == most
