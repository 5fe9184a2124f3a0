import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service

URL = "/v1/referrals"

pytestmark = pytest.mark.usefixtures("club", "ada")


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


@pytest.fixture
async def code(admin: httpx.AsyncClient) -> str:
    answer = await admin.post(f"{URL}/codes", json={"customer": "external_id:42", "ip": "203.0.113.7"})
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["code"]
    return made


async def come(admin: httpx.AsyncClient, code: str, referee: Any, **said: Any) -> httpx.Response:
    return await admin.post(URL, json={"code": code, "referee": referee, **said})


async def test_a_customer_has_one_code(admin: httpx.AsyncClient, code: str) -> None:
    again = await admin.post(f"{URL}/codes", json={"customer": "external_id:42"})
    assert (again.status_code, again.json()["code"]) == (200, code)
    other = await admin.post(f"{URL}/codes", json={"customer": {"external_id": "new"}})
    assert (other.status_code, other.json()["program"]) == (201, "main")
    assert other.json()["code"] != code


async def test_a_friend_who_comes_with_a_code_is_attributed_and_told_to_the_referrer(
    admin: httpx.AsyncClient, ada: dict[str, Any], code: str
) -> None:
    answer = await come(admin, f" {code[:4].lower()}-{code[4:]} ", {"external_id": "43"})
    assert answer.status_code == 201, answer.text
    one = answer.json()
    assert (one["state"], one["reason"], one["referrer_id"]) == ("attributed", None, ada["id"])
    again = await come(admin, code, {"external_id": "43"})
    assert (again.status_code, again.json()) == (200, one)
    read = await admin.get(f"{URL}/{one['id']}")
    assert (read.json(), read.headers["etag"]) == (one, '"1"')
    log = (await admin.get(f"/v1/customers/{ada['id']}/timeline")).json()["data"]
    assert [(each["kind"], each["properties"]) for each in log] == [("referral", {"referred": one["id"]})]
    health = (await admin.get(f"/v1/customers/{ada['id']}/health")).json()
    advocacy = next(each for each in health["components"] if each["name"] == "advocacy")
    assert advocacy["contribution"] > 0


async def test_what_does_not_count_says_why(admin: httpx.AsyncClient, code: str) -> None:
    async def reason(referee: Any, code: str = code) -> tuple[str, str]:
        answer = await come(admin, code, referee)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()["state"], answer.json()["reason"]

    assert await reason("external_id:42") == ("rejected", "self")
    await admin.post("/v1/customers/external_id:42/identifiers", json={"type": "email", "value": "ada@x.org"})
    assert await reason({"external_id": "a", "email": "Ada+shop@x.org"}) == ("rejected", "alias")
    bought = {"customer": {"external_id": "b"}, "kind": "purchase", "amount_minor": 100, "currency": "EUR"}
    assert (await admin.post("/v1/touchpoints", json=bought)).status_code == 201
    assert await reason({"external_id": "b"}) == ("rejected", "existing_customer")

    assert (await come(admin, code, {"external_id": "c", "email": "cy@x.org"})).json()[
        "state"
    ] == "attributed"
    made = (await admin.post(f"{URL}/codes", json={"customer": "external_id:c"})).json()["code"]
    assert await reason({"external_id": "d", "email": "cy+2@x.org"}, made) == ("rejected", "alias")
    third = (await admin.post(f"{URL}/codes", json={"customer": {"external_id": "e"}})).json()["code"]
    assert await reason({"external_id": "d2", "email": "cy+3@x.org"}, third) == (
        "rejected",
        "already_referred",
    )
    assert await reason("external_id:c", third) == ("rejected", "already_referred")
    # Cy came by Ada, so Ada cannot come by Cy; nor by a friend of Cy's.
    assert await reason("external_id:42", made) == ("rejected", "circular")
    assert (await come(admin, made, {"external_id": "f"})).json()["state"] == "attributed"
    fourth = (await admin.post(f"{URL}/codes", json={"customer": "external_id:f"})).json()["code"]
    assert await reason("external_id:42", fourth) == ("rejected", "circular")


