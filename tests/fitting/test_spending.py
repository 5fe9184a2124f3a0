"""Gamma-Gamma: the published estimates, and its formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fitting.spending import expected_value, fit_spending, log_likelihood
from tests.fitting.logs import CALIBRATION_END, cdnow_sample

three = st.tuples(st.floats(0.5, 20.0), st.floats(1.1, 20.0), st.floats(0.5, 200.0)).map(np.array)


def test_the_published_estimates_come_out_of_the_repeat_days_of_the_sample() -> None:
    daily = cdnow_sample().daily()
    known = daily.where(daily.at <= CALIBRATION_END)
    first = np.concatenate([[True], np.diff(known.customer) != 0])
    repeats = known.where(~first)
    count = np.bincount(repeats.customer, minlength=known.customers)
    spent = np.bincount(repeats.customer, weights=repeats.amount / 100, minlength=known.customers)
    bought = count > 0
    assert bought.sum() == 946
    found = fit_spending(count[bought].astype(np.float64), spent[bought] / count[bought])
    assert found.converged
    assert found.parameters == pytest.approx([6.250, 3.744, 15.444], rel=5e-4)


@given(at=three, purchases=st.integers(1, 60), mean=st.floats(0.5, 500.0))
def test_the_gradient_is_the_slope_of_the_likelihood(at: np.ndarray, purchases: int, mean: float) -> None:
    n, m = np.array([float(purchases)]), np.array([mean])
    _, gradient = log_likelihood(at, n, m)
    for index in range(3):
        step = np.zeros(3)
        step[index] = 1e-5 * at[index]
        above, below = (log_likelihood(at + side * step, n, m)[0] for side in (1, -1))
        assert gradient[index] == pytest.approx((above - below) / (2 * step[index]), rel=1e-4, abs=1e-4)


@given(at=three, mean=st.floats(0.5, 500.0))
def test_the_expected_value_moves_from_the_shop_s_mean_to_the_customer_s_own(
    at: np.ndarray, mean: float
) -> None:
    p, q, gamma = at
    shop = p * gamma / (q - 1)
    none, few, many = expected_value(at, np.array([0.0, 3.0, 1e7]), np.full(3, mean))
    assert none == pytest.approx(shop)
    assert many == pytest.approx(mean, rel=1e-3)
    assert min(shop, mean) - 1e-9 <= few <= max(shop, mean) + 1e-9


def test_counted_rows_weigh_like_repeated_ones() -> None:
    random = np.random.default_rng(1)
    n, m = random.integers(1, 9, 300).astype(np.float64), random.gamma(3, 10, 300)
    twice = fit_spending(np.repeat(n, 2), np.repeat(m, 2))
    counted = fit_spending(n, m, np.full(300, 2.0))
    assert counted.parameters == pytest.approx(twice.parameters, rel=1e-4)
