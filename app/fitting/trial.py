"""May a model take the active one's place? Both predict the newest closed window of the shop's own log.

Out of time: the window is (S, S + horizon], the models see what had happened by S. Beside them stand the baselines,
fitted to what was known at S. What is tried is what is served: chances and expected purchases as app.domain.health
computes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from app.domain.health.model import Model, shipped
from app.fitting import comparison, snapshots
from app.fitting.backtest import RAPPORT, RESAMPLES
from app.fitting.baselines import BASELINES, Prediction, Task
from app.fitting.comparison import Figures, Resampled, Tested
from app.fitting.features import score_histories
from app.fitting.model_fit import SEED, ModelFit, fit_model, unlearnt
from app.fitting.properties import broken_promises
from app.fitting.published import MBG_NBD
from app.fitting.purchases import DAY, Purchases, Standing

CHAMPION: Final = "champion"
"""The active model, among the models of a trial; the one that is tried is `rapport`."""

TOLERANCE: Final = 0.002
"""By so much a challenger's AUC may be lower, or its log-loss higher: chance alone moves them more."""

ENOUGH_CASES: Final = 10
"""Buyers, and customers who did not buy, without which a window decides nothing."""

_TENURES: Final = MappingProxyType(
    {"under 90 days": (0, 90), "90 to 365 days": (90, 365), "over a year": (365, 10**6)}
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is tried: `challenger` against `champion`, `horizon_days` ahead, on what is known by `now` (seconds).

    `learnt_until`: up to when the challenger has seen the log; None for numbers that somebody wrote by hand.
    """

    challenger: Model
    champion: Model
    now: int
    horizon_days: int
    value_unit_minor: int = 100
    learnt_until: int | None = None
    resamples: int = RESAMPLES


@dataclass(frozen=True, slots=True)
class Trial:
    """`report` is plain JSON. `passed` is None when the log cannot decide; the notes of the report say why."""

    report: dict[str, Any]
    passed: bool | None
    reasons: tuple[str, ...]


def trial_of_arrays(columns: Sequence[Any], customers: int, question: Question) -> Trial:
    """`trial` on a log of plain arrays, as another process gets them."""
    return trial(Purchases.of_arrays(columns, customers), question)


def trial(log: Purchases, question: Question) -> Trial:
    """Try the gate: AUC and log-loss no worse than the champion's by more than TOLERANCE, and no promise broken."""
    log = log.where(log.at <= question.now)
    broken = broken_promises(question.challenger)
    at = _opening(log, question)
    if at is None:
        notes = [f"No window of {question.horizon_days} days has closed since the first purchase."]
        return _undecided(_report(question, log, [], notes), broken)
    judged, notes = _judged(log, question, at)
    tested = _tested(log, question, judged, at)
    report = _report(question, log, [tested], notes)
    buyers = int(np.count_nonzero(tested.bought))
    if min(buyers, len(tested.bought) - buyers) < ENOUGH_CASES:
        notes.append(
            f"{buyers} of {len(tested.bought)} customers bought: {ENOUGH_CASES} of each kind are needed."
        )
        return _undecided(report, broken)
    reasons = (*_worse(report["models"]), *broken)
    return Trial(report, not reasons, reasons)


def _undecided(report: dict[str, Any], broken: Sequence[str]) -> Trial:
    return Trial(report, False if broken else None, tuple(broken))


def _opening(log: Purchases, question: Question) -> int | None:
    """When the newest closed window opened; None when none has."""
    bought = log.at[~log.is_refund]
    if not len(bought):
        return None
    # A log that ended long ago, as an imported one, is tried on its own last days.
    end = min(question.now, int(log.at.max()) // DAY * DAY + DAY - 1)
    at = end - question.horizon_days * DAY
    return at if at > int(bought.min()) else None


def _judged(log: Purchases, question: Question, at: int) -> tuple[Model, list[str]]:
    """Who stands trial for the challenger, and what a reader must know of that."""
    if question.learnt_until is None or question.learnt_until <= at:
        return question.challenger, []
    again = fit_model(
        log,
        at,
        horizon_days=round(question.challenger.horizon_days),
        base=unlearnt(question.challenger, shipped()),
        value_unit_minor=question.value_unit_minor,
        target=log.daily(),
    )
    day = snapshots.dates([at])[0]
    note = f"The model has seen the window; in its place stands the same fit on what was known on {day} ({again.path})."
    return again.model, [note]


def _tested(log: Purchases, question: Question, judged: Model, at: int) -> Tested:
    daily = log.daily()
    standing, days = log.as_of(at, judged.form), daily.as_of(at)
    outcome = daily.outcome(at, at + question.horizon_days * DAY, standing.customers)
    trainings = snapshots.trainings(int(log.at.min()), at, question.horizon_days)
    task = Task(daily, np.ones(log.customers, dtype=np.bool_), days, trainings, question.horizon_days)
    predictions = {
        RAPPORT: _served(judged, standing, question.horizon_days),
        CHAMPION: _served(question.champion, log.as_of(at, question.champion.form), question.horizon_days),
        **{name: predict(task) for name, predict in BASELINES.items()},
    }
    points = ModelFit(judged, None, "fitted", "", {}).points(standing)
    return Tested(at, standing.customers, outcome.bought, outcome.purchases, predictions, points)


def _served(model: Model, standing: Standing, horizon_days: int) -> Prediction:
    """Chance and expected purchases as app.domain.health.value has them: P(N) max(1, E_MBG(N)/P_MBG(N))."""
    chance, _ = ModelFit(model, None, "fitted", "", {}).predict(standing, horizon_days)
    each, parameters = score_histories(standing), np.array(model.mbg_weeks)
    buys = MBG_NBD.buys(parameters, each, horizon_days / 7)
    expected = MBG_NBD.expected(parameters, each, horizon_days / 7)
    many = np.maximum(1.0, expected / np.where(buys > 0, buys, 1.0))
    return Prediction(chance, chance, chance * many)


def _worse(models: dict[str, Figures]) -> list[str]:
    told = []
    for figure, name, sign in (("auc", "AUC", 1), ("log_loss", "Log-loss", -1)):
        ours, theirs = models[RAPPORT][figure], models[CHAMPION][figure]
        if ours is not None and theirs is not None and sign * (theirs - ours) > TOLERANCE:
            told.append(
                f"{name} {ours:.4f}, the active model's is {theirs:.4f}; {TOLERANCE} apart is allowed."
            )
    return told


def _report(question: Question, log: Purchases, tested: list[Tested], notes: list[str]) -> dict[str, Any]:
    names = (RAPPORT, CHAMPION, *BASELINES)
    models = {
        name: comparison.mean_figures([comparison.figures(one, name) for one in tested]) for name in names
    }
    chance = Resampled(tested, log.customers, question.resamples, SEED)
    opened = tested[0].at if tested else None
    return {
        "version": question.challenger.version,
        "champion": question.champion.version,
        "horizon_days": question.horizon_days,
        "window": None if opened is None else snapshots.dates([opened, opened + question.horizon_days * DAY]),
        "tolerance": TOLERANCE,
        "models": models,
        "intervals": chance.intervals(),
        "differences": chance.differences(RAPPORT, models) if tested else {},
        **comparison.pooled(tested, names),
        "by_tenure": [part for one in tested for part in _by_tenure(log, one)],
        "data": {"rows": len(log), "customers": log.customers, "sha256": log.sha256()},
        "notes": notes,
    }


def _by_tenure(log: Purchases, tested: Tested) -> list[dict[str, Any]]:
    """The figures of both models by how long ago customers first bought."""
    age = (tested.at - log.as_of(tested.at).first) / DAY
    told = []
    for name, (low, high) in _TENURES.items():
        part: dict[str, Any] = {"tenure": name}
        chosen = (age >= low) & (age < high)
        some = Tested(
            tested.at,
            tested.customers[chosen],
            tested.bought[chosen],
            tested.purchases[chosen],
            {who: _part(tested.predictions[who], chosen) for who in (RAPPORT, CHAMPION)},
            tested.points[chosen],
        )
        part |= {"customers": int(np.count_nonzero(chosen)), "bought": int(np.count_nonzero(some.bought))}
        told.append(part | {who: comparison.figures(some, who) for who in (RAPPORT, CHAMPION)})
    return told


def _part(made: Prediction, chosen: Any) -> Prediction:
    return Prediction(
        made.score[chosen],
        None if made.probability is None else made.probability[chosen],
        None if made.expected is None else made.expected[chosen],
    )


def origin(found: ModelFit) -> Mapping[str, Any]:
    """What the record of a fitted model says of the fit, by the names of `POST /v1/scoring-models`."""
    told = found.metadata
    windows = {
        name: told[name] for name in ("as_of", "horizon_days", "windows", "path", "why", "base", "seed")
    }
    counts = {"training_rows": told["training_rows"], **told["data"]}
    learnt = {
        name: told[name]
        for name in (
            *("cases", "season_shift", "unseasoned_level", "converged"),
            *("expected_purchases", "anchors", "service_weights"),
        )
        if name in told
    }
    return {
        "priors": told["priors"],
        "windows": {**windows, **learnt},
        "row_counts": {name: count for name, count in counts.items() if name != "sha256"},
        "data_hash": told["data"]["sha256"],
    }
