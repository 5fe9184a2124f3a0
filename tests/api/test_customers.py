import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.api.conftest import Service

ADA: dict[str, Any] = {
    "identifiers": {"external_id": "42", "email": "Ada@example.com"},
    "name": "Ada Lovelace",
    "language": "en-GB",
    "timezone": "Europe/London",
    "preferred_channel": "email",
    "tags": ["vip", "beta", "vip"],
    "owner": "team-2",
    "traits": {"shoes": {"size": 38, "colour": "red"}},
}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


async def made(client: httpx.AsyncClient, **members: Any) -> dict[str, Any]:
    answer = await client.post("/v1/customers", json={"identifiers": {"external_id": uuid4().hex}} | members)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


# --- POST /v1/customers ---------------------------------------------------------------------------------------------


async def test_a_new_customer_is_created_with_all_that_is_said(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/v1/customers", json=ADA)
    assert answer.status_code == 201
    customer = answer.json()
    assert answer.headers["location"] == f"/v1/customers/{customer['id']}"
    assert UUID(customer["id"]).version == 7
    assert customer["identifiers"] == ADA["identifiers"]
    assert [(held["type"], held["value"]) for held in customer["identifiers_all"]] == [
        ("email", "Ada@example.com"),
        ("external_id", "42"),
    ]
    assert customer["tags"] == ["vip", "beta"]
    for member in ("name", "language", "timezone", "preferred_channel", "owner", "traits"):
        assert customer[member] == ADA[member], member
    assert customer["stage"] == "prospect"
    assert customer["created_at"] <= customer["updated_at"]
    assert (await admin.get(f"/v1/customers/{customer['id']}")).json() == customer


async def test_a_known_identifier_finds_the_customer_and_only_what_is_sent_changes(
    admin: httpx.AsyncClient,
) -> None:
    before = (await admin.post("/v1/customers", json=ADA)).json()
    answer = await admin.post(
        "/v1/customers",
        json={
            "identifiers": {"email": "ADA@EXAMPLE.COM", "crm": "c-1"},
            "name": None,
            "traits": {"shoes": {"size": 39}},
        },
    )
    assert answer.status_code == 200
    after = answer.json()
    assert after["id"] == before["id"]
    assert after["identifiers"] == ADA["identifiers"] | {"crm": "c-1"}
    assert after["name"] is None
    assert after["traits"] == {"shoes": {"size": 39, "colour": "red"}}
    assert (after["tags"], after["owner"]) == (before["tags"], before["owner"])


async def test_identifiers_of_two_customers_are_a_conflict_that_names_them(admin: httpx.AsyncClient) -> None:
    one = await made(admin, identifiers={"external_id": "1"})
    other = await made(admin, identifiers={"external_id": "2", "email": "b@example.com"})
    answer = await admin.post(
        "/v1/customers", json={"identifiers": {"external_id": "1", "email": "b@example.com"}, "name": "x"}
    )
    assert problem(answer) == (409, "identity_conflict")
    assert answer.json()["customers"] == sorted([one["id"], other["id"]])
    assert (await admin.get(f"/v1/customers/{one['id']}")).json() == one


@pytest.mark.parametrize(
    "body, code, pointer",
    [
        ({}, "validation_failed", "#/identifiers"),
        ({"identifiers": {}}, "validation_failed", "#/identifiers"),
        ({"identifiers": {"external_id": 42}}, "validation_failed", "#/identifiers/external_id"),
        ({"identifiers": {"external_id": "a/b"}}, "invalid_identifier", "#/identifiers/external_id"),
        ({"identifiers": {"Not A Type": "a"}}, "invalid_identifier", "#/identifiers"),
        ({"identifiers": {"phone": "0151"}}, "invalid_phone", "#/identifiers/phone"),
        ({"identifiers": {"external_id": "x" * 201}}, "invalid_identifier", "#/identifiers/external_id"),
        ({"identifiers": {"external_id": "\x00"}}, "invalid_text", "#/identifiers/external_id"),
        (ADA | {"nickname": "x"}, "validation_failed", "#/nickname"),
        (ADA | {"name": ""}, "validation_failed", "#/name"),
        (ADA | {"name": "x" * 201}, "validation_failed", "#/name"),
        (ADA | {"language": "english!"}, "validation_failed", "#/language"),
        (ADA | {"timezone": "Europe/Atlantis"}, "unknown_timezone", "#/timezone"),
        (ADA | {"tags": ["x" * 65]}, "validation_failed", "#/tags/0"),
        (ADA | {"tags": [str(n) for n in range(51)]}, "validation_failed", "#/tags"),
        (ADA | {"traits": []}, "validation_failed", "#/traits"),
        (ADA | {"traits": {"a": {"b": "\x00"}}}, "invalid_text", "#/traits/a/b"),
        (ADA | {"traits": {"a": "x" * 17_000}}, "traits_too_large", "#/traits"),
        (ADA | {"traits": {"a": [[[[[[[[1]]]]]]]]}}, "traits_too_deep", "#/traits"),
    ],
)
async def test_what_is_wrong_is_refused_where_it_stands_and_nothing_is_stored(
    admin: httpx.AsyncClient, body: dict[str, Any], code: str, pointer: str
) -> None:
    answer = await admin.post("/v1/customers", json=body)
    assert problem(answer) == (422, code)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert (await admin.get("/v1/customers")).json()["data"] == []


async def test_deep_json_and_lone_surrogates_are_refused(admin: httpx.AsyncClient) -> None:
    json = {"Content-Type": "application/json"}
    deep = '{"identifiers":{"a":"b"},"traits":' + '{"a":' * 10_000 + "1" + "}" * 10_000 + "}"
    assert problem(await admin.post("/v1/customers", content=deep, headers=json)) == (400, "malformed_json")
    lone = r'{"identifiers":{"external_id":"\ud800"}}'
    assert problem(await admin.post("/v1/customers", content=lone, headers=json))[1] == "invalid_text"
    huge = '{"identifiers":{"a":"b"},"traits":{"a":1e999}}'
    assert problem(await admin.post("/v1/customers", content=huge, headers=json)) == (
        400,
        "number_out_of_range",
    )


async def test_traits_come_back_as_they_were_sent(admin: httpx.AsyncClient) -> None:
    traits = {
        "é": "\U0001f600 \u2028",
        "numbers": [1, 2**63, -1.5, 1e22],
        "": {"null in a list": [None]},
        "t": True,
    }
    assert (await made(admin, traits=traits))["traits"] == traits


async def test_customers_who_come_at_once_are_created_once(admin: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*[admin.post("/v1/customers", json=ADA) for _ in range(8)])
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_an_idempotency_key_answers_the_same_again(admin: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = await admin.post("/v1/customers", json=ADA, headers=key)
    again = await admin.post("/v1/customers", json=ADA, headers={"Idempotency-Key": '"k-1"'})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["etag"] == first.headers["etag"]
    assert "idempotent-replayed" not in first.headers
    other = await admin.post("/v1/customers", json=ADA | {"name": "x"}, headers=key)
    assert problem(other) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", " ", "a b", '"', '"a', "x" * 256, "ä"])
async def test_a_malformed_idempotency_key_is_refused(admin: httpx.AsyncClient, key: str) -> None:
    answer = await admin.post("/v1/customers", json=ADA, headers=[(b"Idempotency-Key", key.encode())])
    assert problem(answer) == (422, "invalid_idempotency_key")


# --- GET /v1/customers ----------------------------------------------------------------------------------------------


async def test_the_list_is_newest_first_and_its_pages_are_whole(admin: httpx.AsyncClient) -> None:
    ids = [(await made(admin))["id"] for _ in range(5)]
    seen: list[str] = []
    page: dict[str, Any] = {}
    url = "/v1/customers?limit=2"
    for page_number in (1, 2, 3):
        answer = await admin.get(url)
        page = answer.json()
        seen += [customer["id"] for customer in page["data"]]
        assert (page["next_cursor"] is None) == (page_number == 3)
        assert ('rel="next"' in answer.headers.get("link", "")) == (page_number < 3)
        url = f"/v1/customers?limit=2&cursor={page['next_cursor']}"
    assert seen == sorted(ids, reverse=True)
    assert {"score", "band", "stage", "identifiers"} <= page["data"][0].keys()


async def test_a_search_finds_names_by_their_beginning_and_identifiers_whole(
    admin: httpx.AsyncClient,
) -> None:
    ada = await made(
        admin, name="Ada Lovelace", identifiers={"external_id": "42", "email": "Ada@example.com"}
    )
    adam = await made(admin, name="adam smith", identifiers={"crm": "42"})
    grace = await made(
        admin, name="Grace Hopper", identifiers={"external_id": "ad", "phone": "+4915112345678"}
    )
    await made(admin, name="Bob 100%", identifiers={"external_id": "7"})

    async def search(text: str) -> list[str]:
        answer = await admin.get("/v1/customers", params={"search": text})
        assert answer.status_code == 200, answer.text
        return [customer["name"] for customer in answer.json()["data"]]

    assert await search("ADA") == [ada["name"], adam["name"]]
    assert await search("Ada L") == [ada["name"]]
    assert await search("ad") == [grace["name"], ada["name"], adam["name"]]
    assert await search("ada@EXAMPLE.com") == [ada["name"]]
    assert await search("email:ada@example.com") == [ada["name"]]
    assert await search("42") == [ada["name"], adam["name"]]
    assert await search("crm:42") == [adam["name"]]
    assert await search("+4915112345678") == [grace["name"]]
    assert await search(ada["id"]) == [ada["name"]]
    assert await search("ov") == []
    assert await search("Bob 100%") == ["Bob 100%"]
    for wild in ("%", "_da", "\\"):
        assert await search(wild) == []


async def test_the_pages_of_a_search_are_whole(admin: httpx.AsyncClient) -> None:
    for name in ("Anna", "anna", "Annabel", "Anne", "ANNA"):
        await made(admin, name=name)
    await made(admin, name="Zoe", identifiers={"external_id": "ann"})
    await made(admin, identifiers={"crm": "ann"})
    whole = (await admin.get("/v1/customers?search=ann")).json()["data"]
    assert len(whole) == 7
    for limit in (1, 2, 3):
        seen, cursor = [], ""
        while cursor is not None:
            page = (
                await admin.get(f"/v1/customers?search=ann&limit={limit}{cursor and '&cursor=' + cursor}")
            ).json()
            seen += page["data"]
            cursor = page["next_cursor"]
        assert seen == whole


async def test_band_and_tag_narrow_a_list_and_a_search(admin: httpx.AsyncClient) -> None:
    vip = await made(admin, name="Ann", tags=["vip", "beta"])
    await made(admin, name="Anna", tags=["beta"])
    for query in ("tag=vip", "tag=vip&band=unknown", "tag=vip&search=an", "tag=vip&search=an&band=unknown"):
        found = (await admin.get(f"/v1/customers?{query}")).json()["data"]
        assert [customer["id"] for customer in found] == [vip["id"]], query
    for query in ("band=lost", "band=lost&search=an", "tag=none"):
        assert (await admin.get(f"/v1/customers?{query}")).json()["data"] == [], query


@pytest.mark.parametrize(
    "query, code",
    [
        ("limit=0", "validation_failed"),
        ("limit=201", "validation_failed"),
        ("band=happy", "validation_failed"),
        ("search=", "validation_failed"),
        ("cursor=x", "invalid_cursor"),
        ("search=a&cursor=IjAxOTM1ZDVlLTdjMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMSI", "invalid_cursor"),
        ("search=%00", "invalid_text"),
    ],
)
async def test_a_list_that_cannot_be_is_refused(admin: httpx.AsyncClient, query: str, code: str) -> None:
    assert problem(await admin.get(f"/v1/customers?{query}")) == (422, code)


# --- one customer ---------------------------------------------------------------------------------------------------


async def test_a_customer_is_read_by_any_reference(admin: httpx.AsyncClient) -> None:
    ada = (await admin.post("/v1/customers", json=ADA)).json()
    for reference in (ada["id"], ada["id"].upper(), "external_id:42", "email:ADA@example.com"):
        answer = await admin.get(f"/v1/customers/{reference}")
        assert (answer.status_code, answer.json()) == (200, ada), reference
    for reference in (ada["id"], "external_id:42", {"email": "ada@example.com"}, ADA["identifiers"]):
        answer = await admin.post("/v1/customers/lookup", json={"customer": reference})
        assert (answer.status_code, answer.json()) == (200, ada), reference
        assert answer.headers["content-location"] == f"/v1/customers/{ada['id']}"


async def test_a_path_or_a_look_up_never_creates_and_never_adds(admin: httpx.AsyncClient) -> None:
    ada = (await admin.post("/v1/customers", json=ADA)).json()
    for reference in (str(uuid4()), "external_id:43", "email:bob@example.com"):
        assert problem(await admin.get(f"/v1/customers/{reference}")) == (404, "customer_not_found")
        answer = await admin.patch(f"/v1/customers/{reference}", json={"name": "x"})
        assert problem(answer) == (404, "customer_not_found")
        answer = await admin.post("/v1/customers/lookup", json={"customer": reference})
        assert problem(answer) == (404, "customer_not_found")
    known_and_new = {"customer": {"external_id": "42", "email": "new@example.com"}}
    assert (await admin.post("/v1/customers/lookup", json=known_and_new)).json() == ada


@pytest.mark.parametrize(
    "reference, code",
    [
        ("42", "invalid_reference"),
        ("External:42", "invalid_identifier"),
        ("phone:0151", "invalid_phone"),
        ("external_id:", "invalid_identifier"),
        ("external_id:a%23b", "invalid_identifier"),
        ("external_id:a%00b", "invalid_text"),
        ("external_id:%FF", "invalid_text"),
    ],
)
async def test_what_cannot_name_a_customer_is_refused(
    admin: httpx.AsyncClient, reference: str, code: str
) -> None:
    assert problem(await admin.get(f"/v1/customers/{reference}")) == (422, code)


async def test_two_customers_cannot_be_looked_up_as_one(admin: httpx.AsyncClient) -> None:
    await made(admin, identifiers={"external_id": "1"})
    await made(admin, identifiers={"external_id": "2", "crm": "2"})
    answer = await admin.post("/v1/customers/lookup", json={"customer": {"external_id": "1", "crm": "2"}})
    assert problem(answer) == (409, "identity_conflict")


async def test_a_merged_customer_leads_to_the_survivor_and_an_erased_one_nowhere(
    admin: httpx.AsyncClient, service: Service
) -> None:
    alias, survivor, gone = [await made(admin) for _ in range(3)]
    async with service.app.state.database.hot_transaction() as connection:
        await connection.execute(
            "UPDATE customer_states SET merged_into = $2 WHERE customer_id = $1", alias["id"], survivor["id"]
        )
        await connection.execute(
            "UPDATE customer_states SET erased_at = created_at FROM customers WHERE customer_id = $1 AND id = $1",
            gone["id"],
        )
    assert (await admin.get(f"/v1/customers/{alias['id']}")).json() == survivor
    renamed = await admin.patch(f"/v1/customers/{alias['id']}", json={"name": "One of two"})
    assert (renamed.json()["id"], renamed.json()["name"]) == (survivor["id"], "One of two")
    assert problem(await admin.get(f"/v1/customers/{gone['id']}")) == (409, "erased")
    assert problem(await admin.patch(f"/v1/customers/{gone['id']}", json={})) == (409, "erased")
    listed = (await admin.get("/v1/customers")).json()["data"]
    assert [customer["id"] for customer in listed] == [survivor["id"]]


async def test_a_patch_merges_removes_and_replaces(admin: httpx.AsyncClient) -> None:
    ada = (await admin.post("/v1/customers", json=ADA)).json()
    patch = {"owner": None, "tags": ["new"], "traits": {"shoes": {"colour": None}, "hat": "top"}}
    answer = await admin.patch(f"/v1/customers/{ada['id']}", json=patch, headers=MERGE_PATCH)
    assert answer.status_code == 200
    changed = answer.json()
    assert changed == ada | {
        "owner": None,
        "tags": ["new"],
        "traits": {"shoes": {"size": 38}, "hat": "top"},
        "updated_at": changed["updated_at"],
    }
    assert changed["updated_at"] > ada["updated_at"]


async def test_a_patch_on_an_older_version_is_stale_and_changes_nothing(admin: httpx.AsyncClient) -> None:
    ada = (await admin.post("/v1/customers", json=ADA)).json()
    url = f"/v1/customers/{ada['id']}"
    first = (await admin.get(url)).headers["etag"]
    assert first.startswith('"')
    renamed = await admin.patch(url, json={"name": "A"}, headers={"If-Match": first})
    second = renamed.headers["etag"]
    assert (renamed.status_code, second != first) == (200, True)
    for stale in (first, '"99-prospect"', "W/" + second, "nonsense"):
        answer = await admin.patch(url, json={"name": "B"}, headers={"If-Match": stale})
        assert problem(answer) == (412, "stale"), stale
    for good in (second, f"{first}, {second}", "*"):
        unchanged = await admin.patch(url, json={"name": "A"}, headers={"If-Match": good})
        assert (unchanged.status_code, unchanged.headers["etag"]) == (200, second), good


@pytest.mark.parametrize(
    "patch, code",
    [
        ({"id": "x"}, "validation_failed"),
        ({"identifiers": {"external_id": "1"}}, "validation_failed"),
        ({"tags": "vip"}, "validation_failed"),
        ({"timezone": "Nowhere"}, "unknown_timezone"),
        ([], "validation_failed"),
    ],
)
async def test_a_patch_that_is_wrong_changes_nothing(admin: httpx.AsyncClient, patch: Any, code: str) -> None:
    ada = (await admin.post("/v1/customers", json=ADA)).json()
    assert problem(await admin.patch(f"/v1/customers/{ada['id']}", json=patch)) == (422, code)
    assert (await admin.get(f"/v1/customers/{ada['id']}")).json() == ada


async def test_concurrent_patches_of_different_members_are_all_kept(admin: httpx.AsyncClient) -> None:
    ada = (await admin.post("/v1/customers", json=ADA)).json()
    patches = [{"traits": {f"t{n}": n}} for n in range(12)]
    await asyncio.gather(*[admin.patch(f"/v1/customers/{ada['id']}", json=patch) for patch in patches])
    traits = (await admin.get(f"/v1/customers/{ada['id']}")).json()["traits"]
    assert {name: traits[name] for name in traits if name != "shoes"} == {f"t{n}": n for n in range(12)}


# --- who may --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, path, scope",
    [
        ("POST", "/v1/customers", "customers:write"),
        ("GET", "/v1/customers", "customers:read"),
        ("POST", "/v1/customers/lookup", "customers:read"),
        ("GET", "/v1/customers/external_id:42", "customers:read"),
        ("PATCH", "/v1/customers/external_id:42", "customers:write"),
        ("POST", "/v1/customers/external_id:42/identifiers", "customers:write"),
        ("DELETE", "/v1/customers/external_id:42/identifiers/crm/1", "customers:write"),
        ("POST", "/v1/customers/external_id:42/notes", "feedback:write"),
        ("GET", "/v1/customers/external_id:42/notes", "customers:read"),
    ],
)
async def test_each_route_needs_a_key_with_its_scope(
    service: Service, method: str, path: str, scope: str
) -> None:
    stranger = await service.client()
    assert problem(await stranger.request(method, path)) == (401, "key_missing")
    others = await service.client(
        await service.key(scopes=["insights:read", "events:write", "loyalty:write"])
    )
    refused = await others.request(method, path)
    assert problem(refused) == (403, "scope_missing")
    assert refused.json()["scope"] == scope
