"""Would the score have known? Predictions at past times, from earlier times and other customers, against what came.

The protocol (docs: health, "Back-test protocol"): at each test snapshot S, facts up to S, targets in (S, S + horizon].
Customers are dealt into two halves; each is predicted by what was fitted on the other. Published models see one
purchase per customer and day, ours every row, zero amounts and refunds included. What counts as a purchase in the
window is one and the same for all: a day on which the customer bought.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from app.domain.health.model import Model
from app.fitting import comparison, snapshots
from app.fitting.baselines import BASELINES, Prediction, Task
from app.fitting.comparison import Figures, Resampled, Tested
from app.fitting.metrics import PROBABILITY_FLOOR
from app.fitting.model_fit import SEED, ModelFit, fit_model
from app.fitting.numerics import Floats, Integers
from app.fitting.purchases import DAY, Purchases

RAPPORT: Final = "rapport"
MODELS: Final = (RAPPORT, *BASELINES)
"""Every model compared, in the order of reports."""

FOLDS: Final = 2
RESAMPLES: Final = 400

Progress = Callable[[str], None]
"""Hears what is being worked on, a few words at a time."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a back-test depends on besides the log. `value_unit_minor` is 10^digits of the currency."""

    horizon_days: int
    value_unit_minor: int = 100
    resamples: int = RESAMPLES
    seed: int = SEED


@dataclass(frozen=True, slots=True)
class _Test:
    """One snapshot: predictions, the figures of every model, what was learnt from, and the fits of the halves."""

    tested: Tested
    figures: dict[str, Figures]
    trainings: tuple[int, ...]
    fits: tuple[ModelFit, ...]


def backtest(
    log: Purchases, base: Model, settings: Settings, progress: Progress = lambda _: None
) -> dict[str, Any]:
    """The whole comparison as plain JSON; its members are explained in docs/health-evidence.md.

    `models` holds each model's figures averaged over the snapshots, `differences` ours minus each of the others.
    Never fails for want of data: what a log is too small for is null, and `notes` says why.
    """
    plan = _plan(log, settings.horizon_days)
    daily = log.daily()
    tests: list[_Test] = []
    for at, trainings in zip(plan.tests, plan.trainings, strict=True):
        progress(f"Snapshot {snapshots.dates([at])[0]}")
        tests.append(_test(log, daily, at, trainings, base, settings))
    progress("Resampling")
    tested = [test.tested for test in tests]
    models = {name: comparison.mean_figures([test.figures[name] for test in tests]) for name in MODELS}
    chance = Resampled(tested, log.customers, settings.resamples, settings.seed)
    return {
        "models": models,
        "intervals": chance.intervals(),
        "differences": chance.differences(RAPPORT, models),
        "horizon_days": settings.horizon_days,
        "protocol": {
            "folds": FOLDS,
            "seed": settings.seed,
            "resamples": chance.count,
            "interval": 0.95,
            "probability_floor": PROBABILITY_FLOOR,
        },
        "data": _data(log),
        "snapshots": [_snapshot(test) for test in tests],
        **comparison.pooled(tested, MODELS),
        "notes": _notes(log, tests, settings.horizon_days),
    }


def _plan(log: Purchases, horizon_days: int) -> snapshots.Plan:
    bought = log.at[~log.is_refund]
    if not len(bought):
        return snapshots.Plan((), ())
    return snapshots.plan(int(bought.min()), int(log.at.max()), horizon_days)


