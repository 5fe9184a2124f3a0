"""A scoring model from a shop's own log: as much as the log can teach, and the shipped numbers for the rest."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import floor, log, log10
from typing import Any, Final, Literal

import numpy as np

from app.domain.health.model import Model
from app.fitting import coefficients, snapshots
from app.fitting.coefficients import Learnt
from app.fitting.features import NAMES, Shape, features, log_odds, score_histories
from app.fitting.numerics import Flags, Floats, logistic
from app.fitting.published import MBG_NBD, fit
from app.fitting.purchases import DAY, Purchases, Standing
from app.fitting.regression import Coefficients, Priors, Rows, map_fit
from app.fitting.service_weights import ServiceFit
from app.fitting.spending import fit_spending

Path = Literal["fitted", "mbg_and_defaults", "defaults"]

ENOUGH_REPEATERS: Final = 100
"""Customers with a second purchase, without which the shop's own MBG/NBD is not trusted."""

SEED: Final = 3
RELEASE: Final = "1.0.0"
"""The semantic part of the versions of fitted models."""
_DIGITS: Final = 6
_LEAST_SCALE: Final = 0.5
_ACTIVE_DAYS: Final = 365
_MOST_UNIT_MINOR: Final = 1_000_000
_VALUE: Final = NAMES.index("b_value")
_MEDIAN_POINTS: Final = 60.0
_TENTH_POINTS: Final = 20.0
_TAUGHT: Final = (
    *NAMES,
    *("b0", "ref", "scale", "value_unit_minor", "horizon_days", "mbg_weeks", "gamma_gamma_major_units"),
)
_P_MAX: Final = 1 - 1e-12


