"""The log as arrays, and the score's features from it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.health.facts import Fact, fact_of
from app.domain.health.form import SHIPPED, Form
from app.domain.health.history import fold
from app.domain.health.model import COMPONENTS, Model, shipped
from app.domain.health.score import score
from app.fitting.features import FEATURES, NAMES, Shape, features, log_odds
from app.fitting.purchases import DAY, Purchases, Row
from tests.fitting.logs import START

MODEL = shipped()
OTHER_FORM = SHIPPED._replace(
    purchases_short=9, purchases_middle=90, purchases_long=300, refunds=300, value=50
)
NOW = START + 900 * DAY


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    drawn = []
    for _ in range(draw(st.integers(1, 25))):
        at = START + draw(st.integers(0, 900 * DAY))
        refund = draw(st.booleans()) and draw(st.booleans())
        drawn.append(Row(draw(st.sampled_from("abc")), at, draw(st.integers(0, 90_000)), refund))
    return drawn


def test_a_day_is_one_purchase_to_the_published_models() -> None:
    log = Purchases.of_rows(
        [
            Row("a", START + 10, 100),
            Row("a", START + DAY - 1, 50),
            Row("a", START + DAY, 7),
            Row("b", START + 10, 1),
            Row("b", START + 20, 1, is_refund=True),
        ]
    ).daily()
    assert log.customer.tolist() == [0, 0, 1]
    assert log.at.tolist() == [START, START + DAY, START]
    assert log.amount.tolist() == [150, 7, 1]


@given(rows(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(given_rows: list[Row], random: object) -> None:
    shuffled = list(given_rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' own Random
    # The same numbers for the same customers, whoever comes first.
    first = [Row(name, START, 0) for name in "abc"]
    one, other = Purchases.of_rows([*first, *given_rows]), Purchases.of_rows([*first, *shuffled])
    assert one.sha256() == other.sha256()


def test_outcomes_count_purchases_after_and_up_to() -> None:
    log = Purchases.of_rows(
        [
            Row("a", START, 1),
            Row("a", START + 5, 1),
            Row("a", START + 9, 1),
            Row("b", START + 9, 1, is_refund=True),
        ]
    )
    outcome = log.outcome(START, START + 9, np.array([0, 1]))
    assert outcome.bought.tolist() == [True, False]
    assert outcome.purchases.tolist() == [2.0, 0.0]


def test_what_is_known_leaves_out_the_future_and_refunds_that_wait() -> None:
    log = Purchases.of_rows(
        [
            Row("a", START, 1000),
            Row("a", START + 10 * DAY, 5000),
            Row("a", START + 2 * DAY, 5000, is_refund=True, ordered_at=START + 10 * DAY),
            Row("b", START + 10 * DAY, 1),
        ]
    )
    early = log.as_of(START + 5 * DAY)
    assert early.customers.tolist() == [0]
    assert early.spend.tolist() == [1000.0]
    assert early.r240.tolist() == [0.0]
    late = log.as_of(START + 10 * DAY)
    assert late.spend.tolist() == [1000.0, 1.0]
    assert late.r240[0] > 0


@given(
    rows(), st.integers(0, 100 * DAY), st.sampled_from([7, 91, 365]), st.sampled_from([SHIPPED, OTHER_FORM])
)
def test_features_are_what_the_score_reads_from_the_integer_state(
    given_rows: list[Row], later: int, horizon_days: int, form: Form
) -> None:
    log, now = Purchases.of_rows(given_rows), NOW + later
    model = replace(MODEL, horizon_days=horizon_days, form=form)
    standing = log.as_of(now, form)
    values = features(standing, Shape.of_model(model))
    names = list(dict.fromkeys(row.customer for row in given_rows))
    for index, number in enumerate(standing.customers):
        facts = [_fact(row, str(at)) for at, row in enumerate(given_rows) if row.customer == names[number]]
        _check(facts, values[index], log_odds(values, model)[index], now, model)


def _fact(row: Row, name: str) -> Fact:
    return fact_of("refund" if row.is_refund else "purchase", row.at, name, amount=row.amount)


def _check(facts: list[Fact], values: np.ndarray, total: float, now: int, model: Model) -> None:
    health = score(fold(facts, model.form), now, model)
    assert total == pytest.approx(health.log_odds, abs=1e-6)
    for component in ("momentum", "rhythm", "value", "refunds"):
        mine = [name for name, its in FEATURES.items() if its == component]
        term = sum(values[NAMES.index(name)] * getattr(model, name) for name in mine)
        if component == "momentum":
            term += model.b0 - model.ref
        assert term == pytest.approx(health.terms[COMPONENTS.index(component)] or 0.0, abs=1e-6)


def test_a_refund_of_a_known_order_counts_at_the_order_s_time_and_share() -> None:
    bought, back = START, START + 200 * DAY
    facts = [
        fact_of("purchase", bought, "1", amount=8000, order_id="o"),
        fact_of("refund", back, "2", amount=2000, order_id="o"),
        fact_of("purchase", back, "3", amount=500),
    ]
    log = Purchases.of_rows(
        [
            Row("a", bought, 8000),
            Row("a", back, 2000, is_refund=True, ordered_at=bought, share=250),
            Row("a", back, 500),
        ]
    )
    standing = log.as_of(NOW)
    values = features(standing, Shape.of_model(MODEL))
    _check(facts, values[0], log_odds(values, MODEL)[0], NOW, MODEL)


def test_weekly_cells_hold_every_customer() -> None:
    random = np.random.default_rng(2)
    log = Purchases.of_columns(
        random.integers(0, 400, 2000),
        START + random.integers(0, 300 * DAY, 2000),
        np.zeros(2000, dtype=np.int64),
        np.zeros(2000, dtype=np.bool_),
        customers=400,
    )
    standing = log.as_of(NOW)
    cells = standing.cells(7)
    assert cells.count.sum() == len(standing)
    assert np.all(cells.last <= cells.age)
    assert np.all(cells.age == np.rint(cells.age))