async def test_a_code_that_is_too_old_does_not_count(
    admin: httpx.AsyncClient, service: Service, code: str
) -> None:
    async with service.app.state.database.hot_reading() as connection:
        await connection.execute(
            "UPDATE referral_codes SET created_at = $1", datetime.now(UTC) - timedelta(days=91)
        )
    answer = await come(admin, code, {"external_id": "43"})
    assert (answer.json()["state"], answer.json()["reason"]) == ("rejected", "expired")
    renewed = await admin.post(f"{URL}/codes", json={"customer": "external_id:42"})
    assert (renewed.status_code, renewed.json()["code"] != code) == (201, True)


async def test_the_same_network_is_looked_at_by_a_person(
    admin: httpx.AsyncClient, ada: dict[str, Any], code: str
) -> None:
    held = (await come(admin, code, {"external_id": "43"}, ip="203.0.113.7")).json()
    other = (await come(admin, code, {"external_id": "44"}, ip="203.0.113.7")).json()
    free = (await come(admin, code, {"external_id": "45"}, ip="2001:db8::1")).json()
    house = (await come(admin, code, {"external_id": "46"}, ip="2001:db8::2")).json()
    assert [(one["state"], one["reason"]) for one in (held, other, free, house)] == [
        ("on_hold", "same_ip"),
        ("on_hold", "same_ip"),
        ("attributed", None),
        ("on_hold", "same_ip"),
    ]
    waiting = (await admin.get(URL, params={"state": "on_hold"})).json()["data"]
    assert [one["id"] for one in waiting] == [house["id"], other["id"], held["id"]]
    stale = await admin.post(
        f"{URL}/{held['id']}/review", json={"genuine": True}, headers={"If-Match": '"9"'}
    )
    assert problem(stale) == (412, "stale")
    done = await admin.post(
        f"{URL}/{held['id']}/review",
        json={"genuine": True, "note": "An office."},
        headers={"If-Match": '"1"'},
    )
    assert (done.json()["state"], done.json()["reviewed_by"], done.headers["etag"]) == (
        "attributed",
        "admin",
        '"2"',
    )
    again = await admin.post(f"{URL}/{held['id']}/review", json={"genuine": True})
    assert again.json() == done.json()
    assert problem(await admin.post(f"{URL}/{held['id']}/review", json={"genuine": False})) == (
        409,
        "illegal_transition",
    )
    fraud = await admin.post(f"{URL}/{other['id']}/review", json={"genuine": False})
    assert (fraud.json()["state"], fraud.json()["reason"]) == ("rejected", "not_genuine")
    assert problem(await admin.post(f"{URL}/{free['id']}/review", json={"genuine": False})) == (
        409,
        "illegal_transition",
    )
    log = (await admin.get(f"/v1/customers/{ada['id']}/timeline")).json()["data"]
    assert {one["properties"]["referred"] for one in log} == {held["id"], free["id"]}


async def test_too_many_in_a_day_may_come_again(admin: httpx.AsyncClient, service: Service) -> None:
    rules = {"earning_rules": [], "referrals": {"per_day": 2}}
    await admin.post("/v1/loyalty/programs/main/versions", json=rules)
    assert (await admin.post("/v1/loyalty/programs/main/versions/2/publish")).status_code == 200
    code = (await admin.post(f"{URL}/codes", json={"customer": "external_id:42"})).json()["code"]
    answers = [(await come(admin, code, {"external_id": f"v{n}"})).json() for n in range(3)]
    assert [one["reason"] for one in answers] == [None, None, "velocity"]
    async with service.app.state.database.hot_reading() as connection:
        await connection.execute("UPDATE loyalty_referrals SET created_at = created_at - interval '2 days'")
    later = await come(admin, code, {"external_id": "v2"})
    assert (later.status_code, later.json()["state"], later.json()["id"]) == (
        200,
        "attributed",
        answers[2]["id"],
    )


