"""What a customer is expected to do and to be worth."""

from dataclasses import replace
from itertools import pairwise
from math import exp, lgamma, log1p, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.health.facts import Fact, fact_of
from app.domain.health.history import fold
from app.domain.health.mbg import alive_probability, purchase_probability, purchases_if_alive
from app.domain.health.model import shipped
from app.domain.health.score import score
from app.domain.health.state import EMPTY, State
from app.domain.health.threads import contribution
from app.domain.health.value import Forecast, expected_amount, forecast, value
from tests.domain.health.strategies import DAY, NOW, START, histories

MODEL = shipped()
buyers = histories(
    kinds=("purchase", "purchase", "complaint_opened", "csat", "visit", "refund"), min_size=1
).map(lambda facts: [*facts, fact_of("purchase", START, "first", amount=2500)])


def ahead(state: State, now: int = NOW) -> Forecast:
    told = forecast(state, score(state, now, MODEL), now, MODEL)
    assert told is not None
    return told


# --- MBG/NBD --------------------------------------------------------------------------------------------------------


def by_hand(repeats: int, age: float, horizon: float, parameters: tuple[float, ...]) -> float:
    """The same integral in another variable and by another rule: tanh-sinh on q itself, some thousand nodes."""
    r, alpha, a, b = parameters
    shape, reach, right = r + repeats, horizon / (alpha + age), b + repeats + 1
    log_beta = lgamma(a) + lgamma(right) - lgamma(a + right)
    total, step = 0.0, 1 / 128
    for number in range(-6 * 128, 6 * 128 + 1):
        place = number * step
        sinh = pi * (exp(place) - exp(-place)) / 2
        # q = 1/(1 + exp(-sinh)); its logarithm and that of 1 - q keep their digits at both ends.
        log_q, log_rest = (
            -log1p(exp(-sinh)) if sinh > -700 else sinh,
            -log1p(exp(sinh)) if sinh < 700 else -sinh,
        )
        density = exp(max(-745.0, a * log_q + right * log_rest - log_beta))
        bought = (1 - (1 + exp(log_q) * reach) ** -shape) / exp(log_q) if log_q > -30 else shape * reach
        total += density * bought * pi * (exp(place) + exp(-place)) / 2
    return total * step


@pytest.mark.parametrize("repeats", [0, 1, 2, 7, 60, 2000])
@pytest.mark.parametrize("age, horizon", [(0.07, 0.14), (38.86, 39), (10, 52), (500, 521)])
@pytest.mark.parametrize(
    "parameters", [MODEL.mbg_weeks, (0.5248, 6.1831, 0.8914, 1.6140), (2.0, 30.0, 1.0, 0.3), (5, 9, 12, 40)]
)
def test_expected_purchases_of_mbg_are_its_integral(
    repeats: int, age: float, horizon: float, parameters: tuple[float, ...]
) -> None:
    expected = by_hand(repeats, age, horizon, parameters)
    assert purchases_if_alive(repeats, age, horizon, parameters) == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize(
    "repeats, age, horizon, expected",
    # c/(a - 1) (1 - (A/(A + N))^R 2F1(R, b + x + 1; c; N/(A + N))), c = a + b + x, with scipy.special.hyp2f1 1.17.
    [(0, 10, 13, 0.41718268885831), (2, 38.86, 39, 1.82620054996079), (50, 100, 52, 20.8674345944015)],
)
def test_expected_purchases_of_mbg_are_its_closed_form(
    repeats: int, age: float, horizon: float, expected: float
) -> None:
    assert purchases_if_alive(repeats, age, horizon, MODEL.mbg_weeks) == pytest.approx(expected, rel=1e-6)


# --- the forecast ---------------------------------------------------------------------------------------------------


def test_nothing_is_foretold_of_those_who_never_bought() -> None:
    state = contribution((fact_of("nps", START, "n", properties={"rating": 9}),))
    health = score(state, NOW, MODEL)
    assert forecast(state, health, NOW, MODEL) is None
    assert value(state, health, NOW, MODEL, 100) is None
    assert value(EMPTY, score(EMPTY, NOW, MODEL), NOW, MODEL, 100) is None


def test_p_alive_is_the_closed_form_of_mbg() -> None:
    """x = 2, t_x = 30.43 weeks, T = 38.86 weeks: 1/(1 + a/(b + x) ((alpha + T)/(alpha + t_x))^(r + x))."""
    week = 7 * DAY
    bought = [fact_of("purchase", START + at, str(at)) for at in (0, 10 * week, round(30.43 * week))]
    r, alpha, a, b = MODEL.mbg_weeks
    expected = 1 / (1 + a / (b + 2) * ((alpha + 38.86) / (alpha + 30.43)) ** (r + 2))
    assert ahead(fold(bought), START + round(38.86 * week)).p_alive == pytest.approx(expected, rel=1e-6)


@given(histories(kinds=("purchase",), min_size=1), st.integers(0, 400))
def test_p_alive_falls_with_silence_and_rises_with_a_purchase(facts: list[Fact], days: int) -> None:
    state, later = fold(facts), NOW + days * DAY
    bought = state.plus(contribution((fact_of("purchase", later, "new"),)))
    assert 0 <= ahead(state, later).p_alive <= ahead(state).p_alive <= 1
    assert ahead(bought, later).p_alive >= ahead(state, later).p_alive


