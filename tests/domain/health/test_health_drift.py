"""Drift: calibration and stability, as the back-tests have them, in plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.health.drift import (
    ENOUGH_CUSTOMERS,
    Drift,
    calibration_error,
    drift_of,
    stability_index,
)
from app.fitting import metrics

chances = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=20, max_size=200)


@given(chances)
def test_the_calibration_error_is_that_of_the_back_tests(told: list[tuple[float, bool]]) -> None:
    predicted, happened = [chance for chance, _ in told], [bought for _, bought in told]
    theirs = metrics.calibration_error(metrics.calibration(np.array(predicted), np.array(happened)))
    assert calibration_error(predicted, happened) == pytest.approx(theirs, abs=1e-9)


def test_predictions_that_are_right_have_no_error_and_wrong_ones_theirs() -> None:
    happened = [number % 10 < 3 for number in range(1000)]
    assert calibration_error([0.3] * 1000, happened) == pytest.approx(0, abs=1e-9)
    assert calibration_error([0.0] * 500 + [1.0] * 500, [False] * 500 + [True] * 500) == 0
    assert calibration_error([0.9] * 1000, [False] * 1000) == pytest.approx(0.9)


@given(st.lists(st.floats(0, 100), min_size=10, max_size=100), st.lists(st.floats(0, 100), min_size=1))
def test_stability_is_never_negative_and_nothing_of_equal_scores(then: list[float], now: list[float]) -> None:
    assert stability_index(then, now) >= -1e-12
    assert stability_index(then, list(reversed(then))) == pytest.approx(0)


def test_scores_that_moved_are_told_apart_from_those_that_did_not() -> None:
    then = [number / 10 for number in range(1000)]
    assert stability_index(then, [value + 1 for value in then]) < 0.05
    assert stability_index(then, [value / 2 for value in then]) > 0.2
    # The textbook example of two bins: (.3 - .5) ln(.3/.5) + (.7 - .5) ln(.7/.5).
    assert stability_index([0.0] * 50 + [1.0] * 50, [0.0] * 30 + [1.0] * 70) == pytest.approx(
        0.1695, abs=1e-4
    )


def test_a_small_shop_hears_nothing_and_a_large_one_why() -> None:
    few = [0.9] * (ENOUGH_CUSTOMERS - 1)
    assert drift_of(few, [False] * len(few), few, few) == Drift(len(few), 0, None, None)
    assert drift_of(few, [False] * len(few), few, few).reasons == []
    many = [0.9] * ENOUGH_CUSTOMERS
    found = drift_of(many, [False] * len(many), many, [0.1] * len(many))
    assert found.ece == pytest.approx(0.9)
    assert found.psi is not None
    assert [reason.split()[0] for reason in found.reasons] == ["Predictions", "Scores"]
