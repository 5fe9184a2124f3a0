"""The shipped model against its test vectors (docs: health)."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app.domain.health.facts import Fact, fact_of
from app.domain.health.history import fold
from app.domain.health.model import COMPONENTS, shipped
from app.domain.health.score import score
from app.domain.health.weights import TABLE

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text("utf-8"))
MODEL = shipped()


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def facts_of(events: list[dict[str, Any]]) -> list[Fact]:
    """The golden refunds name their order by time and amount; ours by the id of the purchase they belong to."""
    facts = []
    for index, event in enumerate(events):
        amount, order = event.get("amount", 0), None
        if event["kind"] == "purchase":
            order = f"{event['at']} {amount}"
        elif event["kind"] == "refund":
            order = f"{event['order_at']} {event['order_amount']}"
        given = ("rating", "severity", "csat", "complaint_id")
        properties: dict[str, Any] = {str(name): event[name] for name in given if name in event}
        if "lo" in event:
            properties["scale"] = {"min": event["lo"], "max": event["hi"]}
        at = seconds(event["at"])
        facts.append(
            fact_of(event["kind"], at, str(index), amount=amount, order_id=order, properties=properties)
        )
    return facts


def test_the_table_of_weights_has_the_agreed_digest() -> None:
    assert hashlib.sha256(",".join(map(str, TABLE)).encode()).hexdigest() == GOLDEN["table_sha256"]


@pytest.mark.parametrize("history", GOLDEN["histories"], ids=range(len(GOLDEN["histories"])))
def test_a_golden_history_gives_the_same_integers_and_scores(history: dict[str, Any]) -> None:
    state = fold(facts_of(history["events"]))
    times = {"t_first", "t_last"}
    expected = {
        name: (value and seconds(value)) if name in times else int(value)
        for name, value in history["state"].items()
    }
    assert state.integers() == expected
    for reading in history["reads"]:
        health = score(state, seconds(reading["at"]), MODEL)
        assert health.score_exact == pytest.approx(reading["score_exact"], abs=1e-6)
        assert health.purchase_probability == pytest.approx(reading["purchase_probability"], abs=1e-6)
        for index, name in enumerate(COMPONENTS):
            assert health.terms[index] == pytest.approx(reading["terms_log_odds"][name], abs=1e-6)
            assert health.contributions[index] == pytest.approx(reading["contributions"][name], abs=1e-6)