async def test_many_at_once_bring_a_friend_once(admin: httpx.AsyncClient) -> None:
    codes = []
    for number in range(4):
        made = await admin.post(f"{URL}/codes", json={"customer": {"external_id": f"r{number}"}})
        codes.append(made.json()["code"])
    # Every friend is somebody new, and all of them have one mailbox.
    answers = await asyncio.gather(
        *[
            come(admin, code, {"external_id": f"n{number}", "email": f"eve+{number}@x.org"})
            for number, code in enumerate(codes)
        ]
    )
    assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
    reasons = sorted(str(answer.json()["reason"]) for answer in answers)
    assert reasons == ["None", "already_referred", "already_referred", "already_referred"]


async def test_two_who_bring_each_other_at_once_bring_one(admin: httpx.AsyncClient) -> None:
    for _ in range(3):
        one = (await admin.post(f"{URL}/codes", json={"customer": {"external_id": "p"}})).json()["code"]
        other = (await admin.post(f"{URL}/codes", json={"customer": {"external_id": "q"}})).json()["code"]
        answers = await asyncio.gather(
            come(admin, one, {"external_id": "q"}), come(admin, other, {"external_id": "p"})
        )
        assert sorted(str(answer.json()["reason"]) for answer in answers) == ["None", "circular"]


