"""Maximum a posteriori regression with Gaussian priors and signs: logistic for a yes or no, Poisson for a count."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from app.fitting.numerics import Floats, logistic, minimise

Family = Literal["logistic", "poisson"]

# exp() of more would only overflow; no customer is expected to buy e^30 times.
_LOG_MEAN_MAX: Final = 30.0


@dataclass(frozen=True, slots=True)
class Priors:
    """Gaussian priors and bounds of raw coefficients; arrays of one length, in the order of the design's columns."""

    mean: Floats
    deviation: Floats
    lowest: Floats
    highest: Floats


@dataclass(frozen=True, slots=True)
class Rows:
    """What to learn from: features (rows, columns) and what happened (rows,), a chance itself where it is known."""

    features: Floats
    outcome: Floats


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Intercept and coefficients on the raw features."""

    intercept: float
    slopes: Floats
    converged: bool

    def linear(self, features: Floats) -> Floats:
        """Intercept + features @ slopes."""
        return np.asarray(self.intercept + features @ self.slopes)


def map_fit(
    family: Family,
    rows: Rows,
    priors: Priors,
    intercept: tuple[float, float],
    *,
    at_least: tuple[Floats, float] | None = None,
    centred: bool = True,
) -> Coefficients:
    """The most probable coefficients within their bounds.

    `intercept` is (mean, deviation) of its prior, stated at the mean of the features. The search runs on standardised
    features; the solution is on the raw ones. `at_least` asks for row @ slopes >= limit. Not `centred`: the intercept's
    prior is stated where all features are 0.
    """
    centre, spread = rows.features.mean(axis=0), rows.features.std(axis=0)
    if not centred:
        centre, spread = np.zeros_like(centre), np.sqrt((rows.features**2).mean(axis=0))
    # A feature that never varies says nothing: its coefficient stays at the prior.
    varies = spread > 1e-9  # noqa: PLR2004 - a double's limit
    unit = np.where(varies, spread, 1.0)
    design = np.where(varies, (rows.features - centre) / unit, 0.0)
    mean = np.concatenate([[intercept[0]], priors.mean * unit])
    precision = 1 / np.concatenate([[intercept[1]], priors.deviation * unit]) ** 2
    bounds = [(-30.0, 30.0), *zip(priors.lowest * unit, priors.highest * unit, strict=True)]

    def objective(point: Floats) -> tuple[float, Floats]:
        linear = point[0] + design @ point[1:]
        value, residual = _negative_log_likelihood(family, linear, rows.outcome)
        away = point - mean
        gradient = np.concatenate([[residual.sum()], residual @ design]) + precision * away
        return value + 0.5 * float(precision @ away**2), gradient

    constraint = None if at_least is None else (np.concatenate([[0.0], at_least[0] / unit]), at_least[1])
    start = np.clip(mean, *np.array(bounds).T)
    found = minimise(objective, start, bounds, at_least=constraint)
    slopes = found.point[1:] / unit
    return Coefficients(float(found.point[0] - slopes @ centre), slopes, found.converged)


def _negative_log_likelihood(family: Family, linear: Floats, outcome: Floats) -> tuple[float, Floats]:
    """-ln L without its constants, and its derivative by the linear predictor, shape (rows,)."""
    if family == "logistic":
        return float((np.logaddexp(0.0, linear) - outcome * linear).sum()), logistic(linear) - outcome
    expected = np.exp(np.minimum(linear, _LOG_MEAN_MAX))
    return float((expected - outcome * linear).sum()), expected - outcome
