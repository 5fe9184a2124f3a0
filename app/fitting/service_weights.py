"""The weights of complaints, contacts, satisfaction, engagement, advocacy and loyalty, learnt from closed cases.

A case is a complaint that was closed; its outcome is whether the customer bought again within the horizon after it.
What was known of the customer at that moment goes into the terms of the score; the terms that purchases feed are taken
as they are fitted, so that what is learnt is what service adds to them. Maximum a posteriori around the shipped
weights, which are priors from elsewhere (docs: health, "Fitting and versioning").
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from app.domain.health.cases import Case
from app.domain.health.model import COMPONENTS, Model
from app.domain.health.score import score
from app.fitting.numerics import Floats, logistic
from app.fitting.regression import Priors, Rows, map_fit

ENOUGH_CASES: Final = 50
"""Cases with outcomes, without which the priors stand."""
ENOUGH_OF_EACH: Final = 5
"""Customers who bought again, and as many who did not, without which outcomes say nothing."""

INTERCEPT_DEVIATION: Final = 0.3
"""How far, in log-odds, the purchase terms may be off for customers with cases; as windows of one year lie apart. It is
learnt beside the weights and left out of the model: of it nothing is promised for customers without cases."""

_FOLDS: Final = 2
_SEED: Final = 3
_DIGITS: Final = 4
_NAMES: Final = ("complaint_max", "w_contact", "w_satisfaction", "w_engagement", "w_advocacy", "w_loyalty")
_TERMS: Final = tuple(
    COMPONENTS.index(name)
    for name in ("complaints", "contacts", "satisfaction", "engagement", "advocacy", "loyalty")
)
_BOUGHT_TERMS: Final = COMPONENTS.index("complaints")
# Complaints and contacts were measured on other shops, the others are judgement: those priors are wider.
_SHARE: Final = np.array([0.5, 0.5, 1.0, 1.0, 1.0, 1.0])
# A weight below 0 would break a promise of the score (a complaint never raises, a referral never lowers).
_HIGHEST: Final = np.array([20.0, 10.0, 10.0, 10.0, 10.0, 10.0])


class Weights(NamedTuple):
    """The six weights, in log-odds, by their names in Model."""

    complaint_max: float
    w_contact: float
    w_satisfaction: float
    w_engagement: float
    w_advocacy: float
    w_loyalty: float


@dataclass(frozen=True, slots=True)
class ServiceFit:
    """What the cases taught. `path` is `fitted`, or `priors` where the shipped weights, or the shop's own, stand.

    `why` is the reason in a sentence; `log_loss` is that of the cases left out, with the priors and with the fit (None
    when nothing was fitted).
    """

    path: Literal["fitted", "priors"]
    why: str
    cases: int
    bought: int
    weights: Weights
    log_loss: tuple[float, float] | None = None

    def applied(self, model: Model) -> Model:
        """`model` with these weights; unchanged where the priors stand. Its version is still the old one."""
        if self.path == "priors":
            return model
        # The number of contacts at which more cost nothing any more stays.
        most = model.contact_max / model.w_contact if model.w_contact else 0.0
        numbers = self.weights._asdict()
        return replace(model, **numbers, contact_max=round(min(20.0, most * self.weights.w_contact), _DIGITS))

    def record(self) -> dict[str, Any]:
        """Plain JSON for the record of the model."""
        told = asdict(self) | {"weights": self.weights._asdict()}
        if self.log_loss is not None:
            told["log_loss"] = dict(zip(("priors", "fitted"), self.log_loss, strict=True))
        return told


def fit_service(cases: Sequence[Case], model: Model, priors: Model) -> ServiceFit:
    """The most probable weights, around those of `priors` (the shipped model), under the purchase terms of `model`.

    The priors stand with fewer than ENOUGH_CASES, with too few of one outcome, and where the fit predicts cases that it
    has not seen no better than they do (two halves of the cases, each predicted by the other).
    """
    bought = sum(case.bought for case in cases)
    stand = ServiceFit("priors", "", len(cases), bought, _weights_of(model))
    if len(cases) < ENOUGH_CASES:
        return replace(stand, why=f"{len(cases)} closed complaints with outcomes; {ENOUGH_CASES} are needed")
    if min(bought, len(cases) - bought) < ENOUGH_OF_EACH:
        return replace(
            stand, why=f"{bought} of {len(cases)} bought again; {ENOUGH_OF_EACH} of each kind are needed"
        )
    rows, mean = _rows(cases, model), np.array(_weights_of(priors))
    usual, fitted = _left_out(rows, mean)
    if fitted >= usual:
        why = f"learnt from one half they predict the other no better (log-loss {fitted:.4f}, priors {usual:.4f})"
        return replace(stand, why=why, log_loss=(round(usual, 6), round(fitted, 6)))
    _, found = _fitted(rows, mean)
    return ServiceFit(
        "fitted",
        f"{len(cases)} closed complaints, after {bought} of which the customer bought again",
        len(cases),
        bought,
        Weights(*(round(float(value), _DIGITS) for value in found)),
        (round(usual, 6), round(fitted, 6)),
    )


def _weights_of(model: Model) -> Weights:
    return Weights(*(getattr(model, name) for name in _NAMES))


def _rows(cases: Sequence[Case], model: Model) -> Rows:
    """Columns: the sum of the purchase terms (a calibrated logit), then each term of service at a weight of 1."""
    most = model.contact_max / model.w_contact if model.w_contact else 20.0
    ones: dict[str, Any] = dict.fromkeys(_NAMES, 1.0)
    unit = replace(model, **ones, contact_max=most)
    values = np.zeros((len(cases), 1 + len(_NAMES)))
    for row, case in enumerate(cases):
        terms = score(case.state, case.at, unit).terms
        values[row, 0] = model.ref + sum(term or 0.0 for term in terms[:_BOUGHT_TERMS])
        values[row, 1:] = [terms[place] or 0.0 for place in _TERMS]
    return Rows(values, np.array([case.bought for case in cases], dtype=np.float64))


def _fitted(rows: Rows, mean: Floats) -> tuple[float, Floats]:
    """(intercept, weights). The purchase terms' coefficient is 1 and stays so."""
    lowest, highest = np.concatenate([[1.0], np.zeros(len(mean))]), np.concatenate([[1.0], _HIGHEST])
    deviation = np.concatenate([[1.0], np.maximum(_SHARE * mean, 1e-3)])
    priors = Priors(np.concatenate([[1.0], mean]), deviation, lowest, highest)
    found = map_fit("logistic", rows, priors, (0.0, INTERCEPT_DEVIATION), centred=False)
    return found.intercept, found.slopes[1:]


