import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.domain.kinds import KINDS, MOST_OWN_KINDS
from app.usecases.verify import verify
from tests.api.conftest import Service

KIND_LIST = "/v1/touchpoint-kinds"
SHOWROOM = {"kind": "showroom_visit", "component": "engagement", "weight": 2.5, "label": "Showroom visit"}
CUSTOMER = "external_id:42"


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def post(client: httpx.AsyncClient, id: str, kind: str, **members: Any) -> httpx.Response:  # noqa: A002 - the wire's own name
    body = {"id": id, "kind": kind, "customer": CUSTOMER} | members
    return await client.post("/v1/touchpoints", json=body)


async def test_every_kind_says_what_it_does_and_what_it_needs(service: Service) -> None:
    client = await service.client(await service.key("support"))
    told = (await client.get("/v1/touchpoint-kinds")).json()
    assert told["next_cursor"] is None
    by_name = {kind["kind"]: kind for kind in told["data"]}
    assert list(by_name) == list(KINDS)
    assert by_name["purchase"] == {
        "kind": "purchase",
        "component": "momentum",
        "weight": None,
        "label": "Purchase",
        "needs": ["amount_minor", "currency"],
        "server_only": False,
        "own": False,
    }
    assert by_name["complaint_opened"]["needs"] == ["properties.complaint_id", "properties.severity"]
    assert by_name["order_cancelled"]["needs"] == ["order_id"]
    assert by_name["visit"]["weight"] == 0.25
    assert by_name["delivered"]["component"] is None
    assert by_name["band_changed"]["server_only"]


async def test_reading_the_kinds_needs_a_scope(service: Service) -> None:
    client: httpx.AsyncClient = await service.client(await service.key("storefront", scopes=["events:write"]))
    answer = await client.get("/v1/touchpoint-kinds")
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


# --- the shop's own ---------------------------------------------------------------------------------------------------


async def test_an_own_kind_is_posted_shown_and_counted_like_any_other(admin: httpx.AsyncClient) -> None:
    assert problem(await post(admin, "1", "showroom_visit")) == (422, "unknown_kind")
    defined = await admin.post(KIND_LIST, json=SHOWROOM)
    shown = SHOWROOM | {"needs": [], "server_only": False, "own": True}
    assert (defined.status_code, defined.json()) == (201, shown)
    assert (await admin.get(KIND_LIST)).json()["data"][-1] == shown
    told = (await post(admin, "1", "showroom_visit")).json()
    assert told["health"]["delta"] > 0
    (row,) = (await admin.get(f"/v1/customers/{CUSTOMER}/timeline?kind=showroom_visit")).json()["data"]
    assert (row["kind"], row["description"]) == ("showroom_visit", "Showroom visit")
    context = (await admin.get(f"/v1/customers/{CUSTOMER}/context")).json()
    assert context["recent_touchpoints"][0]["description"] == "Showroom visit"
    health = (await admin.get(f"/v1/customers/{CUSTOMER}/health")).json()
    (engagement,) = [part for part in health["components"] if part["contribution"] is not None]
    assert (engagement["name"], engagement["top_touchpoints"][0]["id"]) == ("engagement", "1")


async def test_defining_a_kind_again_changes_nothing_and_another_one_is_refused(
    admin: httpx.AsyncClient,
) -> None:
    await admin.post(KIND_LIST, json=SHOWROOM)
    again = await admin.post(KIND_LIST, json=SHOWROOM)
    assert again.status_code == 200
    assert problem(await admin.post(KIND_LIST, json=SHOWROOM | {"weight": 1})) == (409, "kind_exists")


