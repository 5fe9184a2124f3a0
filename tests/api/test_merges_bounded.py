"""How much a merge may move, and who counts them."""

import httpx
import pytest

from app.settings import Settings
from tests.api.conftest import Service
from tests.api.test_problems import problem

MOST = 3


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"most_merged_touchpoints": MOST})


async def visits(admin: httpx.AsyncClient, name: str, count: int) -> None:
    for number in range(count):
        said = {"id": f"{name}-{number}", "customer": f"external_id:{name}", "kind": "visit"}
        assert (await admin.post("/v1/touchpoints", json=said)).status_code == 201


async def test_a_log_that_is_too_long_is_refused_before_anything_moves(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await visits(admin, "till", MOST + 1)
    await visits(admin, "ada", MOST)
    refused = await admin.post(
        "/v1/customers/external_id:ada/merge", json={"from": "external_id:till", "reason": "The same"}
    )
    assert problem(refused, 409, "merge_too_large")["most"] == MOST
    timeline = (await admin.get("/v1/customers/external_id:till/timeline")).json()["data"]
    assert len(timeline) == MOST + 1
    # The other way round the short one moves.
    merged = await admin.post(
        "/v1/customers/external_id:till/merge", json={"from": "external_id:ada", "reason": "The same"}
    )
    assert merged.status_code == 201
    undo = f"/v1/merges/{merged.json()['merge_id']}/undo"
    assert (await admin.post(undo)).status_code == 200
    assert (await admin.post(undo)).status_code == 200
    told = service.app.state.metrics.render().decode()
    assert 'customer_merges_total{what="merged"} 1.0' in told
    assert 'customer_merges_total{what="undone"} 1.0' in told
