"""What the score is compared with: recency, RFM quantiles, a weighted scorecard, and the published models.

All of them see one purchase per customer and day. The published models are fitted to everything known at the snapshot
of the customers to learn from. The other three only rank; a logistic curve through the same closed windows that our
own coefficients are learnt from turns their rank into a probability.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from app.fitting.numerics import Flags, Floats, logistic
from app.fitting.published import BG_NBD, MBG_NBD, PARETO_NBD, Process, fit
from app.fitting.purchases import DAY, Purchases, Standing
from app.fitting.regression import Priors, Rows, map_fit

QUINTILES: Final = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, slots=True)
class Task:
    """One test: learn from `learners` (flags by customer number), predict for `asked` at `asked.now`.

    `log` is the daily log, cut nowhere: whoever learns must not look past `asked.now`. `trainings` are snapshots whose
    windows have closed by then.
    """

    log: Purchases
    learners: Flags
    asked: Standing
    trainings: tuple[int, ...]
    horizon_days: int

    def known(self, at: int) -> Standing:
        """The customers to learn from as they stood at `at`."""
        standing = self.log.as_of(at)
        return standing.where(self.learners[standing.customers])


@dataclass(frozen=True, slots=True)
class Prediction:
    """Per customer asked for: a ranking, P(a purchase) and E[purchases]; None where a model cannot say."""

    score: Floats
    probability: Floats | None
    expected: Floats | None


Baseline = Callable[[Task], Prediction]
Points = Callable[[Standing, Standing], Floats]
"""A ranking of the first's customers; cuts, where it needs any, come from the second's at the same time."""


def recency_points(asked: Standing, _peers: Standing) -> Floats:
    """Minus ln(1 + days since the last purchase)."""
    return np.asarray(-np.log1p((asked.now - asked.last) / DAY))


def rfm_points(asked: Standing, peers: Standing) -> Floats:
    """The classic RFM score: quintile 1 to 5 of recency, of frequency and of money spent, added up."""
    total = np.zeros(len(asked))
    for mine, theirs in zip(_rfm(asked), _rfm(peers), strict=True):
        total += 1 + np.searchsorted(np.quantile(theirs, QUINTILES), mine, side="right")
    return total


def scorecard_points(asked: Standing, peers: Standing) -> Floats:
    """A scorecard of 0 to 100 points as customer-success suites are set up: four bands-to-points scales, fixed weights.

    40 % recency (bought within 30 days 100, 60: 75, 90: 50, 180: 25, else 0), 30 % frequency (10 or more purchases 100,
    5: 75, 3: 50, 2: 25, one 0), 20 % money (quintile of the shop, 0 to 100), 10 % tenure (a year 100, 180 days 75,
    90: 50, 30: 25, else 0).
    """
    silent_days = (asked.now - asked.last) / DAY
    tenure_days = (asked.now - asked.first) / DAY
    quintile = np.searchsorted(np.quantile(peers.spend, QUINTILES), asked.spend, side="right")
    return np.asarray(
        0.40 * (100 - 25.0 * np.searchsorted([30, 60, 90, 180], silent_days, side="left"))
        + 0.30 * 25.0 * np.searchsorted([2, 3, 5, 10], asked.n, side="right")
        + 0.20 * 25.0 * quintile
        + 0.10 * 25.0 * np.searchsorted([30, 90, 180, 365], tenure_days, side="right")
    )


def _rfm(standing: Standing) -> tuple[Floats, Floats, Floats]:
    return (standing.last - standing.now).astype(np.float64), standing.n.astype(np.float64), standing.spend


def _ranked(points: Points) -> Baseline:
    def predict(task: Task) -> Prediction:
        peers = task.known(task.asked.now)
        score = points(task.asked, peers if len(peers) else task.asked)
        seen, bought, purchases = [np.empty(0)], [np.empty(0)], 0.0
        for at in task.trainings:
            standing = task.known(at)
            if not len(standing):
                continue
            outcome = task.log.outcome(at, at + task.horizon_days * DAY, standing.customers)
            seen.append(points(standing, standing))
            bought.append(outcome.bought.astype(np.float64))
            purchases += float(outcome.purchases.sum())
        rows, hits = np.concatenate(seen), np.concatenate(bought)
        if not 0 < hits.sum() < len(hits):
            return Prediction(score, None, None)
        rate = float(hits.mean())
        # A prior so wide that it only keeps a perfect separation finite.
        loose = Priors(np.zeros(1), np.full(1, 100.0), np.full(1, -1e3), np.full(1, 1e3))
        curve = map_fit(
            "logistic",
            Rows(rows[:, None], hits),
            loose,
            (float(np.log(rate / (1 - rate))), 10.0),
        )
        probability = logistic(curve.linear(score[:, None]))
        return Prediction(score, probability, probability * purchases / hits.sum())

    return predict


def _published(process: Process) -> Baseline:
    def predict(task: Task) -> Prediction:
        cells = task.known(task.asked.now).cells()
        if not cells.count.sum():
            nothing = np.zeros(len(task.asked))
            return Prediction(nothing, None, None)
        parameters = fit(process, cells).parameters
        histories, weeks = task.asked.histories(), task.horizon_days / 7
        probability = process.buys(parameters, histories, weeks)
        return Prediction(probability, probability, process.expected(parameters, histories, weeks))

    return predict


BASELINES: Final = MappingProxyType(
    {
        "bg_nbd": _published(BG_NBD),
        "mbg_nbd": _published(MBG_NBD),
        "pareto_nbd": _published(PARETO_NBD),
        "rfm_quantiles": _ranked(rfm_points),
        "scorecard": _ranked(scorecard_points),
        "recency": _ranked(recency_points),
    }
)
"""Every baseline by its name in reports."""
