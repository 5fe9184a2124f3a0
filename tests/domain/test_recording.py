"""Whatever comes in whatever groups, the log of one customer ends in the same state, and every answer stays true."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.health.history import fold
from app.domain.health.model import shipped
from app.domain.health.score import score
from app.domain.health.state import EMPTY
from app.domain.problems import Conflict
from app.domain.recording import UNTOLD, CustomerLog, record, record_untold, settle
from app.domain.touchpoints import Touchpoint, propose, seconds

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MODEL = shipped()
ADA = UUID(int=1)


def touchpoint(id: str, kind: str = "purchase", days_ago: float = 0, **members: Any) -> Touchpoint:  # noqa: A002 - the wire's own name
    if kind in ("purchase", "refund"):
        members = {"amount_minor": 1000, "currency": "EUR"} | members
    return propose(
        source="shop",
        id=id,
        kind=kind,
        occurred_at=NOW - timedelta(days=days_ago),
        now=NOW,
        body_sha256=id.encode().ljust(32),
        shop_currency="EUR",
        **members,
    )


KINDS = st.sampled_from(
    ["purchase", "refund", "order_cancelled", "visit", "complaint_opened", "complaint_resolved"]
)


@st.composite
def histories(draw: st.DrawFn) -> list[Touchpoint]:
    return [
        touchpoint(
            str(index),
            draw(KINDS),
            draw(st.integers(0, 400)),
            order_id=draw(st.sampled_from(["A", "B"])),
            properties={"complaint_id": draw(st.sampled_from(["c", "d"])), "severity": "high"},
        )
        for index in range(draw(st.integers(1, 9)))
    ]


@given(histories(), st.data())
def test_any_order_any_batching_and_any_retry_end_in_the_fold_of_the_facts(
    history: list[Touchpoint], data: st.DataObject
) -> None:
    log = CustomerLog(ADA, EMPTY)
    for point in [*data.draw(st.permutations(history)), *data.draw(st.lists(st.sampled_from(history)))]:
        if data.draw(st.booleans()):
            record(log, point, MODEL)
        else:
            record_untold(log, point)
    settle(log, MODEL)
    assert log.state == fold(point.fact for point in history)
    assert len(log.fresh) == len(history)
    assert log.health is not None
    assert log.health.score_exact == score(log.state, seconds(NOW), MODEL).score_exact


def test_the_answer_tells_before_after_and_why() -> None:
    log = CustomerLog(ADA, EMPTY)
    first = json.loads(record(log, touchpoint("1", days_ago=40), MODEL).stored.outcome)
    assert (first["before"], first["delta"]) == (None, first["score"] - 50)
    second = json.loads(record(log, touchpoint("2"), MODEL).stored.outcome)
    assert second["before"] == first["score"]
    assert second["delta"] == second["score"] - second["before"] > 0
    assert second["reasons"] == ["Bought again after 40 days"]
    assert second["model"] == "2026.1"


def test_a_retry_gets_the_first_answer_and_another_body_is_refused() -> None:
    log = CustomerLog(ADA, EMPTY)
    first = record(log, touchpoint("1"), MODEL)
    again = record(log, touchpoint("1"), MODEL)
    assert again.duplicate
    assert again.stored is first.stored
    with pytest.raises(Conflict) as caught:
        record(log, touchpoint("1")._replace(body_sha256=bytes(32)), MODEL)
    assert caught.value.code == "id_reused"
    assert len(log.fresh) == 1


def test_a_refund_waits_for_its_order_and_then_counts() -> None:
    log = CustomerLog(ADA, EMPTY)
    refund = record(log, touchpoint("r", "refund", order_id="A"), MODEL)
    assert refund.pending_match
    assert log.state == EMPTY
    purchase = record(log, touchpoint("p", days_ago=2, order_id="A"), MODEL)
    assert not purchase.pending_match
    assert log.state.spend == 0
    assert log.state.r240 > 0
    assert not record(log, touchpoint("r", "refund", order_id="A"), MODEL).pending_match


def test_a_lone_fact_of_a_batch_carries_its_effect_and_several_at_once_carry_none() -> None:
    log = CustomerLog(ADA, EMPTY)
    record_untold(log, touchpoint("0"))
    settle(log, MODEL)
    lone = json.loads(log.fresh[0][1].outcome)
    assert (lone["before"], lone["score"]) == (None, score(log.state, seconds(NOW), MODEL).score)
    for index in (1, 2):
        record_untold(log, touchpoint(str(index), days_ago=index))
    settle(log, MODEL)
    assert [stored.outcome for _, stored in log.fresh[1:]] == [UNTOLD, UNTOLD]
    assert log.health is not None
    assert log.health.score_exact == score(log.state, seconds(NOW), MODEL).score_exact
