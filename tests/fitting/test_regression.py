"""MAP regression: what the data say, held by priors, signs and limits."""

import numpy as np
import pytest

from app.fitting.numerics import logistic, rising_root
from app.fitting.regression import Family, Priors, Rows, map_fit


def loose(columns: int) -> Priors:
    return Priors(np.zeros(columns), np.full(columns, 50.0), np.full(columns, -50.0), np.full(columns, 50.0))


def made(family: Family, rows: int = 20_000) -> Rows:
    random = np.random.default_rng(4)
    values = random.normal(0.7, 2.0, (rows, 2))
    linear = -0.5 + values @ np.array([0.4, -0.3])
    if family == "logistic":
        return Rows(values, (random.random(rows) < logistic(linear)).astype(np.float64))
    return Rows(values, random.poisson(np.exp(linear)).astype(np.float64))


@pytest.mark.parametrize("family", ["logistic", "poisson"])
def test_many_rows_outweigh_a_loose_prior(family: Family) -> None:
    found = map_fit(family, made(family), loose(2), (0.0, 10.0))
    assert found.converged
    assert [found.intercept, *found.slopes] == pytest.approx([-0.5, 0.4, -0.3], abs=0.05)


def test_few_rows_stay_at_the_prior() -> None:
    priors = Priors(np.array([0.7, 0.2]), np.full(2, 0.001), np.full(2, -5.0), np.full(2, 5.0))
    found = map_fit("logistic", made("logistic", 20), priors, (0.0, 2.0))
    assert found.slopes == pytest.approx([0.7, 0.2], abs=1e-3)


def test_signs_hold_even_against_the_data() -> None:
    priors = Priors(np.array([0.1, 0.1]), np.full(2, 50.0), np.zeros(2), np.full(2, 5.0))
    found = map_fit("logistic", made("logistic"), priors, (0.0, 10.0))
    assert found.slopes[0] == pytest.approx(0.4, abs=0.05)
    assert found.slopes[1] == 0


def test_a_linear_limit_holds_and_costs_no_more_than_it_must() -> None:
    rows = made("logistic")
    found = map_fit("logistic", rows, loose(2), (0.0, 10.0), at_least=(np.array([1.0, 1.0]), 0.5))
    assert found.slopes.sum() == pytest.approx(0.5, abs=1e-6)
    assert found.slopes[0] > 0.4


def test_a_feature_that_never_varies_keeps_its_prior() -> None:
    rows = made("logistic")
    constant = Rows(np.column_stack([rows.features, np.full(len(rows.outcome), 3.0)]), rows.outcome)
    priors = Priors(np.array([0.0, 0.0, 0.1]), np.full(3, 10.0), np.full(3, -5.0), np.full(3, 5.0))
    found = map_fit("logistic", constant, priors, (0.0, 10.0))
    assert found.slopes[2] == pytest.approx(0.1)
    assert logistic(found.linear(constant.features)).mean() == pytest.approx(rows.outcome.mean(), abs=0.01)


def test_a_root_is_found_inside_the_reach_and_its_end_outside() -> None:
    assert rising_root(lambda x: x - 3) == pytest.approx(3)
    assert rising_root(lambda x: x - 30) == 10
    assert rising_root(lambda x: x + 30) == -10