async def test_lists_are_paged_and_narrowed(admin: httpx.AsyncClient, code: str) -> None:
    made = [(await come(admin, code, {"external_id": f"l{n}"})).json() for n in range(3)]
    first = (await admin.get(URL, params={"limit": 2})).json()
    assert [one["id"] for one in first["data"]] == [made[2]["id"], made[1]["id"]]
    rest = (await admin.get(URL, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert ([one["id"] for one in rest["data"]], rest["next_cursor"]) == ([made[0]["id"]], None)
    mine = (await admin.get(URL, params={"customer": "external_id:42"})).json()["data"]
    assert mine == [made[2], made[1], made[0]]
    theirs = (await admin.get(URL, params={"customer": "external_id:l1", "state": "attributed"})).json()
    assert theirs["data"] == [made[1]]
    assert problem(await admin.get(URL, params={"customer": "external_id:nobody"})) == (
        404,
        "customer_not_found",
    )
    assert problem(await admin.get(URL, params={"cursor": "x"})) == (422, "invalid_cursor")
    assert problem(await admin.get(URL, params={"state": "x"})) == (422, "validation_failed")


async def test_who_and_what_is_not_there(admin: httpx.AsyncClient, code: str) -> None:
    assert problem(await come(admin, "00000000", {"external_id": "43"})) == (404, "referral_code_not_found")
    assert problem(await come(admin, "nonsense!", {"external_id": "43"})) == (404, "referral_code_not_found")
    nobody = "01935d5e-7c00-7000-8000-000000000001"
    assert problem(await come(admin, code, nobody)) == (404, "customer_not_found")
    assert problem(await come(admin, code, {"external_id": "43"}, ip="x")) == (422, "invalid_ip")
    asked = {"customer": "external_id:42", "program": "x"}
    assert problem(await admin.post(f"{URL}/codes", json=asked)) == (404, "program_not_found")
    assert problem(await admin.get(f"{URL}/referral_x")) == (404, "referral_not_found")
    answer = await admin.post(f"{URL}/referral_x/review", json={"genuine": True})
    assert problem(answer) == (404, "referral_not_found")


async def test_an_idempotency_key_replays_the_answer(admin: httpx.AsyncClient, code: str) -> None:
    key = {"Idempotency-Key": "k"}
    said = {"code": code, "referee": {"external_id": "43"}}
    first = await admin.post(URL, json=said, headers=key)
    again = await admin.post(URL, json=said, headers=key)
    assert (again.status_code, again.json(), again.headers["etag"]) == (201, first.json(), '"1"')
    assert again.headers["idempotent-replayed"] == "true"
    said["referee"] = {"external_id": "44"}
    assert problem(await admin.post(URL, json=said, headers=key)) == (422, "idempotency_key_reused")


async def test_only_those_who_may_bring_friends_do(service: Service) -> None:
    reader = await service.client(await service.key(scopes=["loyalty:read"]))
    for url, said in (
        (URL, {"code": "x", "referee": "external_id:1"}),
        (f"{URL}/codes", {"customer": "external_id:1"}),
        (f"{URL}/referral_x/review", {"genuine": True}),
    ):
        assert problem(await reader.post(url, json=said)) == (403, "scope_missing")
    stranger = await service.client(await service.key(scopes=["customers:read"]))
    for url in (URL, f"{URL}/referral_x"):
        assert problem(await stranger.get(url)) == (403, "scope_missing")


async def test_what_is_bought_qualifies_a_friend_and_what_is_given_back_reverses_it(
    admin: httpx.AsyncClient, code: str
) -> None:
    friend = {"external_id": "43"}
    one = (await come(admin, code, friend)).json()

    async def post(kind: str, amount: int, name: str, order_id: str | None = None) -> None:
        said = {"id": name, "customer": friend, "kind": kind, "amount_minor": amount, "currency": "EUR"}
        answer = await admin.post("/v1/touchpoints", json=said | ({"order_id": order_id} if order_id else {}))
        assert answer.status_code == 201, answer.text

    async def now() -> dict[str, Any]:
        found: dict[str, Any] = (await admin.get(f"{URL}/{one['id']}")).json()
        return found

    await post("purchase", 5_000, "p-1", "o-1")
    pending = await now()
    assert (pending["state"], pending["reason"]) == ("pending", None)
    at, until = (datetime.fromisoformat(pending[name]) for name in ("at", "pending_until"))
    assert until - at == timedelta(days=14)
    # It is the first one that counts.
    await post("purchase", 5_000, "p-2", "o-2")
    await post("refund", 5_000, "r-2", "o-2")
    assert await now() == pending
    await post("refund", 2_000, "r-1", "o-1")
    assert (await now())["state"] == "pending"
    await post("refund", 3_000, "r-1b", "o-1")
    assert ((await now())["state"], (await now())["reason"]) == ("reversed", "refunded")


async def test_a_purchase_that_is_taken_back_reverses_it(admin: httpx.AsyncClient, code: str) -> None:
    one = (await come(admin, code, {"external_id": "43"})).json()
    said = {
        "id": "p",
        "customer": {"external_id": "43"},
        "kind": "purchase",
        "amount_minor": 5,
        "currency": "EUR",
    }
    assert (await admin.post("/v1/touchpoints", json=said)).status_code == 201
    assert (await admin.get(f"{URL}/{one['id']}")).json()["state"] == "pending"
    gone = await admin.delete("/v1/touchpoints/p", params={"customer": "external_id:43"})
    assert gone.status_code == 200, gone.text
    assert (await admin.get(f"{URL}/{one['id']}")).json()["state"] == "reversed"


async def test_a_batch_qualifies_as_one_by_one(admin: httpx.AsyncClient, code: str) -> None:
    friends = [(await come(admin, code, {"external_id": f"b{n}"})).json() for n in range(3)]
    said = [
        {"customer": {"external_id": f"b{n}"}, "kind": "purchase", "amount_minor": 100, "currency": "EUR"}
        for n in range(3)
    ]
    answer = await admin.post("/v1/touchpoints/batch", json={"touchpoints": said})
    assert answer.json()["stored"] == 3, answer.text
    for one in friends:
        assert (await admin.get(f"{URL}/{one['id']}")).json()["state"] == "pending"
