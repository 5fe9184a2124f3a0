"""Fitting a model: what it learns, what it promises, and how far it steps down."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.health.facts import fact_of
from app.domain.health.history import fold
from app.domain.health.model import Model, shipped
from app.domain.health.score import score
from app.fitting import coefficients
from app.fitting.features import NAMES, Shape, features, log_odds
from app.fitting.model_fit import ModelFit, fit_model, version
from app.fitting.numerics import logistic
from app.fitting.purchases import DAY, Purchases, Row
from app.fitting.regression import Rows
from tests.fitting.logs import START, cdnow_sample, seconds, shop

BASE = shipped()
END = seconds("1998-06-30") + DAY - 1


@cache
def sample_fit() -> ModelFit:
    return fit_model(cdnow_sample(), END, horizon_days=91, base=BASE)


def test_a_fitted_model_is_one_that_model_parse_accepts() -> None:
    fitted = sample_fit()
    assert fitted.path == "fitted"
    assert Model.parse(json.loads(json.dumps(fitted.parameters))) == fitted.model
    assert fitted.model.first_purchase_momentum() >= 0
    assert all(getattr(fitted.model, name) <= 0 for name in ("b_pace", "b_pace2"))
    positive = (name for name in NAMES if name not in {"b_pace", "b_pace2"})
    assert all(getattr(fitted.model, name) >= 0 for name in positive)


def test_the_record_says_where_a_model_comes_from() -> None:
    metadata = sample_fit().metadata
    assert json.loads(json.dumps(metadata)) == metadata
    assert metadata["windows"] == [
        "1997-11-01",
        "1997-12-01",
        "1997-12-31",
        "1998-01-30",
        "1998-03-01",
        "1998-03-31",
    ]
    assert metadata["data"] == {
        "sha256": cdnow_sample().sha256(),
        "rows": 6919,
        "customers": 2357,
        "repeaters": int(np.count_nonzero(cdnow_sample().as_of(END).n > 1)),
    }
    assert metadata["training_rows"] == 6 * 2357
    assert metadata["priors"]["means"]["b_n240"] == BASE.b_n240
    assert metadata["converged"]


def test_the_same_log_gives_the_same_version_and_another_one_another() -> None:
    again = fit_model(cdnow_sample(), END, horizon_days=91, base=BASE)
    assert again.model == sample_fit().model
    assert again.model.version.startswith("1.0.0+")
    other = fit_model(cdnow_sample(), END, horizon_days=60, base=BASE)
    assert other.model.version != again.model.version
    assert version("2.0.0", again.parameters) == again.model.version.replace("1.0.0", "2.0.0")


def test_nothing_after_its_time_changes_a_fit() -> None:
    log, now = cdnow_sample(), seconds("1998-01-31") + DAY - 1
    cut = log.where(log.at <= now)
    whole, known = (fit_model(each, now, horizon_days=91, base=BASE) for each in (log, cut))
    assert whole.model == known.model
    assert whole.metadata == known.metadata


def test_chances_are_calibrated_on_what_they_were_learnt_from() -> None:
    log, fitted = cdnow_sample(), sample_fit()
    at = seconds("1998-03-31") + DAY - 1
    standing = log.as_of(at)
    chance, expected = fitted.predict(standing, 91)
    outcome = log.outcome(at, at + 91 * DAY, standing.customers)
    assert chance.mean() == pytest.approx(outcome.bought.mean(), abs=0.03)
    assert expected.sum() == pytest.approx(outcome.purchases.sum(), rel=0.25)


def test_points_and_chances_are_the_score_s_own() -> None:
    model = sample_fit().model
    facts = [
        fact_of("purchase", START, "1", amount=2500),
        fact_of("purchase", START + 40 * DAY, "2", amount=900),
    ]
    now = START + 60 * DAY
    health = score(fold(facts), now, model)
    standing = Purchases.of_rows([Row("a", fact.at, fact.amount) for fact in facts]).as_of(now)
    assert sample_fit().points(standing)[0] == pytest.approx(health.score_exact, abs=1e-6)
    assert sample_fit().predict(standing, 91)[0][0] == pytest.approx(health.purchase_probability, abs=1e-6)


@given(st.tuples(st.floats(1, 400), st.floats(1, 400)))
@settings(max_examples=20)
def test_chances_grow_with_the_horizon_and_agree_at_the_model_s_own(days: tuple[float, float]) -> None:
    standing = cdnow_sample().as_of(END).where(np.arange(200))
    near, far = (sample_fit().predict(standing, horizon) for horizon in sorted(days))
    assert np.all(near[0] <= far[0] + 1e-9)
    assert np.all(near[1] <= far[1] + 1e-9)
    own, close = (sample_fit().predict(standing, horizon)[0] for horizon in (91, 91 + 1e-9))
    assert own == pytest.approx(close, abs=1e-6)


@given(
    gaps=st.lists(st.integers(60, 200 * DAY), max_size=60),
    amount=st.integers(0, 50_000),
    wait=st.integers(0, 500 * DAY),
)
def test_under_a_fitted_model_a_purchase_now_never_lowers_the_score(
    gaps: list[int], amount: int, wait: int
) -> None:
    times = np.cumsum([START, *gaps]).tolist()
    now = times[-1] + wait
    before = fold([fact_of("purchase", at, str(at), amount=amount) for at in times])
    after = before.plus(fold([fact_of("purchase", now, "now", amount=amount)]))
    model = sample_fit().model
    first, then = (score(state, now, model).log_odds for state in (before, after))
    assert then >= first - 1e-9


def test_buying_pays_even_where_the_data_speak_against_it() -> None:
    random = np.random.default_rng(1)
    values = random.normal(0, 1, (4000, len(NAMES)))
    steep = np.zeros(len(NAMES))
    steep[NAMES.index("b_pace2")] = -3.0
    bought = (random.random(4000) < logistic(values @ steep)).astype(np.float64)
    means = np.array([getattr(BASE, name) for name in NAMES])
    found = coefficients._chance(Rows(values, bought), means, refund_weight_is_free=False)
    gains = sum(found.slopes[NAMES.index(name)] for name in ("b_n15", "b_n60", "b_n240", "b_ln1x"))
    losses = sum(found.slopes[NAMES.index(name)] for name in ("b_pace", "b_pace2"))
    assert gains + losses >= -1e-6
    assert losses < -1


def test_the_anchors_stand_where_the_design_puts_them() -> None:
    anchors = fit_model(shop(3000, 600, 1), START + 500 * DAY, horizon_days=60, base=BASE).metadata["anchors"]
    assert 60 <= anchors["median_active_points"] <= 80
    assert 15 <= anchors["tenth_percentile_points"] <= 45


# --- stepping down ----------------------------------------------------------------------------------------------------


def test_too_few_repeaters_leave_the_shipped_model_and_say_so() -> None:
    fitted = fit_model(shop(60, 300, 2), START + 300 * DAY, horizon_days=91, base=BASE)
    assert fitted.path == "defaults"
    assert fitted.model == BASE
    assert "bought more than once" in fitted.why


def test_without_a_closed_window_the_shop_s_own_mbg_joins_the_shipped_coefficients() -> None:
    log, now = shop(3000, 100, 3, mean_gap_days=20), START + 95 * DAY
    fitted = fit_model(log, now, horizon_days=91, base=BASE)
    assert fitted.path == "mbg_and_defaults"
    assert "no window of 91 days has closed" in fitted.why
    assert fitted.model.mbg_weeks != BASE.mbg_weeks
    standing = log.as_of(now)
    own, default = (
        log_odds(features(standing, Shape.of_model(fitted.model)), model)
        for model in (fitted.model, replace(BASE, mbg_weeks=fitted.model.mbg_weeks))
    )
    assert np.corrcoef(own, default)[0, 1] == pytest.approx(1, abs=1e-6)


def test_windows_in_which_everybody_buys_teach_nothing() -> None:
    rows = [Row(str(number), START + day * DAY, 100) for number in range(150) for day in range(0, 200, 7)]
    fitted = fit_model(Purchases.of_rows(rows), START + 200 * DAY, horizon_days=30, base=BASE)
    assert fitted.path == "mbg_and_defaults"
    assert "or did not" in fitted.why


@pytest.mark.parametrize("rows", [[], [Row("a", START, 0)], [Row("a", START, 5, is_refund=True)]])
def test_next_to_nothing_is_no_reason_to_fail(rows: list[Row]) -> None:
    fitted = fit_model(Purchases.of_rows(rows), START + DAY, horizon_days=91, base=BASE)
    assert fitted.path == "defaults"


def test_a_shop_without_amounts_is_fitted_without_value() -> None:
    log = shop(1500, 400, 4)
    free = replace(log, amount=np.zeros_like(log.amount))
    fitted = fit_model(free, START + 400 * DAY, horizon_days=60, base=BASE)
    assert fitted.path == "fitted"
    assert fitted.model.gamma_gamma_major_units == BASE.gamma_gamma_major_units
    # Nothing was learnt of it; the level's uncertainty draws every coefficient in alike.
    spread = fitted.metadata["unseasoned_level"]["spread"]
    assert fitted.model.b_value == pytest.approx(BASE.b_value * spread, rel=1e-5)


# --- season -----------------------------------------------------------------------------------------------------------


def test_last_year_s_season_shifts_the_level_and_a_short_history_does_not() -> None:
    log = shop(2500, 1100, 5, season=0.8, lifetime_days=2000)
    # Two years and 11 months in: the next 60 days rise to the height of the wave, as they did a year ago.
    now = START + (2 * 365 + 345) * DAY
    fitted = fit_model(log, now, horizon_days=60, base=BASE)
    assert fitted.metadata["season_shift"] > 0.1
    autumn = fit_model(log, START + (365 + 150) * DAY, horizon_days=60, base=BASE)
    assert autumn.metadata["season_shift"] < -0.1
    young = fit_model(log, START + 300 * DAY, horizon_days=60, base=BASE)
    assert young.metadata["season_shift"] is None


def test_a_shop_without_seasons_is_hardly_shifted() -> None:
    log = shop(2500, 1100, 6, lifetime_days=2000)
    fitted = fit_model(log, START + 1000 * DAY, horizon_days=60, base=BASE)
    assert abs(fitted.metadata["season_shift"]) < 0.1