def _left_out(rows: Rows, mean: Floats) -> tuple[float, float]:
    """Log-loss of each half predicted from the other: with the weights `mean`, and with those learnt there.

    Both with an intercept that the other half taught, so that what is compared is the weights.
    """
    half = np.random.default_rng(_SEED).permutation(len(rows.outcome)) % _FOLDS
    losses = np.zeros(2)
    for number in range(_FOLDS):
        taught = Rows(rows.features[half != number], rows.outcome[half != number])
        asked = Rows(rows.features[half == number], rows.outcome[half == number])
        fixed = np.concatenate([[1.0], mean])
        still = Priors(fixed, np.ones(len(fixed)), fixed, fixed)
        usual = map_fit("logistic", taught, still, (0.0, INTERCEPT_DEVIATION), centred=False).intercept
        level, weights = _fitted(taught, mean)
        losses += [_loss(asked, usual, mean), _loss(asked, level, weights)]
    first, second = losses / len(rows.outcome)
    return float(first), float(second)


def _loss(rows: Rows, intercept: float, weights: Floats) -> float:
    chance = logistic(intercept + rows.features @ np.concatenate([[1.0], weights]))
    chance = np.clip(chance, 1e-9, 1 - 1e-9)
    return float(-(rows.outcome * np.log(chance) + (1 - rows.outcome) * np.log(1 - chance)).sum())