@pytest.mark.parametrize("in_path", [True, False])
async def test_a_change_counts_for_what_arrives_from_then_on(
    service: Service, admin: httpx.AsyncClient, in_path: bool
) -> None:
    await admin.post(KIND_LIST, json=SHOWROOM)
    await post(admin, "1", "showroom_visit")
    change = {"weight": 1, "component": "advocacy"}
    changed = (
        await admin.patch(f"{KIND_LIST}/showroom_visit", json=change)
        if in_path
        else await admin.patch(KIND_LIST, json=change | {"kind": "showroom_visit"})
    )
    assert changed.json() == SHOWROOM | change | {"needs": [], "server_only": False, "own": True}
    await post(admin, "2", "showroom_visit")
    async with service.app.state.database.reading() as session:
        rows = await session.execute(
            text("SELECT id, own_component, own_weight FROM touchpoints ORDER BY id")
        )
        assert [tuple(row) for row in rows] == [("1", "engagement", 2500), ("2", "advocacy", 1000)]
    differences = [result.differences for result in await verify(service.app.state.database)]
    assert differences == [0] * len(differences)
    # A retry of what came before the change is the same touchpoint still.
    assert (await post(admin, "1", "showroom_visit")).json()["duplicate"]


async def test_a_kind_of_answer_may_count_against_health(admin: httpx.AsyncClient) -> None:
    sad = {"kind": "frown", "component": "satisfaction", "weight": -1, "label": "Frowned"}
    assert (await admin.post(KIND_LIST, json=sad)).status_code == 201
    assert (await post(admin, "1", "frown")).json()["health"]["delta"] < 0


@pytest.mark.parametrize(
    "members, pointer",
    [
        ({"kind": "Showroom"}, "#/kind"),
        ({"kind": "9lives"}, "#/kind"),
        ({"kind": "purchase"}, "#/kind"),
        ({"component": "momentum"}, "#/component"),
        ({"component": "luck"}, "#/component"),
        ({"weight": 10.5}, "#/weight"),
        ({"weight": -1}, "#/weight"),
        ({"weight": 0.1234}, "#/weight"),
        ({"component": "satisfaction", "weight": 2}, "#/weight"),
    ],
)
async def test_a_kind_that_cannot_be_is_refused_where_it_is_wrong(
    admin: httpx.AsyncClient, members: dict[str, Any], pointer: str
) -> None:
    answer = await admin.post(KIND_LIST, json=SHOWROOM | members)
    assert problem(answer) == (422, "invalid_kind")
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_only_own_kinds_can_be_changed(admin: httpx.AsyncClient) -> None:
    for name in ("purchase", "nothing"):
        answer = await admin.patch(f"{KIND_LIST}/{name}", json={"weight": 1})
        assert problem(answer) == (404, "kind_not_found")
    await admin.post(KIND_LIST, json=SHOWROOM)
    refused = await admin.patch(f"{KIND_LIST}/showroom_visit", json={"component": "satisfaction"})
    assert problem(refused) == (422, "invalid_kind")


async def test_a_shop_has_a_bounded_number_of_kinds(service: Service, admin: httpx.AsyncClient) -> None:
    async with service.app.state.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO touchpoint_kinds (kind, component, weight, label, created_at, updated_at)"
                " SELECT 'k' || n, 'engagement', 1, 'K', now(), now() FROM generate_series(1, :most) n"
            ),
            {"most": MOST_OWN_KINDS},
        )
    assert problem(await admin.post(KIND_LIST, json=SHOWROOM)) == (409, "too_many_kinds")


async def test_a_kind_defined_elsewhere_is_known_within_a_second(
    service: Service, admin: httpx.AsyncClient
) -> None:
    async with service.app.state.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO touchpoint_kinds (kind, component, weight, label, created_at, updated_at)"
                " VALUES ('elsewhere', 'loyalty', 500, 'Elsewhere', now(), now())"
            )
        )
    async with asyncio.timeout(5):  # on a busy machine; two looks a second is what is promised
        while (await post(admin, "1", "elsewhere")).status_code != 201:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.05)


async def test_two_who_define_the_same_kind_at_once_define_one(admin: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(admin.post(KIND_LIST, json=SHOWROOM) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]


async def test_only_admins_define_kinds(service: Service) -> None:
    support = await service.client(await service.key("support"))
    assert problem(await support.post(KIND_LIST, json=SHOWROOM)) == (403, "scope_missing")
