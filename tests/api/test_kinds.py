import httpx

from app.domain.kinds import KINDS
from tests.api.conftest import Service


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
