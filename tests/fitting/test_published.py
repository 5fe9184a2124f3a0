"""The published estimates, reproduced; and the formulas against their definitions."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special  # type: ignore[import-untyped]  # scipy ships no types

from app.fitting.numerics import Floats, beta_quadrature
from app.fitting.published import BG_NBD, MBG_NBD, PARETO_NBD, Cells, Process, fit
from tests.fitting.logs import calibration, cdnow, cdnow_sample, shared_data

PROCESSES = (BG_NBD, MBG_NBD, PARETO_NBD)
every_process = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)

# Wider than any shop: beyond a factor of fifty between two scales, quadrature of Pareto/NBD loses digits.
parameters = st.tuples(*[st.floats(0.3, 15.0)] * 4).map(np.array)


@st.composite
def some_cells(draw: st.DrawFn) -> Cells:
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        repeats = draw(st.integers(0, 40))
        age = draw(st.floats(0.0, 150.0))
        last = age * draw(st.floats(0.0, 1.0)) if repeats else 0.0
        rows.append((float(repeats), last, age))
    repeats_, last_, age_ = np.array(rows).T
    return Cells(repeats_, last_, age_, np.ones(len(rows)))


def customer(repeats: float, last: float, age: float) -> Cells:
    return Cells(np.array([repeats]), np.array([last]), np.array([age]), np.ones(1))


@pytest.mark.parametrize(
    "process, expected, log_likelihood",
    [
        (BG_NBD, (0.2426, 4.4136, 0.7929, 2.4259), -9582.4),
        (PARETO_NBD, (0.5533, 10.578, 0.6062, 11.669), -9595.0),
        (MBG_NBD, (0.5248, 6.1831, 0.8914, 1.6140), -9582.1),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_published_estimates_come_out_of_the_published_sample(
    process: Process, expected: tuple[float, ...], log_likelihood: float
) -> None:
    cells = calibration(cdnow_sample())
    assert cells.count.sum() == 2357
    assert cells.count[cells.repeats > 0].sum() == 946
    fitted = fit(process, cells)
    assert fitted.converged
    assert fitted.parameters == pytest.approx(expected, rel=2e-4)
    assert fitted.log_likelihood == pytest.approx(log_likelihood, abs=0.05)


def test_the_published_customer_is_expected_to_buy_1_226_times() -> None:
    fitted = fit(BG_NBD, calibration(cdnow_sample()))
    expected = BG_NBD.expected(fitted.parameters, customer(2, 30.43, 38.86), 39)
    assert expected[0] == pytest.approx(1.226, abs=5e-4)


@shared_data
@pytest.mark.parametrize(
    "process, expected, log_likelihood",
    [
        (BG_NBD, (0.2516, 4.7889, 0.7234, 2.1611), -95368.4),
        (MBG_NBD, (0.6371, 7.3103, 0.8075, 1.2284), -95337.0),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_all_customers_of_cdnow_give_the_estimates_of_the_design(
    process: Process, expected: tuple[float, ...], log_likelihood: float
) -> None:
    fitted = fit(process, calibration(cdnow()))
    assert fitted.parameters == pytest.approx(expected, rel=2e-4)
    assert fitted.log_likelihood == pytest.approx(log_likelihood, abs=0.05)


@every_process
@given(at=parameters, cells=some_cells())
@settings(max_examples=60)
def test_the_gradient_of_the_likelihood_is_its_slope(process: Process, at: Floats, cells: Cells) -> None:
    _, gradient = process.log_likelihood(at, cells)
    for index in range(4):
        step = np.zeros(4)
        step[index] = 1e-5 * at[index]
        above, below = (process.log_likelihood(at + side * step, cells)[0] for side in (1, -1))
        slope = (above - below) / (2 * step[index])
        assert gradient[index] == pytest.approx(slope, rel=1e-4, abs=1e-4)


@every_process
@given(at=parameters, cells=some_cells(), horizons=st.tuples(st.floats(0.0, 200.0), st.floats(0.0, 200.0)))
def test_chances_lie_between_0_and_1_and_grow_with_the_horizon(
    process: Process, at: Floats, cells: Cells, horizons: tuple[float, float]
) -> None:
    alive = process.alive(at, cells)
    near, far = (process.buys(at, cells, horizon) for horizon in sorted(horizons))
    assert np.all((alive >= 0) & (alive <= 1))
    assert np.all(near >= 0)
    assert np.all(near <= far + 1e-9)
    assert np.all(far <= alive + 1e-9)


@every_process
@given(at=parameters, cells=some_cells(), horizon=st.floats(0.1, 200.0))
def test_a_mean_number_of_purchases_is_at_least_the_chance_of_one(
    process: Process, at: Floats, cells: Cells, horizon: float
) -> None:
    assert np.all(process.expected(at, cells, horizon) >= process.buys(at, cells, horizon) * (1 - 1e-3))


@pytest.mark.parametrize("process", [MBG_NBD, PARETO_NBD], ids=lambda process: process.name)
@given(at=parameters, repeats=st.integers(0, 30), age=st.floats(0.1, 150.0), share=st.floats(0.0, 1.0))
def test_a_purchase_now_never_lowers_a_chance_except_under_bg_nbd(
    process: Process, at: Floats, repeats: int, age: float, share: float
) -> None:
    before = customer(repeats, share * age if repeats else 0.0, age)
    after = customer(repeats + 1, age, age)
    for chance in (process.alive(at, after) - process.alive(at, before), _buys(process, at, before, after)):
        assert chance >= -1e-9


def _buys(process: Process, at: Floats, before: Cells, after: Cells) -> float:
    return float((process.buys(at, after, 13.0) - process.buys(at, before, 13.0))[0])


# --- against the special functions that the papers print --------------------------------------------------------------


@given(at=parameters, repeats=st.integers(0, 10), age=st.floats(1.0, 80.0), share=st.floats(0.0, 1.0))
def test_pareto_nbd_has_the_likelihood_of_the_paper(
    at: Floats, repeats: int, age: float, share: float
) -> None:
    last = share * age if repeats else 0.0
    value, _ = PARETO_NBD.log_likelihood(at, customer(repeats, last, age))
    assert value[0] == pytest.approx(_pareto_by_hypergeometric(at, repeats, last, age), rel=1e-6, abs=1e-6)


def _pareto_by_hypergeometric(at: Floats, x: int, last: float, age: float) -> float:
    """Fader and Hardie (2005), "A note on deriving the Pareto/NBD model", equations 18 and 19."""
    r, alpha, s, beta = at
    total = r + s + x
    larger, power = (alpha, s + 1) if alpha >= beta else (beta, r + x)

    def term(time: float) -> float:
        z = abs(alpha - beta) / (larger + time)
        series: float = special.hyp2f1(total, power, total + 1, z) / (larger + time) ** total
        return series

    stays = 1 / ((alpha + age) ** (r + x) * (beta + age) ** s)
    left = s / total * (term(last) - term(age))
    constant = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    return float(constant) + float(np.log(stays + left))


@pytest.mark.parametrize("process, shift", [(BG_NBD, 0), (MBG_NBD, 1)], ids=["bg_nbd", "mbg_nbd"])
@given(
    r=st.floats(0.1, 3.0),
    alpha=st.floats(2.0, 20.0),
    a=st.floats(1.2, 4.0),
    b=st.floats(0.5, 4.0),
    repeats=st.integers(1, 12),
    age=st.floats(5.0, 80.0),
    horizon=st.floats(1.0, 60.0),
)
def test_expected_purchases_are_the_closed_form_of_the_paper(
    process: Process,
    shift: int,
    r: float,
    alpha: float,
    a: float,
    b: float,
    repeats: int,
    age: float,
    horizon: float,
) -> None:
    cells, at = customer(repeats, age / 2, age), np.array([r, alpha, a, b])
    y, whole = b + repeats + shift, alpha + age
    series = float(special.hyp2f1(r + repeats, y, a + y - 1, horizon / (whole + horizon)))
    quiet = (whole / (whole + horizon)) ** (r + repeats)
    closed = process.alive(at, cells)[0] * (a + y - 1) / (a - 1) * (1 - quiet * series)
    assert process.expected(at, cells, horizon)[0] == pytest.approx(closed, rel=1e-6)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_expected_purchases_grow_at_the_rate_at_which_somebody_buys_at_first(process: Process) -> None:
    at, cells, moment = np.array([0.6, 7.0, 0.8, 1.2]), customer(3, 20.0, 30.0), 1e-4
    rate = process.expected(at, cells, moment)[0] / moment
    assert rate == pytest.approx(process.alive(at, cells)[0] * 3.6 / 37.0, rel=1e-3)


@given(a=st.floats(0.01, 50.0), b=st.floats(0.01, 2000.0), power=st.integers(0, 6))
def test_beta_quadrature_gives_the_moments_of_the_distribution(a: float, b: float, power: int) -> None:
    nodes, weights = beta_quadrature(a, b, 12)
    moment = np.exp(special.betaln(a + power, b) - special.betaln(a, b))
    assert weights @ nodes**power == pytest.approx(moment, rel=1e-6, abs=1e-12)


def test_thousands_of_purchases_and_a_long_silence_stay_finite() -> None:
    cells = Cells(np.array([0.0, 5000.0]), np.array([0.0, 100.0]), np.array([0.0, 2000.0]), np.ones(2))
    for process in PROCESSES:
        at = np.array([0.5, 5.0, 0.8, 2.0])
        checks: list[Callable[[], Floats]] = [
            lambda: process.log_likelihood(at, cells)[0],  # noqa: B023 - called at once
            lambda: process.buys(at, cells, 13.0),  # noqa: B023 - called at once
            lambda: process.expected(at, cells, 13.0),  # noqa: B023 - called at once
        ]
        for check in checks:
            assert np.isfinite(check()).all()


def test_parameters_are_recovered_from_a_simulated_mbg_nbd() -> None:
    random = np.random.default_rng(5)
    r, alpha, a, b = 0.8, 6.0, 0.9, 2.5
    rows = []
    for _ in range(6000):
        rate, drop, age = random.gamma(r, 1 / alpha), random.beta(a, b), random.uniform(20, 60)
        repeats, last = 0, 0.0
        while random.random() >= drop:
            gap = random.exponential(1 / rate)
            if last + gap > age:
                break
            repeats, last = repeats + 1, last + gap
        rows.append((float(repeats), last, age))
    found = fit(MBG_NBD, Cells.grouped(*np.array(rows).T)).parameters
    assert found == pytest.approx([r, alpha, a, b], rel=0.25)


def test_cells_count_equal_customers_once() -> None:
    cells = Cells.grouped(np.array([1.0, 0.0, 1.0]), np.array([2.0, 0.0, 2.0]), np.array([3.0, 3.0, 3.0]))
    assert sorted(zip(cells.repeats, cells.count, strict=True)) == [(0.0, 1.0), (1.0, 2.0)]
