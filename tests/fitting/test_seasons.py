"""A young shop's level is a guess: what is done about that helps, in made-up shops that no setting was chosen on."""

import numpy as np
import pytest

from app.fitting import coefficients
from app.fitting.coefficients import Level, levelled
from app.fitting.features import score_histories
from app.fitting.model_fit import fit_model
from app.fitting.numerics import logistic
from app.fitting.published import MBG_NBD
from app.fitting.purchases import DAY
from app.fitting.regression import Coefficients
from tests.fitting.logs import START, shop
from tests.fitting.seasons import BASE, gains, losses

SHOPS = 12


@pytest.mark.long
@pytest.mark.parametrize("horizon", [60, 90])
def test_in_shops_without_a_known_season_the_chances_are_better_for_it(horizon: int) -> None:
    gain = gains([each for seed in range(100, 100 + SHOPS) for each in losses(seed, horizon)])
    assert len(gain) >= SHOPS
    averaged, halfway, both = gain.mean(axis=0)[1:]
    assert averaged < 0
    assert halfway < 0
    assert both < min(averaged, halfway)
    assert np.median(gain[:, 3]) < 0


@pytest.mark.parametrize("variance", [0.01, 0.135, 0.5])
def test_the_spread_is_the_mean_over_a_normal_level(variance: float) -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    linear = np.linspace(-4, 4, 33)
    exact = logistic(linear[:, None] + np.sqrt(variance) * nodes) @ weights / weights.sum()
    level = Level(0.0, variance)
    found = logistic(levelled(Coefficients(0.0, np.ones(1), converged=True), level).linear(linear[:, None]))
    assert found == pytest.approx(exact, abs=0.004)


def test_the_level_of_a_young_log_lies_between_its_windows_and_mbg() -> None:
    log, now = shop(2500, 300, 9, season=0.8, lifetime_days=2000), START + 300 * DAY
    fitted = fit_model(log, now, horizon_days=60, base=BASE)
    done = fitted.metadata["unseasoned_level"]
    standing = log.as_of(now)
    served = fitted.predict(standing, 60)[0]
    linear = np.log(served / (1 - served)) / done["spread"]
    recent = logistic(linear - done["shift"]).mean()
    weeks = np.array(fitted.model.mbg_weeks)
    mbg = MBG_NBD.buys(weeks, score_histories(standing), 60 / 7).mean()
    assert abs(recent - mbg) > 0.01
    assert min(recent, mbg) < logistic(linear).mean() < max(recent, mbg)
    assert logistic(linear + done["shift"]).mean() == pytest.approx(mbg, abs=1e-3)
    usual = coefficients.SEASON_DEVIATION**2 + 2 * coefficients._WINDOW_DEVIATION**2
    assert done["variance"] == pytest.approx(usual + done["shift"] ** 2, rel=1e-4)


def test_a_known_season_leaves_the_level_alone() -> None:
    log = shop(2500, 1100, 5, season=0.8, lifetime_days=2000)
    fitted = fit_model(log, START + 1050 * DAY, horizon_days=60, base=BASE)
    assert fitted.metadata["season_shift"] is not None
    assert fitted.metadata["unseasoned_level"] is None
