import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from app.storage.database import connect_arguments
from app.usecases.verify import verify
from tests.api.conftest import Service

REASON = "Said so on the phone"


@pytest.fixture
async def pair(admin: httpx.AsyncClient) -> dict[str, str]:
    """Two customers: Ada by her number, and a guest by an address."""
    ids = {}
    for name, identifiers in (("ada", {"external_id": "42"}), ("guest", {"email": "ada@shop.example"})):
        answer = await admin.post("/v1/customers", json={"identifiers": identifiers, "name": name.title()})
        ids[name] = answer.json()["id"]
    return ids


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def merge(client: httpx.AsyncClient, into: str, source: Any, **headers: str) -> httpx.Response:
    said = {"from": source, "reason": REASON}
    return await client.post(f"/v1/customers/{into}/merge", json=said, headers=headers)


async def undo(client: httpx.AsyncClient, merged: httpx.Response) -> httpx.Response:
    return await client.post(f"/v1/merges/{merged.json()['merge_id']}/undo")


async def posted(client: httpx.AsyncClient, path: str, said: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(path, json=said)
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


async def sound(service: Service) -> None:
    """What `rapport verify` says."""
    for result in await verify(service.app.state.database):
        assert not result.first, (result.check.name, result.first)


async def test_a_merge_is_told_and_both_names_lead_to_the_survivor(
    service: Service, admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    before = (await admin.get(f"/v1/customers/{pair['ada']}")).json()
    answer = await merge(admin, "external_id:42", "email:ada@shop.example")
    assert answer.status_code == 201
    merged = answer.json()
    assert merged | {"merge_id": "", "merged_at": ""} == {
        "merge_id": "",
        "customer_id": pair["ada"],
        "from_customer_id": pair["guest"],
        "reason": REASON,
        "merged_by": "admin",
        "merged_at": "",
        "moved": {"customer_identifiers": 1},
        "undone_by": None,
        "undone_at": None,
    }
    for name in (pair["ada"], pair["guest"], "external_id:42", "email:ada@shop.example"):
        found = (await admin.get(f"/v1/customers/{name}")).json()
        assert (found["id"], found["name"]) == (pair["ada"], "Ada")
        assert found["identifiers"] == {"external_id": "42", "email": "ada@shop.example"}
        context = (await admin.get(f"/v1/customers/{name}/context")).json()
        assert context["customer"]["id"] == pair["ada"]
    timeline = (await admin.get(f"/v1/customers/{pair['guest']}/timeline")).json()["data"]
    assert [(row["kind"], row["source"]) for row in timeline] == [("customer_merged", "rapport")]
    assert (await admin.get(f"/v1/merges/{merged['merge_id']}")).json() == merged
    for name in pair.values():
        assert (await admin.get(f"/v1/customers/{name}/merges")).json()["data"] == [merged]
    listed = (await admin.get("/v1/customers", params={"search": "ada@shop.example"})).json()["data"]
    assert [one["id"] for one in listed] == [pair["ada"]]
    assert before["updated_at"] < (await admin.get(f"/v1/customers/{pair['ada']}")).json()["updated_at"]
    await sound(service)


async def test_a_retry_gives_the_same_merge(admin: httpx.AsyncClient, pair: dict[str, str]) -> None:
    first = await merge(admin, pair["ada"], pair["guest"])
    for into, source in ((pair["ada"], pair["guest"]), ("external_id:42", "email:ada@shop.example")):
        again = await merge(admin, into, source)
        assert (again.status_code, again.json()) == (200, first.json())


async def test_a_retry_with_an_idempotency_key_is_replayed(
    admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    answers = [await merge(admin, pair["ada"], pair["guest"], **{"Idempotency-Key": "m1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    other = await admin.post(
        f"/v1/customers/{pair['ada']}/merge",
        json={"from": pair["guest"], "reason": "Another"},
        headers={"Idempotency-Key": "m1"},
    )
    assert problem(other) == (422, "idempotency_key_reused")


async def test_the_same_merge_from_many_at_once_is_one(
    admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    answers = await asyncio.gather(*[merge(admin, pair["ada"], pair["guest"]) for _ in range(4)])
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["merge_id"] for answer in answers}) == 1


async def test_an_undo_gives_each_what_is_theirs(
    service: Service, admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    before = {name: (await admin.get(f"/v1/customers/{id_}")).json() for name, id_ in pair.items()}
    merged = await merge(admin, pair["ada"], pair["guest"])
    undone = await undo(admin, merged)
    assert undone.status_code == 200
    assert undone.json()["undone_by"] == "admin"
    assert (await undo(admin, merged)).json() == undone.json()
    for name, id_ in pair.items():
        after = (await admin.get(f"/v1/customers/{id_}")).json()
        assert after | {"updated_at": ""} == before[name] | {"updated_at": ""}
        assert (await admin.get(f"/v1/customers/{id_}/timeline")).json()["data"] == []
    # Together once more: another merge.
    again = await merge(admin, pair["ada"], pair["guest"])
    assert again.status_code == 201
    assert again.json()["merge_id"] != merged.json()["merge_id"]
    listed = (await admin.get(f"/v1/customers/{pair['ada']}/merges", params={"limit": 1})).json()
    assert [one["merge_id"] for one in listed["data"]] == [again.json()["merge_id"]]
    rest = (await admin.get(f"/v1/customers/{pair['ada']}/merges?cursor={listed['next_cursor']}")).json()
    assert [one["merge_id"] for one in rest["data"]] == [merged.json()["merge_id"]]
    await sound(service)


async def test_feedback_goes_over_and_comes_back(
    service: Service, admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    def said(name: str, source_id: str) -> dict[str, Any]:
        return {
            "customer": pair[name],
            "kind": "nps",
            "rating": 2,
            "source_id": source_id,
            "text": "Bad service",
        }

    answers = {name: await posted(admin, "/v1/feedback", said(name, "same")) for name in pair}
    complaint = await posted(
        admin, "/v1/complaints", {"customer": pair["guest"], "subject": "Late", "severity": "high"}
    )
    note = await posted(admin, f"/v1/customers/{pair['guest']}/notes", {"text": "Called twice"})
    merged = await merge(admin, pair["ada"], pair["guest"])
    for name, one in answers.items():
        assert (await posted(admin, "/v1/feedback", said(name, "same")))["duplicate"], name
        shown = (await admin.get(f"/v1/feedback/{one['id']}")).json()
        assert (shown["id"], shown["customer_id"]) == (one["id"], pair["ada"])
        follow_up = one["follow_up"]["id"]
        changed = await admin.patch(f"/v1/follow-ups/{follow_up}", json={"owner": "ben"})
        assert (changed.status_code, changed.json()["id"]) == (200, follow_up)
    later = await posted(admin, "/v1/feedback", said("guest", "later"))
    moved = await posted(
        admin,
        f"/v1/complaints/{complaint['id']}/transitions",
        {"to": "acknowledged", "expected_version": complaint["version"]},
    )
    second = await posted(admin, "/v1/complaints", {"customer": pair["guest"], "subject": "Again late"})
    context = (await admin.get(f"/v1/customers/{pair['ada']}/context")).json()
    assert [one["id"] for one in context["notes"]] == [note["id"]]
    assert {one["complaint_id"] for one in context["open_complaints"]} == {complaint["id"], second["id"]}
    await sound(service)
    assert (await undo(admin, merged)).status_code == 200
    await sound(service)
    for one, owner in ((answers["ada"], "ada"), (answers["guest"], "guest"), (later, "guest")):
        shown = (await admin.get(f"/v1/feedback/{one['id']}")).json()
        assert shown["customer_id"] == pair[owner]
    for one in (moved, second):
        shown = (await admin.get(f"/v1/complaints/{one['id']}")).json()
        assert (shown["customer_id"], shown["version"]) == (pair["guest"], one["version"])
    notes = {
        name: (await admin.get(f"/v1/customers/{id_}/notes")).json()["data"] for name, id_ in pair.items()
    }
    assert notes == {"ada": [], "guest": [note]}


async def test_a_survey_link_leads_to_the_survivor_and_back(
    service: Service, admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    survey = {"code": "late", "kind": "csat", "question": "How was it?", "channel": "email"}
    assert (await admin.post("/v1/surveys", json=survey)).status_code == 201
    asked = await posted(admin, "/v1/survey-invitations", {"customer": pair["guest"], "survey": "late"})
    merged = await merge(admin, pair["ada"], pair["guest"])
    shown = (await admin.get(f"/v1/survey-invitations/{asked['id']}")).json()
    assert (shown["id"], shown["link"], shown["customer_id"]) == (asked["id"], asked["link"], pair["ada"])
    report = await admin.post(f"/v1/survey-invitations/{asked['id']}/reports", json={"report": "sent"})
    assert report.json()["state"] == "sent"
    path = asked["link"].removeprefix("http://rapport.test")
    answer = await admin.post(path, data={"rating": "5", "text": "Fine"})
    assert answer.status_code in (200, 201), answer.text
    assert (await undo(admin, merged)).status_code == 200
    shown = (await admin.get(f"/v1/survey-invitations/{asked['id']}")).json()
    assert (shown["state"], shown["customer_id"]) == ("answered", pair["guest"])
    listed = (await admin.get("/v1/feedback")).json()["data"]
    assert [one["customer_id"] for one in listed] == [pair["guest"]]
    await sound(service)


async def test_what_there_is_one_of_comes_where_the_survivor_has_none(
    admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    until = (await admin.get(f"/v1/customers/{pair['ada']}")).json()["created_at"]
    said = {
        "score": 90,
        "reason": "Old friend",
        "until": until.replace(until[:4], str(int(until[:4]) + 1), 1),
    }
    await admin.put(f"/v1/customers/{pair['guest']}/health/override", json=said)
    merged = await merge(admin, pair["ada"], pair["guest"])
    health = (await admin.get(f"/v1/customers/{pair['ada']}/health")).json()
    assert health["override"]["score"] == 90
    await undo(admin, merged)
    overrides = {
        name: (await admin.get(f"/v1/customers/{id_}/health")).json()["override"]
        for name, id_ in pair.items()
    }
    assert overrides["ada"] is None
    assert overrides["guest"]["score"] == 90


async def test_a_customer_is_not_merged_with_themselves(
    admin: httpx.AsyncClient, pair: dict[str, str]
) -> None:
    assert problem(await merge(admin, pair["ada"], "external_id:42")) == (409, "same_customer")
    await merge(admin, pair["ada"], pair["guest"])
    assert problem(await merge(admin, pair["guest"], pair["ada"])) == (409, "same_customer")
    assert problem(await merge(admin, pair["guest"], pair["guest"])) == (409, "same_customer")


async def test_an_erased_customer_is_not_merged(
    admin: httpx.AsyncClient, pair: dict[str, str], owner_url: str
) -> None:
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    await connection.execute(
        "UPDATE customer_states SET erased_at = '2026-01-01' WHERE customer_id = $1", UUID(pair["guest"])
    )
    await connection.close()
    assert problem(await merge(admin, pair["ada"], pair["guest"])) == (409, "erased")
    assert problem(await merge(admin, pair["guest"], pair["ada"])) == (409, "erased")


async def test_a_merge_of_one_who_was_erased_since_is_not_undone(
    admin: httpx.AsyncClient, pair: dict[str, str], owner_url: str
) -> None:
    merged = await merge(admin, pair["ada"], pair["guest"])
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    await connection.execute(
        "UPDATE customer_states SET erased_at = '2026-01-01' WHERE customer_id = $1", UUID(pair["ada"])
    )
    await connection.close()
    assert problem(await undo(admin, merged)) == (409, "erased")


async def test_what_is_wrong_with_a_merge_is_said(admin: httpx.AsyncClient, pair: dict[str, str]) -> None:
    assert problem(await merge(admin, pair["ada"], "external_id:nobody")) == (404, "customer_not_found")
    assert problem(await merge(admin, "external_id:nobody", pair["ada"])) == (404, "customer_not_found")
    assert problem(await merge(admin, pair["ada"], "no colon")) == (422, "invalid_reference")
    both = {"external_id": "42", "email": "ada@shop.example"}
    assert problem(await merge(admin, pair["ada"], both)) == (409, "identity_conflict")
    silent = await admin.post(f"/v1/customers/{pair['ada']}/merge", json={"from": pair["guest"]})
    assert silent.status_code == 422


async def test_a_chain_is_parted_from_its_end(admin: httpx.AsyncClient, pair: dict[str, str]) -> None:
    third = await posted(admin, "/v1/customers", {"identifiers": {"crm": "9"}})
    first = await merge(admin, pair["guest"], pair["ada"])
    second = await merge(admin, third["id"], pair["guest"])
    blocked = await undo(admin, first)
    assert problem(blocked) == (409, "undo_blocked")
    assert blocked.json()["blocked_by"] == [{"kind": "merge", "id": second.json()["merge_id"]}]
    # The first one's names still lead to the end of the chain, and the retry finds its merge there.
    assert (await admin.get("/v1/customers/external_id:42")).json()["id"] == third["id"]
    assert (await merge(admin, pair["guest"], pair["ada"])).json() == first.json()
    assert (await undo(admin, second)).status_code == 200
    assert (await admin.get("/v1/customers/external_id:42")).json()["id"] == pair["guest"]
    assert (await undo(admin, first)).status_code == 200
    assert (await admin.get("/v1/customers/external_id:42")).json()["id"] == pair["ada"]


async def test_there_is_no_such_merge(admin: httpx.AsyncClient) -> None:
    for unknown in ("merge_" + "0" * 43, "nonsense"):
        assert problem(await admin.get(f"/v1/merges/{unknown}")) == (404, "merge_not_found")
        assert problem(await admin.post(f"/v1/merges/{unknown}/undo")) == (404, "merge_not_found")


@pytest.mark.parametrize(
    "method, path, scope",
    [
        ("POST", "/v1/customers/{ada}/merge", "customers:write"),
        ("GET", "/v1/customers/{ada}/merges", "customers:read"),
        ("GET", "/v1/merges/x", "customers:read"),
        ("POST", "/v1/merges/x/undo", "customers:write"),
    ],
)
async def test_a_key_without_the_scope_is_refused(
    service: Service, pair: dict[str, str], method: str, path: str, scope: str
) -> None:
    client = await service.client(await service.key(scopes=["feedback:read"]))
    answer = await client.request(method, path.format(**pair), json={"from": pair["guest"], "reason": "x"})
    assert problem(answer) == (403, "scope_missing")
    assert answer.json()["scope"] == scope


async def test_a_shared_address_merges_nobody(admin: httpx.AsyncClient, pair: dict[str, str]) -> None:
    """Two customers meet in one post: it is refused, and what they are stays as it is."""
    answer = await admin.post(
        "/v1/touchpoints",
        json={"customer": {"external_id": "42", "email": "ada@shop.example"}, "kind": "visit"},
    )
    assert problem(answer) == (409, "identity_conflict")
    assert answer.json()["customers"] == sorted(pair.values())
    assert (await admin.get(f"/v1/customers/{pair['guest']}")).json()["id"] == pair["guest"]
