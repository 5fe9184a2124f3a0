"""The published sample of CDNOW posted in three orders: one state, and the score of the pure function."""

import csv
import gzip
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.domain.health.facts import Fact, fact_of
from app.domain.health.history import fold
from app.domain.health.model import shipped
from app.domain.health.score import score
from tests.api.conftest import Service

SAMPLE = Path(__file__).parents[1] / "fitting" / "data" / "cdnow_sample.csv.gz"
ORDERS = ("time", "random", "reverse")
BATCH = 2_500

Line = dict[str, str]


def lines() -> list[Line]:
    with gzip.open(SAMPLE, "rt", encoding="utf-8") as rows:
        return sorted(csv.DictReader(rows), key=lambda line: (line["date"], line["cust"]))


def minor(line: Line) -> int:
    return round(float(line["value"]) * 100)


def touchpoint(order: str, number: int, line: Line) -> dict[str, Any]:
    return {
        "id": str(number),
        "customer": f"external_id:{order}-{line['cust']}",
        "kind": "purchase",
        "occurred_at": f"{line['date']}T00:00:00Z",
        "amount_minor": minor(line),
        "currency": "EUR",
    }


async def send(admin: httpx.AsyncClient, touchpoints: list[dict[str, Any]]) -> None:
    for start in range(0, len(touchpoints), BATCH):
        batch = {"touchpoints": touchpoints[start : start + BATCH]}
        answer = await admin.post("/v1/touchpoints/batch?results=errors", json=batch)
        assert (answer.status_code, answer.json()["results"]) == (200, [])


async def states(service: Service, order: str) -> dict[str, bytes]:
    """The stored bytes by the customer's number in the sample."""
    async with service.app.state.database.reading() as session:
        rows = await session.execute(
            text(
                "SELECT split_part(i.value, '-', 2), s.state FROM customer_states s"
                " JOIN customer_identifiers i USING (customer_id) WHERE i.value LIKE :order"
            ),
            {"order": f"{order}-%"},
        )
        return {customer: state for customer, state in rows}  # noqa: C416 - rows are no pairs to dict()


def histories(log: list[Line]) -> dict[str, list[Fact]]:
    """Fresh facts, made from the file and from nothing that is stored."""
    told = defaultdict[str, list[Fact]](list)
    for number, line in enumerate(log):
        at = int(datetime.fromisoformat(line["date"]).replace(tzinfo=UTC).timestamp())
        told[line["cust"]].append(fact_of("purchase", at, f"x/{number}", amount=minor(line)))
    return told


@pytest.fixture
async def shops(admin: httpx.AsyncClient) -> list[Line]:
    """The same shop three times in one database, each in another order of arrival."""
    log = lines()
    for order in ORDERS:
        sent = [touchpoint(order, number, line) for number, line in enumerate(log)]
        if order == "random":
            Random(3).shuffle(sent)
        elif order == "reverse":
            sent.reverse()
        await send(admin, sent)
    return log


async def test_any_order_of_arrival_ends_in_the_bytes_of_a_fresh_fold_and_in_its_score(
    service: Service, admin: httpx.AsyncClient, shops: list[Line]
) -> None:
    in_time, at_random, in_reverse = [await states(service, order) for order in ORDERS]
    assert in_time == at_random == in_reverse
    told, model = histories(shops), shipped()
    assert in_time == {customer: fold(facts).encode() for customer, facts in told.items()}
    assert max(len(state) for state in in_time.values()) <= 1024
    for customer in sorted(told)[::100]:
        for order in ORDERS:
            answer = (await admin.get(f"/v1/customers/external_id:{order}-{customer}/health")).json()
            at = int(datetime.fromisoformat(answer["computed_at"]).timestamp())
            health = score(fold(told[customer]), at, model)
            assert answer["score_exact"] == pytest.approx(health.score_exact, abs=1e-9)
            assert answer["band"] == health.band
