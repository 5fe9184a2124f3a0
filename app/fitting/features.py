"""What the score reads of many customers at once: the terms of app.domain.health.score, before their coefficients."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from app.domain.health.form import SHIPPED, Form
from app.domain.health.model import Model
from app.fitting.numerics import Floats
from app.fitting.published import MBG_NBD, Cells
from app.fitting.purchases import DAY, Standing

FEATURES: Final = MappingProxyType(
    {
        "c_mbg_logit": "momentum",
        "b_n15": "momentum",
        "b_n60": "momentum",
        "b_n240": "momentum",
        "b_ln1x": "momentum",
        "b_pace": "rhythm",
        "b_pace2": "rhythm",
        "b_tenure": "rhythm",
        "b_value": "value",
        "w_refund": "refunds",
    }
)
"""The coefficients that a shop's purchases can teach, by their names in Model, and the component each belongs to."""

NAMES: Final = tuple(FEATURES)
_HALF_DAY_IN_WEEKS: Final = 0.5 / 7


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a model that its features depend on: all but the coefficients. Units as in Model.

    `form` has the half-lives of the standings that it reads.
    """

    horizon_days: float
    mbg_weeks: tuple[float, ...]
    value_unit_minor: float
    gap_prior_days: float
    n_floor: float
    p_clip: float
    refund_pseudo: float
    form: Form = SHIPPED

    @classmethod
    def of_model(cls, model: Model) -> "Shape":
        """The shape of `model`."""
        return cls(
            model.horizon_days,
            model.mbg_weeks,
            model.value_unit_minor,
            model.gap_prior_days,
            model.n_floor,
            model.p_clip,
            model.refund_pseudo,
            model.form,
        )


def score_histories(standing: Standing) -> Cells:
    """(x, t_x, T) in weeks as the score has them: T is at least half a day."""
    each = standing.histories()
    return Cells(each.repeats, each.last, np.maximum(each.age, _HALF_DAY_IN_WEEKS), each.count)


def features(standing: Standing, shape: Shape) -> Floats:
    """The raw features, shape (customers, len(NAMES)), columns in the order of NAMES.

    Equal to 1e-6 to what app.domain.health.score computes from the integer state (docs: health, "Terms"). The last
    column is minus the share of orders sent back.
    """
    chance = MBG_NBD.buys(np.array(shape.mbg_weeks), score_histories(standing), shape.horizon_days / 7)
    chance = np.clip(chance, shape.p_clip, 1 - shape.p_clip)
    silent_days = (standing.now - standing.last) / DAY
    silence = np.log1p(silent_days)
    gap = ((standing.last - standing.first) / DAY + shape.gap_prior_days) / standing.n
    over = silence - np.log(gap)
    kept = standing.n240 + shape.refund_pseudo * np.exp2(-silent_days / shape.form.refunds)
    return np.column_stack(
        [
            np.log(chance / (1 - chance)),
            np.log(standing.n15 + shape.n_floor),
            np.log(standing.n60 + shape.n_floor),
            np.log(standing.n240 + shape.n_floor),
            np.log(standing.n),
            np.maximum(over, 0.0),
            np.maximum(over - np.log(2), 0.0),
            np.log1p((standing.now - standing.first) / DAY) - silence,
            np.log1p(standing.m120 / shape.value_unit_minor),
            -np.minimum(1.0, standing.r240 / kept),
        ]
    )


def log_odds(values: Floats, model: Model) -> Floats:
    """L of each customer, shape (customers,): the sum of the terms that purchases feed. `values` as of `features`.

    ref + L is the calibrated logit of buying within the model's horizon.
    """
    coefficients = np.array([getattr(model, name) for name in NAMES])
    return np.asarray(model.b0 - model.ref + values @ coefficients)