def _test(
    log: Purchases, daily: Purchases, at: int, trainings: tuple[int, ...], base: Model, settings: Settings
) -> _Test:
    standing, days = log.as_of(at, base.form), daily.as_of(at)
    until = at + settings.horizon_days * DAY
    outcome = daily.outcome(at, until, standing.customers)
    fold = np.random.default_rng(settings.seed).permutation(log.customers) % FOLDS
    halves: list[dict[str, Prediction]] = []
    rows: list[Integers] = []
    points: list[Floats] = []
    fits: list[ModelFit] = []
    for number in range(FOLDS):
        learners = fold != number
        asked = np.flatnonzero(~learners[standing.customers])
        task = Task(daily, learners, days.where(asked), trainings, settings.horizon_days)
        own = fit_model(
            log.of_customers(learners),
            at,
            horizon_days=settings.horizon_days,
            base=base,
            value_unit_minor=settings.value_unit_minor,
            target=daily.of_customers(learners),
            seed=settings.seed,
        )
        mine = standing.where(asked)
        chance, expected = own.predict(mine, settings.horizon_days)
        halves.append(
            {
                RAPPORT: Prediction(chance, chance, expected),
                **{name: predict(task) for name, predict in BASELINES.items()},
            }
        )
        rows.append(asked)
        points.append(own.points(mine))
        fits.append(own)
    back = np.argsort(np.concatenate(rows))
    tested = Tested(
        at,
        standing.customers,
        outcome.bought,
        outcome.purchases,
        {name: _joined([half[name] for half in halves], back) for name in MODELS},
        np.concatenate(points)[back],
    )
    return _Test(tested, {name: comparison.figures(tested, name) for name in MODELS}, trainings, tuple(fits))


def _joined(halves: Sequence[Prediction], back: Integers) -> Prediction:
    """The halves' predictions as one, in the order of the customers; what one half could not say is None."""

    def together(parts: Sequence[Floats | None]) -> Floats | None:
        known = [part for part in parts if part is not None]
        return np.concatenate(known)[back] if len(known) == len(parts) else None

    score = np.concatenate([half.score for half in halves])[back]
    return Prediction(
        score,
        together([half.probability for half in halves]),
        together([half.expected for half in halves]),
    )


def _data(log: Purchases) -> dict[str, Any]:
    span = snapshots.dates([int(log.at.min()), int(log.at.max())]) if len(log) else [None, None]
    return {
        "rows": len(log),
        "customers": log.customers,
        "purchases": int(np.count_nonzero(~log.is_refund)),
        "refunds": int(np.count_nonzero(log.is_refund)),
        "first": span[0],
        "last": span[1],
        "sha256": log.sha256(),
    }


def _snapshot(test: _Test) -> dict[str, Any]:
    tested = test.tested
    return {
        "date": snapshots.dates([tested.at])[0],
        "customers": len(tested.customers),
        "bought": int(np.count_nonzero(tested.bought)),
        "purchases": int(tested.purchases.sum()),
        "learnt_from": snapshots.dates(test.trainings),
        "models": test.figures,
        "fits": [
            {"path": one.path, "why": one.why, "parameters": one.parameters, "metadata": one.metadata}
            for one in test.fits
        ],
    }


def _notes(log: Purchases, tests: Sequence[_Test], horizon_days: int) -> list[str]:
    """What a reader must know before trusting the figures, in sentences."""
    if not len(log):
        return ["The log is empty."]
    if not tests:
        return [f"No window of {horizon_days} days fits into the log: nothing can be tested."]
    notes = []
    for test in tests:
        day = snapshots.dates([test.tested.at])[0]
        reasons = sorted({(fit.path, fit.why) for fit in test.fits if fit.path != "fitted"})
        notes += [f"{day}: {_FALL_BACKS[path]}, because {why}." for path, why in reasons]
        if not test.trainings:
            notes.append(f"{day}: no earlier window has closed, so rankings have no probabilities.")
        bought = np.count_nonzero(test.tested.bought)
        if bought in {0, len(test.tested.customers)}:
            notes.append(
                f"{day}: {'nobody' if not bought else 'everybody'} bought, so nothing can be ranked."
            )
        if any(fit.path == "fitted" and fit.metadata["season_shift"] is None for fit in test.fits):
            notes.append(
                f"{day}: too short a history to know the season; the level is halfway between that of recent "
                "windows and MBG/NBD's, and chances are averaged over how far it may be off."
            )
    return notes


_FALL_BACKS: Final = {
    "mbg_and_defaults": "shipped coefficients over the shop's own MBG/NBD",
    "defaults": "the shipped model as it is",
}
