"""The figures against scipy, against the published example, and against what their intervals promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from app.domain.feedback.scales import Scale
from app.domain.feedback.statistics import Figure, ces, change, csat, figure_of, nps, response_rate, share

Counts = NDArray[np.int64]
SAMPLES = 4_000
EASY_IS_7 = Scale(1, 7)
OLD_EFFORT = Scale(1, 7, "lower_is_better")
counts_of_three = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))


def interval(figure: Figure) -> tuple[float, float, float]:
    """(low, score, high) of a figure that has answers."""
    assert figure.score is not None
    assert figure.ci_low is not None
    assert figure.ci_high is not None
    return figure.ci_low, figure.score, figure.ci_high


def test_without_answers_there_is_no_figure_and_never_a_zero() -> None:
    for figure in (
        nps(0, 0, 0),
        csat(0, 0),
        *ces({}, EASY_IS_7),
        response_rate(answered=0, sent=3, bounced=3),
    ):
        assert figure == Figure(None, 0, None, None, indicative=True, standard_error=None)


def test_nine_of_ten_satisfied_is_between_60_and_98_percent() -> None:
    low, score, high = interval(csat(9, 10))
    assert (round(low), round(score), round(high)) == (60, 90, 98)


def test_nps_follows_its_formula() -> None:
    figure = nps(10, 5, 5)
    n = 23
    p, d = 10.75 / n, 5.75 / n
    error = 100 * ((p + d - (p - d) ** 2) / n) ** 0.5
    assert figure.score == pytest.approx(25)
    assert figure.standard_error == pytest.approx(error)
    assert figure.ci_low == pytest.approx(100 * (p - d) - stats.norm.ppf(0.975) * error)
    assert figure.ci_high == pytest.approx(100 * (p - d) + stats.norm.ppf(0.975) * error)


@pytest.mark.parametrize("n, indicative", [(1, True), (29, True), (30, False), (1000, False)])
def test_fewer_than_thirty_answers_are_indicative(n: int, indicative: bool) -> None:
    assert nps(n, 0, 0).indicative is indicative
    assert csat(n, n).indicative is indicative
    assert ces({4: n}, EASY_IS_7).mean.indicative is indicative


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_shares_have_the_wilson_interval_that_scipy_computes(counted: tuple[int, int]) -> None:
    part, n = counted
    low, _, high = interval(share(part, n))
    theirs = stats.binomtest(part, n).proportion_ci(method="wilson")
    assert low / 100 == pytest.approx(theirs.low, abs=1e-9)
    assert high / 100 == pytest.approx(theirs.high, abs=1e-9)


@given(counts_of_three.filter(any))
def test_the_score_lies_in_its_interval_and_the_interval_on_the_scale(counted: tuple[int, int, int]) -> None:
    low, score, high = interval(nps(*counted))
    assert -100 <= low <= score <= high <= 100
    assert low < high


@given(counts_of_three)
def test_turning_promoters_into_detractors_mirrors_the_figure(counted: tuple[int, int, int]) -> None:
    one, other = nps(*counted), nps(*reversed(counted))
    if one.score is None:
        assert other.score is None
        return
    assert interval(one) == pytest.approx(tuple(-end for end in reversed(interval(other))))


@given(counts_of_three.filter(any))
def test_nps_is_the_mean_of_numpy_and_its_error_comes_down_to_that_of_scipy(
    counted: tuple[int, int, int],
) -> None:
    promoters, passives, detractors = counted
    values = np.repeat([1, 0, -1], [promoters, passives, detractors])
    figure = nps(promoters, passives, detractors)
    assert figure.score == pytest.approx(100 * values.mean())
    if len(values) > 300 and min(counted) > 30:
        assert figure.standard_error == pytest.approx(100 * stats.sem(values, ddof=0), rel=0.02)


@given(st.dictionaries(st.integers(1, 7), st.integers(0, 50)))
def test_effort_is_a_mean_and_the_share_of_the_best_three(counts: dict[int, int]) -> None:
    values = np.repeat(list(counts), list(counts.values())) if counts else np.array([])
    up, down = ces(counts, EASY_IS_7), ces(counts, OLD_EFFORT)
    if not len(values):
        assert up.mean.score is None
        return
    assert up.mean.score == pytest.approx(values.mean())
    assert down.mean == up.mean
    assert up.easy.score == pytest.approx(100 * (values >= 5).mean())
    assert down.easy.score == pytest.approx(100 * (values <= 3).mean())
    low, score, high = interval(up.mean)
    assert 1 <= low <= score <= high <= 7


def test_equal_answers_are_not_certain() -> None:
    low, score, high = interval(ces({7: 3}, EASY_IS_7).mean)
    assert score == high == 7
    assert low < 5


def test_scales_are_never_mixed() -> None:
    with pytest.raises(ValueError, match="on the scale"):
        ces({8: 1}, EASY_IS_7)
    with pytest.raises(ValueError, match="negative"):
        nps(-1, 0, 0)
    with pytest.raises(ValueError, match="whole"):
        share(3, 2)


def test_a_figure_comes_from_the_counts_per_rating() -> None:
    stars = {5: 7, 4: 2, 3: 1, 1: 2}
    assert figure_of("nps", {10: 6, 9: 4, 8: 5, 0: 3, 6: 2}, Scale(0, 10)) == nps(10, 5, 5)
    assert figure_of("csat", stars, Scale(1, 5)) == csat(9, 12)
    assert figure_of("csat", stars, Scale(1, 5, "lower_is_better")) == csat(2, 12)
    assert figure_of("review", stars, Scale(1, 5)).score == pytest.approx(48 / 12)
    assert figure_of("ces", {7: 1, 1: 1}, EASY_IS_7) == ces({7: 1, 1: 1}, EASY_IS_7).mean
    assert figure_of("nps", {}, Scale(0, 10)).score is None
    with pytest.raises(ValueError, match="scale"):
        figure_of("csat", {10: 1}, Scale(1, 5))


# --- coverage ------------------------------------------------------------------------------------------------------
# The share of samples whose interval holds the truth; 0.95 is promised. Seeded, so that a red run is about the code.

SHAPES = {
    "even": (1 / 3, 1 / 3, 1 / 3),
    "good": (0.6, 0.25, 0.15),
    "loved": (0.8, 0.15, 0.05),
    "hated": (0.1, 0.2, 0.7),
    "split": (0.5, 0.05, 0.45),
}


@pytest.mark.parametrize("n", [10, 30, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_interval_of_the_nps_covers_the_truth(shape: str, n: int) -> None:
    probabilities = SHAPES[shape]
    truth = 100 * (probabilities[0] - probabilities[2])
    drawn: Counts = np.random.default_rng(n).multinomial(n, probabilities, SAMPLES)
    held = [low <= truth <= high for low, _, high in (interval(nps(*map(int, row))) for row in drawn)]
    assert np.mean(held) >= 0.93


@pytest.mark.parametrize("n", [10, 30, 100])
@pytest.mark.parametrize("truth", [0.5, 0.7, 0.8, 0.9, 0.95])
def test_the_interval_of_the_csat_covers_the_truth(truth: float, n: int) -> None:
    drawn: Counts = np.random.default_rng(n).binomial(n, truth, SAMPLES)
    held = [low <= 100 * truth <= high for low, _, high in (interval(csat(int(k), n)) for k in drawn)]
    # Wilson oscillates around 0.95 because counts are whole: 0.91 is its known low for a share of 95 % of ten.
    assert np.mean(held) >= 0.91


@pytest.mark.parametrize("n", [10, 30, 100])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1, 1, 1, 1, 1),
        (1, 1, 2, 3, 5, 8, 10),
        (10, 5, 3, 2, 1, 1, 1),
        (5, 1, 0, 0, 0, 1, 5),
        (0, 0, 0, 1, 2, 5, 12),
        (1, 0, 0, 0, 1, 5, 30),
    ],
)
def test_the_interval_of_the_mean_effort_covers_the_truth(shape: tuple[int, ...], n: int) -> None:
    probabilities = np.array(shape) / sum(shape)
    truth = float((np.arange(1, 8) * probabilities).sum())
    drawn: Counts = np.random.default_rng(n).multinomial(n, probabilities, SAMPLES)
    figures = (ces(dict(enumerate(map(int, row), 1)), EASY_IS_7).mean for row in drawn)
    assert np.mean([low <= truth <= high for low, _, high in map(interval, figures)]) >= 0.935


@pytest.mark.parametrize("n", [30, 100])
def test_a_change_that_is_none_is_called_significant_in_one_case_of_twenty(n: int) -> None:
    rng = np.random.default_rng(n)
    pairs = zip(
        rng.multinomial(n, SHAPES["good"], SAMPLES), rng.multinomial(n, SHAPES["good"], SAMPLES), strict=True
    )
    moved = [change(nps(*map(int, one)), nps(*map(int, other))).moved for one, other in pairs]
    assert 0.03 <= moved.count("significant") / SAMPLES <= 0.07


def test_a_change_is_judged_by_both_errors() -> None:
    told = change(nps(60, 20, 20), nps(40, 20, 40))
    assert told.difference == pytest.approx(40)
    assert told.moved == "significant"
    assert change(nps(60, 20, 20), nps(58, 20, 22)).moved == "not_significant"


def test_a_change_of_few_answers_is_told_and_not_judged() -> None:
    told = change(nps(29, 0, 0), nps(0, 0, 1000))
    assert told.difference == pytest.approx(200)
    assert told.moved == "too_few"
    assert change(nps(0, 0, 0), nps(60, 20, 20)) == (None, None, "too_few")


def test_equal_periods_of_equal_answers_did_not_move() -> None:
    told = change(csat(40, 40), csat(50, 50))
    assert told == (0.0, 0.0, "not_significant")


def test_what_bounced_was_not_delivered_and_who_answered_was_reached() -> None:
    assert response_rate(answered=5, sent=12, bounced=2).score == pytest.approx(50)
    assert response_rate(answered=2, sent=2, bounced=1).score == pytest.approx(100)
    with pytest.raises(ValueError, match="bounce"):
        response_rate(answered=0, sent=1, bounced=2)
