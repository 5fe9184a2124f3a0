"""How good predictions are: ranking, calibration, totals, and what chance alone would change in them.

Everything takes `weight`, how often each customer counts: ones for the figure itself, the counts of a resample for the
bootstrap. A figure that is not defined (all bought, nobody bought) is NaN here and null in reports.
"""

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from app.fitting.numerics import Flags, Floats

PROBABILITY_FLOOR: Final = 1e-6
"""Probabilities are clipped to [1e-6, 1 - 1e-6] before a logarithm: one wrong certainty costs 13.8, not infinity."""

BINS: Final = 10
TOP_SHARE: Final = 0.1


class Bin(NamedTuple):
    """One row of a calibration table: a tenth of the customers, by predicted probability."""

    customers: int
    lowest: float
    highest: float
    predicted: float
    observed: float


def auc(score: Floats, bought: Flags) -> float:
    """P(a buyer's score > a non-buyer's) + half P(equal): the area under the ROC curve. O(n log n)."""
    return float(aucs(score, bought, np.ones((1, len(score))))[0])


def aucs(score: Floats, bought: Flags, weights: Floats) -> Floats:
    """The same for each row of `weights`, shape (resamples, customers); result (resamples,)."""
    if not len(score):
        return np.full(len(weights), np.nan)
    order = np.argsort(score, kind="stable")
    ordered, positive = score[order], bought[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    weights = weights[:, order]
    # Sums over customers with equal scores; within such a group a pair counts one half.
    buyers = np.add.reduceat(weights * positive, starts, axis=1)
    others = np.add.reduceat(weights * ~positive, starts, axis=1)
    below = np.cumsum(others, axis=1) - 0.5 * others
    return _ratio((buyers * below).sum(axis=1), buyers.sum(axis=1) * others.sum(axis=1))


def log_losses(probability: Floats, bought: Flags) -> Floats:
    """-ln of the probability given to what happened, per customer."""
    p = np.clip(probability, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return np.where(bought, -np.log(p), -np.log1p(-p))


def briers(probability: Floats, bought: Flags) -> Floats:
    """The squared error of the probability, per customer."""
    return np.asarray((probability - bought) ** 2)


def calibration(probability: Floats, bought: Flags) -> list[Bin]:
    """Up to ten bins of equal numbers of customers; customers with equal probabilities stay together."""
    order = np.argsort(probability, kind="stable")
    p, hit = probability[order], bought[order]
    edges = np.linspace(0, len(p), BINS + 1).astype(np.int64)[1:-1]
    # An edge inside a run of equal probabilities moves to its end.
    moved = np.searchsorted(p, p[edges], side="left") if len(p) else edges
    cuts = np.unique(np.concatenate([[0], moved, [len(p)]]))
    return [
        Bin(int(b - a), float(p[a]), float(p[b - 1]), float(p[a:b].mean()), float(hit[a:b].mean()))
        for a, b in pairwise(cuts)
    ]


def calibration_error(bins: list[Bin]) -> float:
    """ECE: the mean distance between predicted and observed, over the customers of all bins."""
    total = sum(row.customers for row in bins)
    if not total:
        return float("nan")
    return sum(row.customers * abs(row.predicted - row.observed) for row in bins) / total


def spearman(predicted: Floats, actual: Floats) -> float:
    """Spearman's rank correlation, equal values sharing their mean rank; NaN where either never varies."""
    x, y = ranks(predicted), ranks(actual)
    if not len(x):
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(_ratio(np.array(x @ y), np.sqrt((x @ x) * (y @ y))))


def ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank: Floats = np.cumsum(count) - (count - 1) / 2
    return mean_rank[which]


def top_share(score: Floats, purchases: Floats) -> float:
    """The share of all purchases made by the tenth of the customers with the highest scores.

    Customers whose equal scores straddle the edge count in part: what a random choice among them gives on average.
    """
    values, which = np.unique(-score, return_inverse=True)
    size = np.bincount(which, minlength=len(values))
    bought = np.bincount(which, weights=purchases, minlength=len(values))
    room = TOP_SHARE * len(score) - np.concatenate([[0.0], np.cumsum(size)[:-1]])
    taken = np.clip(room / np.maximum(size, 1), 0.0, 1.0)
    return float(_ratio(np.array(taken @ bought), np.array(purchases.sum())))


def gain_curve(score: Floats, bought: Flags, points: int = 50) -> list[tuple[float, float]]:
    """(share of customers taken from the top, share of all buyers among them), from (0, 0) to (1, 1)."""
    order = np.argsort(-score, kind="stable")
    found = np.concatenate([[0.0], np.cumsum(bought[order])])
    if not found[-1]:
        return []
    at = np.unique(np.linspace(0, len(score), points + 1).astype(np.int64))
    return [(float(index / len(score)), float(found[index] / found[-1])) for index in at]


def histogram(points: Floats, bought: Flags, bins: int = 20) -> list[dict[str, float]]:
    """Customers and buyers in equal bins of a score from 0 to 100; empty bins included."""
    edges = np.linspace(0, 100, bins + 1)
    which = np.clip(np.digitize(points, edges) - 1, 0, bins - 1)
    customers = np.bincount(which, minlength=bins)
    buyers = np.bincount(which[bought], minlength=bins)
    return [
        {
            "from": float(edges[k]),
            "to": float(edges[k + 1]),
            "customers": int(customers[k]),
            "bought": int(buyers[k]),
        }
        for k in range(bins)
    ]


def resamples(customers: int, count: int, random: np.random.Generator) -> Floats:
    """How often each customer is drawn in `count` bootstrap samples of `customers`; shape (count, customers)."""
    drawn = np.empty((count, customers))
    for row in drawn:
        row[:] = np.bincount(random.integers(0, customers, customers), minlength=customers)
    return drawn


def interval(samples: Floats, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of bootstrap samples; NaN where fewer than half of them are defined."""
    defined = samples[np.isfinite(samples)]
    if 2 * len(defined) < len(samples) or not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def means(values: Floats, weights: Floats) -> Floats:
    """Weighted means of per-customer values, one for each row of `weights`."""
    return _ratio(weights @ values, weights.sum(axis=1))


def ratios(predicted: Floats, actual: Floats, weights: Floats) -> Floats:
    """Predicted total over actual total, one for each row of `weights`."""
    return _ratio(weights @ predicted, weights @ actual)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    defined = denominator > 0
    return np.where(defined, numerator / np.where(defined, denominator, 1.0), np.nan)