@dataclass(frozen=True, slots=True)
class ModelFit:
    """A model and where it comes from.

    `model` is what `Model.parse` made of the parameters. `purchases` is the second head, E[purchases within the
    horizon], None where nothing could be learnt. `path` is the step of the fall-backs taken, `why` the reason in a
    sentence; `metadata` is plain JSON for the record of the model.
    """

    model: Model
    purchases: Coefficients | None
    path: Path
    why: str
    metadata: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON object that `Model.parse` accepts."""
        return self.model.to_json()

    def with_service(self, learnt: ServiceFit, release: str = RELEASE) -> "ModelFit":
        """The same model with the weights that closed complaints taught, as a version of its own, and their record."""
        metadata = self.metadata | {"service_weights": learnt.record()}
        if learnt.path == "priors":
            return replace(self, metadata=metadata)
        parameters = learnt.applied(self.model).to_json()
        model = Model.parse({**parameters, "version": version(release, parameters)})
        return replace(self, model=model, metadata=metadata)

    def points(self, standing: Standing) -> Floats:
        """Health of each customer from purchases and refunds alone, 0 to 100, shape (customers,)."""
        values = features(standing, Shape.of_model(self.model))
        return 100 * logistic(log_odds(values, self.model) / self.model.scale)

    def predict(self, standing: Standing, horizon_days: float) -> tuple[Floats, Floats]:
        """(P(a purchase), E[purchases]) in the next `horizon_days`, each of shape (customers,).

        At the model's own horizon P is the calibrated logit. At another N it follows MBG/NBD's: 1 - (1 - P_MBG(N))^g,
        g = ln(1 - P)/ln(1 - P_MBG) at the model's horizon; E likewise in proportion (docs: health, "Outputs").
        """
        shape = Shape.of_model(self.model)
        values = features(standing, shape)
        chance = logistic(self.model.ref + log_odds(values, self.model))
        log_means = coefficients.log_expected(standing, shape)
        if self.purchases is None:
            expected = np.exp(log_means)
        else:
            expected = coefficients.expected_purchases(self.purchases, values, log_means)
        if horizon_days == self.model.horizon_days:
            return chance, expected
        other = replace(shape, horizon_days=horizon_days)
        each, parameters = score_histories(standing), np.array(shape.mbg_weeks)
        own = np.log1p(-np.minimum(MBG_NBD.buys(parameters, each, shape.horizon_days / 7), _P_MAX))
        asked = np.log1p(-np.minimum(MBG_NBD.buys(parameters, each, horizon_days / 7), _P_MAX))
        hazard = asked / np.where(own < 0, own, -1.0)
        ratio = np.exp(coefficients.log_expected(standing, other) - log_means)
        return -np.expm1(np.log1p(-np.minimum(chance, _P_MAX)) * hazard), expected * ratio


def fit_model(
    log: Purchases,
    now: int,
    *,
    horizon_days: int,
    base: Model,
    value_unit_minor: int = 100,
    target: Purchases | None = None,
    release: str = RELEASE,
    seed: int = SEED,
) -> ModelFit:
    """The best model that the log up to `now` (seconds since 1970) supports.

    Steps down, and says so: coefficients by MAP; the shop's own MBG/NBD under the shipped coefficients (with
    ENOUGH_REPEATERS); the shipped model as it is. `base` gives priors, and all that purchases cannot teach;
    `value_unit_minor` is 10^digits of the shop's currency; a fitted model takes the shop's median purchase for its unit
    of value instead, so that neither the currency nor the price level leaks into the other terms. `target` is the log
    in which purchases are counted, `log` itself by default. `release` becomes the semantic part of the version.
    ValueError for a horizon that Model.parse refuses.
    """
    log = log.where(log.at <= now)
    target = log if target is None else target.where(target.at <= now)
    standing = log.as_of(now, base.form)
    repeaters = int(np.count_nonzero(standing.n > 1))
    told = _Told(log, standing, repeaters, now, horizon_days, base, release, seed)
    if repeaters < ENOUGH_REPEATERS:
        why = f"{repeaters} customers bought more than once; {ENOUGH_REPEATERS} are needed to fit anything"
        return told.fit(base, None, "defaults", why, learnt=None)
    own = replace(
        base,
        horizon_days=horizon_days,
        value_unit_minor=value_unit_minor,
        mbg_weeks=_rounded_all(fit(MBG_NBD, standing.cells()).parameters),
        gamma_gamma_major_units=_spending(standing, base, value_unit_minor),
    )
    times = snapshots.trainings(int(log.at.min()), now, horizon_days)
    usual = replace(own, value_unit_minor=_median_purchase(log, value_unit_minor))
    means = _prior_means(own, usual, standing)
    learnt = coefficients.learn(log, target, times, Shape.of_model(usual), means, seed) if times else None
    if learnt is None:
        why = (
            f"no window of {horizon_days} days has closed since the log began"
            if not times
            else f"fewer than {coefficients.ENOUGH_CASES} customers bought, or did not, in an average closed window"
        )
        return told.fit(
            _anchored(_distilled(own, standing), standing), None, "mbg_and_defaults", why, learnt=None
        )
    slopes: dict[str, Any] = {
        name: _rounded(value) for name, value in zip(NAMES, learnt.chance.slopes, strict=True)
    }
    model = _anchored(replace(usual, b0=_within(learnt.chance.intercept, 19.0), **slopes), standing)
    why = f"{learnt.rows} customer windows from {len(times)} snapshots"
    return told.fit(model, learnt.purchases, "fitted", why, learnt=learnt, times=times)


@dataclass(frozen=True, slots=True)
class _Told:
    """What the record of a model says of the data behind it, whatever the path."""

    log: Purchases
    standing: Standing
    repeaters: int
    now: int
    horizon_days: int
    base: Model
    release: str
    seed: int

    def fit(
        self,
        model: Model,
        purchases: Coefficients | None,
        path: Path,
        why: str,
        *,
        learnt: Learnt | None,
        times: tuple[int, ...] = (),
    ) -> ModelFit:
        if path != "defaults":
            model = Model.parse({**model.to_json(), "version": version(self.release, model.to_json())})
        metadata: dict[str, Any] = {
            "path": path,
            "why": why,
            "base": self.base.version,
            "as_of": snapshots.dates([self.now])[0],
            "horizon_days": self.horizon_days,
            "data": {
                "sha256": self.log.sha256(),
                "rows": len(self.log),
                "customers": len(self.standing),
                "repeaters": self.repeaters,
            },
            "windows": snapshots.dates(times),
            "training_rows": learnt.rows if learnt else 0,
            "seed": self.seed,
            "priors": _priors(self.base),
            "anchors": _anchors(model, self.standing),
        }
        if learnt is not None:
            metadata |= _what_was_learnt(learnt)
        return ModelFit(model, purchases, path, why, metadata)


def unlearnt(model: Model, shipped: Model) -> Model:
    """`model` with all that purchases teach as in the `shipped` one: where a fit begins, so that no prior is a fit.

    What the shop has set itself stays: the weights of complaints and contacts, bands, coverage, margin, windows.
    """
    usual = shipped.to_json()
    return Model.parse({**model.to_json(), **{name: usual[name] for name in _TAUGHT}})


def version(release: str, parameters: Mapping[str, Any]) -> str:
    """`release` and the first 12 hex digits of the SHA-256 of the parameters without their version: equal numbers,
    equal version.
    """
    content = {name: value for name, value in parameters.items() if name != "version"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"{release}+{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"


def _median_purchase(log: Purchases, otherwise: int) -> int:
    """The median amount of a purchase that cost something, in minor units."""
    paid = log.amount[~log.is_refund & (log.amount > 0)]
    return int(min(_MOST_UNIT_MINOR, np.median(paid))) if len(paid) else otherwise


def _prior_means(own: Model, usual: Model, standing: Standing) -> Floats:
    """The coefficients of `own` for the features of `usual`: in another unit of value its standardised effect stays."""
    means = np.array([getattr(own, name) for name in NAMES])
    before, after = (features(standing, Shape.of_model(model))[:, _VALUE].std() for model in (own, usual))
    if after > 0:
        means[_VALUE] *= before / after
    return means


def _spending(standing: Standing, base: Model, value_unit_minor: int) -> tuple[float, ...]:
    """Gamma-Gamma in major units from all customers whose purchases were worth something."""
    worth: Flags = standing.spend > 0
    if np.count_nonzero(worth & (standing.n > 1)) < ENOUGH_REPEATERS:
        return base.gamma_gamma_major_units
    n = standing.n[worth].astype(np.float64)
    return _rounded_all(fit_spending(n, standing.spend[worth] / n / value_unit_minor).parameters)


def _distilled(own: Model, standing: Standing) -> Model:
    """The shipped coefficients, level and spread brought to those of the shop's own MBG/NBD.

    b0 and one factor on all coefficients, by which the predictions come closest (in cross-entropy) to P_MBG: without a
    closed window it is the only word on how many will buy. The ranking stays that of the shipped coefficients.
    """
    shape = Shape.of_model(own)
    shipped = np.array([getattr(own, name) for name in NAMES])
    combined = features(standing, shape) @ shipped
    chance = MBG_NBD.buys(np.array(shape.mbg_weeks), score_histories(standing), shape.horizon_days / 7)
    mean = float(np.clip(chance.mean(), 1e-6, 1 - 1e-6))
    priors = Priors(np.ones(1), np.full(1, 0.5), np.full(1, 0.3), np.full(1, 1.5))
    rows = Rows(combined[:, None], chance)
    found = map_fit("logistic", rows, priors, (log(mean / (1 - mean)), coefficients.BASE_RATE_DEVIATION))
    factor = float(found.slopes[0])
    scaled: dict[str, Any] = {
        name: _rounded(value * factor) for name, value in zip(NAMES, shipped, strict=True)
    }
    return replace(own, b0=_within(found.intercept, 19.0), **scaled)


def _anchored(model: Model, standing: Standing) -> Model:
    """`ref` and `scale` such that the median active customer stands at 60 points and the tenth percentile at 20.

    Active is who bought within a year, as shops count their active customers. `scale` is at least _LEAST_SCALE: in a
    young log all customers are alike, and a complaint would throw them across the whole range. Where a first purchase
    would then lower health, `ref` gives way just as far as needed, and everyone stands a little higher. Neither
    changes the ranking or a probability.
    """
    total = _active_log_odds(replace(model, ref=0.0), standing)
    median, tenth = (float(value) for value in np.quantile(total, [0.5, 0.1]))
    upper, lower = (log(points / (100 - points)) for points in (_MEDIAN_POINTS, _TENTH_POINTS))
    scale = _rounded(min(20.0, max(_LEAST_SCALE, (median - tenth) / (upper - lower))))
    ref = min(median - upper * scale, replace(model, ref=0.0).first_purchase_momentum(), 19.0)
    step = 10.0**-_DIGITS
    return replace(model, scale=scale, ref=round(max(-19.0, floor(ref / step) * step), _DIGITS))


def _active_log_odds(model: Model, standing: Standing) -> Floats:
    total = log_odds(features(standing, Shape.of_model(model)), model)
    active = standing.now - standing.last <= _ACTIVE_DAYS * DAY
    return total[active] if active.any() else total


def _anchors(model: Model, standing: Standing) -> dict[str, float]:
    if not len(standing):
        return {}
    points = 100 * logistic(_active_log_odds(model, standing) / model.scale)
    median, tenth = (round(float(value), 1) for value in np.quantile(points, [0.5, 0.1]))
    return {"median_active_points": median, "tenth_percentile_points": tenth}


def _priors(base: Model) -> dict[str, Any]:
    return {
        "b0": ["logit of the base rate", coefficients.BASE_RATE_DEVIATION],
        "c_mbg_logit": [base.c_mbg_logit, coefficients.MBG_DEVIATION],
        "standardised_deviation": coefficients.STANDARDISED_DEVIATION,
        "means": {name: getattr(base, name) for name in NAMES},
    }


def _what_was_learnt(learnt: Learnt) -> dict[str, Any]:
    return {
        "cases": {
            "bought": round(learnt.cases[0], 1),
            "did_not": round(learnt.cases[1], 1),
            "refund_weight_fitted": learnt.refund_weight_fitted,
        },
        "season_shift": None if learnt.season_shift is None else _rounded(learnt.season_shift),
        "unseasoned_level": None
        if learnt.level is None
        else {
            "shift": _rounded(learnt.level.shift),
            "variance": _rounded(learnt.level.variance),
            "spread": _rounded(learnt.level.spread),
        },
        "converged": learnt.chance.converged and learnt.purchases.converged,
        "expected_purchases": {
            "intercept": _rounded(learnt.purchases.intercept),
            "slopes": {
                name: _rounded(value)
                for name, value in zip(("d_mbg_log_mean", *NAMES[1:]), learnt.purchases.slopes, strict=True)
            },
        },
    }


def _within(value: float, limit: float) -> float:
    return _rounded(max(-limit, min(limit, float(value))))


def _rounded(value: float) -> float:
    """Six significant digits: what is published, what is hashed and what scores are one and the same."""
    number = float(value)
    if number == 0:
        return 0.0
    return round(number, _DIGITS - 1 - floor(log10(abs(number))))


def _rounded_all(values: Floats) -> tuple[float, ...]:
    return tuple(_rounded(value) for value in values)
