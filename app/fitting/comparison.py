"""Figures of several models' predictions for the same customers, and how far chance alone would move them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from app.fitting import metrics
from app.fitting.baselines import Prediction
from app.fitting.metrics import Bin
from app.fitting.numerics import Flags, Floats, Integers

FIGURES: Final = ("auc", "log_loss", "brier", "ece", "spearman", "total_ratio", "top_decile_share")
"""The figures of each model, in the order of reports."""

RESAMPLED: Final = ("auc", "log_loss", "brier", "total_ratio")
"""Those with bootstrap intervals."""

_FEWEST_RESAMPLES: Final = 200
_MOST_DRAWS: Final = 40_000_000
_CHUNK_DRAWS: Final = 4_000_000

Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Tested:
    """All predictions at one snapshot (`at`, seconds since 1970) and what came.

    `customers` are numbers in the log; arrays have their length. `points` is health, 0 to 100.
    """

    at: int
    customers: Integers
    bought: Flags
    purchases: Floats
    predictions: Mapping[str, Prediction]
    points: Floats


def figures(tested: Tested, name: str) -> Figures:
    """All figures of one model at one snapshot; None where one is not defined."""
    made, bought, purchases = tested.predictions[name], tested.bought, tested.purchases
    ranked = made.score if made.expected is None else made.expected
    found = dict.fromkeys(FIGURES, math.nan)
    found["auc"] = metrics.auc(made.score, bought)
    found["spearman"] = metrics.spearman(ranked, purchases)
    found["top_decile_share"] = metrics.top_share(made.score, purchases)
    if made.probability is not None and len(bought):
        found["log_loss"] = float(metrics.log_losses(made.probability, bought).mean())
        found["brier"] = float(metrics.briers(made.probability, bought).mean())
        found["ece"] = metrics.calibration_error(metrics.calibration(made.probability, bought))
    if made.expected is not None and purchases.sum() > 0:
        found["total_ratio"] = float(made.expected.sum() / purchases.sum())
    return {figure: defined(value) for figure, value in found.items()}


def mean_figures(rows: Sequence[Figures]) -> Figures:
    """Each figure averaged over the snapshots at which it is defined."""
    means: Figures = {}
    for figure in FIGURES:
        known = [value for row in rows if (value := row[figure]) is not None]
        means[figure] = sum(known) / len(known) if known else None
    return means


class Resampled:
    """Bootstrap over customers: a customer drawn twice counts twice, at every snapshot and for every model alike.

    So differences between models are paired, and the snapshots' common customers are not taken for different ones.
    """

    def __init__(self, tested: Sequence[Tested], customers: int, count: int, seed: int) -> None:
        self._names = tuple(tested[0].predictions) if tested else ()
        self.count = max(min(count, _FEWEST_RESAMPLES), min(count, _MOST_DRAWS // max(customers, 1)))
        random = np.random.default_rng(seed)
        parts: dict[tuple[str, str], list[Floats]] = {}
        step = max(1, _CHUNK_DRAWS // max(customers, 1))
        for start in range(0, self.count, step) if tested else ():
            weights = metrics.resamples(customers, min(step, self.count - start), random)
            for name in self._names:
                for figure, values in _resampled_means(tested, name, weights).items():
                    parts.setdefault((name, figure), []).append(values)
        self._samples = {key: np.concatenate(chunks) for key, chunks in parts.items()}

    def intervals(self) -> dict[str, dict[str, list[float | None]]]:
        """95 % intervals [low, high] of each model's figures."""
        return {
            name: {figure: _interval(self._samples[name, figure]) for figure in RESAMPLED}
            for name in self._names
        }

    def differences(self, ours: str, models: Mapping[str, Figures]) -> dict[str, dict[str, Any]]:
        """`ours` minus each other model: point and 95 % interval; log-loss also as a share of the other's."""
        told: dict[str, dict[str, Any]] = {}
        for name in self._names:
            if name == ours:
                continue
            told[name] = {}
            for figure in ("auc", "log_loss", "brier"):
                apart = self._samples[ours, figure] - self._samples[name, figure]
                point = _minus(models[ours][figure], models[name][figure])
                told[name][figure] = {"difference": point, "interval": _interval(apart)}
            theirs = self._samples[name, "log_loss"]
            share = (self._samples[ours, "log_loss"] - theirs) / np.where(theirs > 0, theirs, np.nan)
            base, apart_by = models[name]["log_loss"], told[name]["log_loss"]["difference"]
            told[name]["log_loss_relative"] = {
                "difference": apart_by / base if base and apart_by is not None else None,
                "interval": _interval(share),
            }
        return told


def pooled(tested: Sequence[Tested], names: Sequence[str]) -> dict[str, Any]:
    """Calibration tables and gain curves of all models, and the distribution of health, over all snapshots."""
    bought = _stacked([each.bought for each in tested]).astype(np.bool_)
    calibration: dict[str, list[dict[str, float]]] = {}
    gain: dict[str, list[tuple[float, float]]] = {}
    for name in names:
        made = [each.predictions[name] for each in tested]
        chances = [one.probability for one in made if one.probability is not None]
        whole = bool(made) and len(chances) == len(made)
        bins: list[Bin] = metrics.calibration(_stacked(chances), bought) if whole else []
        calibration[name] = [row._asdict() for row in bins]
        gain[name] = metrics.gain_curve(_stacked([one.score for one in made]), bought)
    return {
        "calibration": calibration,
        "gain": gain,
        "score_distribution": metrics.histogram(_stacked([each.points for each in tested]), bought),
    }


def defined(value: float) -> float | None:
    """The number, or None for what JSON has no word for."""
    return float(value) if math.isfinite(value) else None


def _resampled_means(tested: Sequence[Tested], name: str, weights: Floats) -> dict[str, Floats]:
    """Each resampled figure's mean over the snapshots, shape (resamples,); NaN where a model has no probabilities."""
    rows: dict[str, list[Floats]] = {figure: [] for figure in RESAMPLED}
    nothing = np.full(len(weights), np.nan)
    for each in tested:
        made, mine = each.predictions[name], weights[:, each.customers]
        rows["auc"].append(metrics.aucs(made.score, each.bought, mine))
        chance, expected = made.probability, made.expected
        if chance is None:
            rows["log_loss"].append(nothing)
            rows["brier"].append(nothing)
        else:
            rows["log_loss"].append(metrics.means(metrics.log_losses(chance, each.bought), mine))
            rows["brier"].append(metrics.means(metrics.briers(chance, each.bought), mine))
        total = nothing if expected is None else metrics.ratios(expected, each.purchases, mine)
        rows["total_ratio"].append(total)
    return {figure: _mean_of_defined(np.stack(values)) for figure, values in rows.items()}


def _mean_of_defined(values: Floats) -> Floats:
    """The mean of each column over its finite rows; NaN where there are none."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _interval(samples: Floats) -> list[float | None]:
    return [defined(value) for value in metrics.interval(samples)]


def _minus(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours - theirs


def _stacked(parts: Sequence[Floats] | Sequence[Flags]) -> Floats:
    return np.concatenate([np.empty(0), *parts])
