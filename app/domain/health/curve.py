"""What the log-odds of a state do while nothing happens, from a few floats that are read once.

In silence every term of the score only falls (F: momentum, rhythm, value, positive answers, engagement, advocacy,
loyalty) or only rises (G: contacts, refunds, negative answers, for they are forgotten), but for complaints, which grow
while they are open and fade when they are not.
"""

from math import log, log1p
from typing import Final, NamedTuple

from app.domain.health.form import Form
from app.domain.health.mbg import purchase_probability
from app.domain.health.model import Model
from app.domain.health.score import complaint_factor, usual_gap_days
from app.domain.health.state import State
from app.domain.health.weights import DAY_SECONDS, read

_WEEK_SECONDS: Final = 7 * DAY_SECONDS
_HALF_DAY_IN_WEEKS: Final = 0.5 / 7
_LOG_2: Final = log(2)


class Curve(NamedTuple):
    """What a state's terms are made of, read once at `since`: each half-life has halved it again later."""

    model: Model
    form: Form
    since: int
    n: int
    first: int
    last: int
    usual_gap_log: float
    n15: float
    n60: float
    n240: float
    m120: float
    r240: float
    con30: float
    sn180: float
    sd180: float
    eng30: float
    adv365: float
    loy180: float
    open_sev: int
    open_sevt: int
    res45: float
    c180: float


class Sides(NamedTuple):
    """The curve at one time: F, G, and what complaints weigh (what is open, what is left of the others, how much more
    because they repeat).
    """

    at: int
    falling: float
    rising: float
    opened: float
    residual: float
    factor: float


def curve_of(state: State, now: int, model: Model) -> Curve:
    """The curve of `state` from `now` (seconds since 1970) on; before the last purchase it stands still."""
    first, last, n = state.t_first or 0, state.t_last or 0, state.n
    at = max(now, last)
    answers, form = state.sn180, state.form
    return Curve(
        model,
        form,
        at,
        n,
        first,
        last,
        log(usual_gap_days(state, model)) if n else 0.0,
        read(state.n15, at, form.purchases_short) if n else 0.0,
        read(state.n60, at, form.purchases_middle) if n else 0.0,
        read(state.n240, at, form.purchases_long) if n else 0.0,
        read(state.m120, at, form.value) if n else 0.0,
        read(state.r240, at, form.refunds) / 1000 if state.r240 else 0.0,
        read(state.con30, at, form.contacts) if state.con30 else 0.0,
        _signed(answers, at, form.satisfaction) / 1000 if answers else 0.0,
        read(state.sd180, at, form.satisfaction) / 1000 if answers else 0.0,
        read(state.eng30, at, form.engagement) / 1000 if state.eng30 else 0.0,
        read(state.adv365, at, form.advocacy) / 1000 if state.adv365 else 0.0,
        read(state.loy180, at, form.loyalty) / 1000 if state.loy180 else 0.0,
        state.open_sev,
        state.open_sevt,
        read(state.res45, at, form.complaints_resolved) / 1000 if state.res45 else 0.0,
        read(state.c180, at, form.complaints) if state.c180 else 0.0,
    )


def _signed(total: int, at: int, half_life_days: int) -> float:
    return read(total, at, half_life_days) if total >= 0 else -read(-total, at, half_life_days)


def sides(curve: Curve, moment: int) -> Sides:
    """The curve at `moment`. The same terms as score(), which a test adds up."""
    model, form = curve.model, curve.form
    at = max(moment, curve.since)
    days = (at - curve.since) / DAY_SECONDS
    falling = _purchases(curve, at, days) if curve.n else 0.0
    rising = _refunds(curve, days) if curve.r240 else 0.0
    if curve.eng30:
        falling += model.w_engagement * log1p(curve.eng30 * 2.0 ** (-days / form.engagement))
    if curve.adv365:
        falling += model.w_advocacy * log1p(curve.adv365 * 2.0 ** (-days / form.advocacy))
    if curve.loy180:
        falling += model.w_loyalty * log1p(curve.loy180 * 2.0 ** (-days / form.loyalty))
    if curve.con30:
        paid = curve.con30 * 2.0 ** (-days / form.contacts) - model.contact_free
        rising -= min(model.contact_max, model.w_contact * max(0.0, paid))
    if curve.sn180:
        fade = 2.0 ** (-days / form.satisfaction)
        mean = model.w_satisfaction * curve.sn180 * fade / (curve.sd180 * fade + model.satisfaction_pseudo)
        if mean > 0:
            falling += mean
        else:
            rising += mean
    if not curve.c180:
        return Sides(at, falling, rising, 0.0, 0.0, 1.0)
    age_days = (curve.open_sev * at - curve.open_sevt) / DAY_SECONDS
    opened = max(0.0, (curve.open_sev + age_days / model.open_age_days) / 1000)
    factor = complaint_factor(curve.c180 * 2.0 ** (-days / form.complaints), model)
    return Sides(at, falling, rising, opened, curve.res45 * 2.0 ** (-days / form.complaints_resolved), factor)


def _purchases(curve: Curve, at: int, days: float) -> float:
    """Momentum, rhythm and value: none of them ever rises by itself."""
    model, form = curve.model, curve.form
    floor = model.n_floor
    return (
        model.b0
        - model.ref
        + chance_term(curve.n, curve.first, curve.last, at, model)
        + model.b_n15 * log(curve.n15 * 2.0 ** (-days / form.purchases_short) + floor)
        + model.b_n60 * log(curve.n60 * 2.0 ** (-days / form.purchases_middle) + floor)
        + model.b_n240 * log(curve.n240 * 2.0 ** (-days / form.purchases_long) + floor)
        + model.b_ln1x * log(curve.n)
        + rhythm_term(curve.first, curve.last, at, curve.usual_gap_log, model)
        + model.b_value * log1p(curve.m120 * 2.0 ** (-days / form.value) / model.value_unit_minor)
    )


def chance_term(n: int, first: int, last: int, at: int, model: Model) -> float:
    """What MBG/NBD's probability of a purchase adds to momentum at `at`; never rises with it."""
    p = purchase_probability(
        n - 1,
        (last - first) / _WEEK_SECONDS,
        max(_HALF_DAY_IN_WEEKS, (at - first) / _WEEK_SECONDS),
        model.horizon_days / 7,
        model.mbg_weeks,
    )
    p = min(1 - model.p_clip, max(model.p_clip, p))
    return model.c_mbg_logit * log(p / (1 - p))


def rhythm_term(first: int, last: int, at: int, usual_gap_log: float, model: Model) -> float:
    """The rhythm term at `at`, which is not before the last purchase; never rises with it."""
    silence = log1p((at - last) / DAY_SECONDS)
    over = silence - usual_gap_log
    term = model.b_tenure * (log1p((at - first) / DAY_SECONDS) - silence)
    if over > 0:
        term += model.b_pace * over
    if over > _LOG_2:
        term += model.b_pace2 * (over - _LOG_2)
    return term


def _refunds(curve: Curve, days: float) -> float:
    """With purchases known everything in the ratio fades alike (Model.parse sees to it), so it stands still."""
    model, half_life = curve.model, curve.form.refunds
    if curve.n:
        silence_days = (curve.since - curve.last) / DAY_SECONDS
        share: float = curve.r240 / (curve.n240 + model.refund_pseudo * 2.0 ** (-silence_days / half_life))
    else:
        share = curve.r240 * 2.0 ** (-days / half_life) / model.refund_pseudo
    return -model.w_refund * min(1.0, share)
