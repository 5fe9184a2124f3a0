"""Every figure against its definition, written out."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from app.fitting import metrics

scores = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40)
weighted = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30)


def brute_auc(pairs: list[tuple[float, bool]]) -> float:
    buyers = [score for score, bought in pairs if bought]
    others = [score for score, bought in pairs if not bought]
    if not buyers or not others:
        return float("nan")
    wins = sum((b > o) + 0.5 * (b == o) for b in buyers for o in others)
    return wins / len(buyers) / len(others)


@given(scores)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    score, bought = np.array([pair[0] for pair in pairs], dtype=float), np.array([pair[1] for pair in pairs])
    expected = brute_auc([(float(one), hit) for one, hit in pairs])
    assert metrics.auc(score, bought) == pytest.approx(expected, nan_ok=True)


@given(weighted)
def test_a_weight_counts_a_customer_as_often(rows: list[tuple[int, bool, int]]) -> None:
    score, bought, weight = (np.array(column) for column in zip(*rows, strict=True))
    found = metrics.aucs(score.astype(float), bought, weight[None, :].astype(float))[0]
    repeated = [(float(one), hit) for one, hit, count in rows for _ in range(count)]
    assert found == pytest.approx(brute_auc(repeated), nan_ok=True)


@given(scores)
def test_auc_of_the_opposite_score_is_the_rest(pairs: list[tuple[int, bool]]) -> None:
    score, bought = np.array([pair[0] for pair in pairs], dtype=float), np.array([pair[1] for pair in pairs])
    total = metrics.auc(score, bought) + metrics.auc(-score, bought)
    assert total == pytest.approx(1, nan_ok=True) or np.isnan(total)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=40))
def test_spearman_shares_ranks_among_equals(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert metrics.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    else:
        assert np.isnan(metrics.spearman(x, y))


def test_losses_are_those_of_the_textbook_and_never_infinite() -> None:
    p, bought = np.array([0.8, 0.8, 0.0]), np.array([True, False, True])
    assert metrics.log_losses(p, bought) == pytest.approx([-np.log(0.8), -np.log(0.2), -np.log(1e-6)])
    assert metrics.briers(p, bought) == pytest.approx([0.04, 0.64, 1.0])


def test_a_calibrated_forecast_has_little_error_and_an_inflated_one_as_much_as_it_is_off() -> None:
    random = np.random.default_rng(1)
    p = random.uniform(0, 0.5, 200_000)
    bought = random.random(len(p)) < p
    assert metrics.calibration_error(metrics.calibration(p, bought)) < 0.005
    assert metrics.calibration_error(metrics.calibration(p + 0.2, bought)) == pytest.approx(0.2, abs=0.005)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5]), st.booleans()), max_size=60))
def test_a_calibration_table_holds_everybody_once_and_splits_no_equals(
    rows: list[tuple[float, bool]],
) -> None:
    p, bought = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=bool)
    bins = metrics.calibration(p, bought)
    assert sum(row.customers for row in bins) == len(rows)
    assert all(one.highest < other.lowest for one, other in pairwise(bins))


def test_the_top_tenth_takes_equals_in_part() -> None:
    assert metrics.top_share(np.arange(20.0), np.r_[np.zeros(18), 3.0, 5.0]) == pytest.approx(1.0)
    assert metrics.top_share(np.zeros(20), np.ones(20)) == pytest.approx(0.1)
    assert np.isnan(metrics.top_share(np.zeros(20), np.zeros(20)))


def test_a_gain_curve_runs_from_nothing_to_everybody() -> None:
    curve = metrics.gain_curve(np.arange(100.0), np.arange(100) >= 80)
    assert curve[0] == (0.0, 0.0)
    assert curve[-1] == (1.0, 1.0)
    assert dict(curve)[0.2] == pytest.approx(1.0)
    assert metrics.gain_curve(np.arange(3.0), np.zeros(3, dtype=bool)) == []


def test_a_histogram_counts_the_ends() -> None:
    bins = metrics.histogram(np.array([0.0, 4.9, 5.0, 100.0]), np.array([False, True, False, True]))
    assert [(row["customers"], row["bought"]) for row in bins if row["customers"]] == [(2, 1), (1, 0), (1, 1)]


def test_resamples_draw_as_many_customers_as_there_are() -> None:
    drawn = metrics.resamples(50, 7, np.random.default_rng(1))
    assert drawn.shape == (7, 50)
    assert (drawn.sum(axis=1) == 50).all()


def test_a_bootstrap_interval_has_about_the_width_of_theory() -> None:
    random = np.random.default_rng(3)
    values = random.normal(0, 1, 2000)
    samples = metrics.means(values, metrics.resamples(2000, 400, random))
    low, high = metrics.interval(samples)
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.15)
    assert metrics.interval(np.full(10, np.nan)) == pytest.approx((np.nan, np.nan), nan_ok=True)
