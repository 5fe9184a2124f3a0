"""Models with other half-lives, over HTTP."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.usecases.replay_states import replay_states
from tests.api.conftest import Service
from tests.api.test_models import MODELS, buy, problem, propose


@pytest.mark.parametrize(
    "parameters, told",
    [
        ({"half_lives": {"contacts": 20}}, "half_lives.contacts is 20, and stored states hold 30."),
        ({"resolution": {"slow": 0.5}}, "resolution.slow is 0.5, and stored states hold 0.45."),
    ],
)
async def test_other_half_lives_score_new_customers_and_the_others_once_they_are_replayed(
    service: Service, admin: httpx.AsyncClient, parameters: dict[str, Any], told: str
) -> None:
    before = await buy(admin, "before")
    written = await propose(admin, parameters=parameters)
    assert written.json()["state_schema_differences"] == [told]
    previewed = (await admin.post(f"{MODELS}/2/preview")).json()
    assert (previewed["customers"], previewed["changed"]) == (1, 0)
    asked = {"model": parameters, "customer": "external_id:before"}
    simulated = (await admin.post("/v1/health/simulate", json=asked)).json()
    assert (simulated["current"]["model"], simulated["simulated"]["model"]) == ("2026.1", "simulated")
    published = (await admin.post(f"{MODELS}/2/publish")).json()
    assert (published["status"], published["draining_since"]) == ("active", None)
    earlier = (await admin.get(f"{MODELS}/2026.1")).json()
    assert earlier["status"] == "active"
    assert earlier["draining_since"] is not None
    assert 'scoring_models_in_play{state="draining"} 1.0' in (await admin.get("/metrics")).text
    after = await buy(admin, "after")
    assert (before["health"]["model"], after["health"]["model"]) == ("2026.1", "2")
    for customer, model in (("before", "2026.1"), ("after", "2")):
        path = f"/v1/customers/external_id:{customer}"
        for view in ("/health", "/context"):
            answer = (await admin.get(path + view)).json()
            assert answer.get("health", answer)["model"] == model
        points = (await admin.get(path + "/health/history")).json()["data"]
        assert points[-1]["model"] == model
    state = service.app.state
    await replay_states(state.database, state.model.current, settled=timedelta(0))
    await state.model.refresh()
    assert (await admin.get(f"{MODELS}/2026.1")).json()["status"] == "retired"
    replayed = (await admin.get("/v1/customers/external_id:before/health")).json()
    assert replayed["model"] == "2"


async def test_only_so_many_half_lives_are_in_use_at_a_time(admin: httpx.AsyncClient) -> None:
    for days in (20, 21, 22, 23):
        version = f"c{days}"
        await propose(admin, version, parameters={"half_lives": {"contacts": days}}, base="2026.1")
        answer = await admin.post(f"{MODELS}/{version}/publish")
        if days == 23:
            assert problem(answer) == (409, "too_many_state_forms")
        else:
            assert answer.status_code == 200