@given(buyers)
def test_at_the_models_horizon_the_probability_is_that_of_the_score(facts: list[Fact]) -> None:
    state = fold(facts)
    expected = score(state, NOW, MODEL).purchase_probability
    assert ahead(state).purchase_probability(MODEL.horizon_days) == pytest.approx(
        expected, rel=1e-9, abs=1e-300
    )


@given(buyers, st.lists(st.floats(0.5, 10_000), min_size=2, max_size=5), st.integers(0, 3000))
def test_a_longer_horizon_never_brings_less(facts: list[Fact], horizons: list[float], days: int) -> None:
    told = ahead(fold(facts), NOW + days * DAY)
    chances = [told.purchase_probability(horizon) for horizon in sorted(horizons)]
    counts = [told.expected_purchases(horizon) for horizon in sorted(horizons)]
    assert all(0 <= chance <= 1 for chance in chances)
    for series in (chances, counts):
        assert all(later >= earlier * (1 - 2e-6) for earlier, later in pairwise(series))
    assert all(count >= chance for count, chance in zip(counts, chances, strict=True))


@given(buyers)
def test_when_the_score_says_what_mbg_says_so_do_the_expected_purchases(facts: list[Fact]) -> None:
    state = fold(facts)
    told = ahead(state)._replace(hazard_ratio=1.0)
    assert state.t_first is not None
    assert state.t_last is not None
    place = (told.repeats, (state.t_last - state.t_first) / 604_800, told.age_weeks)
    own = alive_probability(*place, MODEL.mbg_weeks) * purchases_if_alive(
        told.repeats, told.age_weeks, 13, MODEL.mbg_weeks
    )
    chance = purchase_probability(*place, 13, MODEL.mbg_weeks)
    assert told.purchase_probability(91) == pytest.approx(chance, rel=1e-6)
    assert told.expected_purchases(91) == pytest.approx(own, rel=1e-5)


# --- money ----------------------------------------------------------------------------------------------------------


def test_the_expected_amount_is_that_of_gamma_gamma() -> None:
    """p (gamma + m n)/(p n + q - 1) with 6.25, 3.744, 15.444: three purchases of 20.00 on average."""
    bought = [
        fact_of("purchase", START + n * DAY, str(n), amount=amount)
        for n, amount in enumerate((1000, 2000, 3000))
    ]
    expected = 6.25 * (15.444 + 60) / (6.25 * 3 + 3.744 - 1)
    assert expected_amount(fold(bought), MODEL, 100) == pytest.approx(expected)
    assert expected_amount(fold(bought), MODEL, 1) == pytest.approx(6.25 * (15.444 + 6000) / 21.494)


def test_without_a_known_amount_nothing_is_said_about_money() -> None:
    state = fold([fact_of("purchase", START, "p")])
    told = value(state, score(state, NOW, MODEL), NOW, MODEL, 100)
    assert told is not None
    assert (told.expected_value, told.clv) == (None, None)
    assert told.expected_purchases > 0


def test_a_customer_who_sent_everything_back_is_worth_little_and_never_less_than_nothing() -> None:
    kept = fold([fact_of("purchase", START, "p", amount=9900, order_id="A")])
    back = fold(
        [
            fact_of("purchase", START, "p", amount=9900, order_id="A"),
            fact_of("refund", START, "r", amount=12_000, order_id="A"),
        ]
    )
    amounts = [expected_amount(state, MODEL, 100) for state in (kept, back)]
    assert amounts[0] is not None
    assert amounts[1] is not None
    assert 0 < amounts[1] < amounts[0]


@given(buyers)
def test_the_lifetime_value_is_the_margin_of_the_expected_value_discounted(facts: list[Fact]) -> None:
    state = fold(facts)
    health = score(state, NOW, MODEL)
    told = value(state, health, NOW, MODEL, 100)
    plain = value(state, health, NOW, replace(MODEL, discount_per_year=0), 100)
    half = value(state, health, NOW, replace(MODEL, margin=0.5), 100)
    assert told is not None
    assert plain is not None
    assert half is not None
    assert told.expected_value is not None
    assert told.clv is not None
    assert half.clv is not None
    assert plain.clv == plain.expected_value == told.expected_value
    assert told.expected_value / 1.1 - 1 <= told.clv <= told.expected_value
    assert half.clv == pytest.approx(told.clv / 2, abs=1)


def test_each_purchase_is_discounted_from_the_day_on_which_it_is_expected() -> None:
    state = fold(
        [fact_of("purchase", NOW - days * DAY, str(days), amount=50_000) for days in (300, 200, 120, 60, 20)]
    )
    told = value(state, score(state, NOW, MODEL), NOW, MODEL, 100)
    counts = [ahead(state).expected_purchases(days) if days else 0.0 for days in range(366)]
    daily = sum(
        (after - before) * 1.1 ** (-(day + 0.5) / 365.25)
        for day, (before, after) in enumerate(pairwise(counts))
    )
    assert told is not None
    assert told.expected_value is not None
    assert told.clv == pytest.approx(told.expected_value * daily / counts[-1], rel=5e-4)


@given(buyers)
def test_who_is_likely_to_buy_is_unlikely_to_churn(facts: list[Fact]) -> None:
    state = fold(facts)
    told = value(state, score(state, NOW, MODEL), NOW, MODEL, 100)
    assert told is not None
    assert told.churn_probability == 1 - ahead(state).purchase_probability(MODEL.churn_window_days)
