"""What is told of the active model's drift: with the model, and to Prometheus."""

from datetime import UTC, datetime, timedelta

import httpx

from app.domain.health.drift import Drift
from app.storage import models
from app.storage.models import SeenDrift
from tests.api.conftest import Service

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SEEN = SeenDrift(NOW, NOW - timedelta(days=91), Drift(4000, 1200, 0.08, 0.1))


def metric(text: str, name: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(f"model_drift_{name} ")]
    return float(line.split()[1])


async def test_a_model_says_whether_it_still_knows_the_shop(
    service: Service, admin: httpx.AsyncClient
) -> None:
    path = "/v1/scoring-models/2026.1"
    assert (await admin.get(path)).json()["drift"] is None
    async with service.app.state.database.hot_transaction() as connection:
        await models.save_drift(connection, "2026.1", SEEN)
    told = (await admin.get(path)).json()["drift"]
    assert told == {
        "checked_at": "2026-11-22T12:00:00Z",
        "window_from": "2026-08-23T12:00:00Z",
        "customers": 4000,
        "bought": 1200,
        "ece": 0.08,
        "psi": 0.1,
        "drifted": True,
        "reasons": ["Predictions of the last closed window were off by 0.080 on average; 0.05 is allowed."],
    }
    (listed,) = (await admin.get("/v1/scoring-models")).json()["data"]
    assert listed["drift"] == told


async def test_metrics_tell_the_same(service: Service, admin: httpx.AsyncClient) -> None:
    metrics = service.app.state.metrics
    metrics.drifted(None)
    before = (await admin.get("/metrics")).text
    assert (metric(before, "fired"), metric(before, "timestamp_seconds")) == (0, 0)
    metrics.drifted(SEEN)
    after = (await admin.get("/metrics")).text
    assert (metric(after, "ece"), metric(after, "psi"), metric(after, "fired")) == (0.08, 0.1, 1)
    assert metric(after, "timestamp_seconds") == NOW.timestamp()
    metrics.drifted(SEEN._replace(drift=Drift(10, 1, None, None)))
    small = (await admin.get("/metrics")).text
    assert metric(small, "ece") != metric(small, "ece")
    assert metric(small, "fired") == 0
