"""Health: how likely the customer is to come back, 0 to 100, as a sum of ten terms on one log-odds scale.

Formulae and numbers: docs, health, "Settled definitions". Missing evidence is None and counts 0, never a penalty.
"""

from math import exp, log, log1p
from typing import Final, NamedTuple

from app.domain.health.mbg import purchase_probability
from app.domain.health.model import BANDS, COMPONENTS, Model
from app.domain.health.state import State
from app.domain.health.weights import DAY_SECONDS, read, weight

BASE: Final = 50.0
"""Points of a customer whose known facts weigh nothing either way."""

_WEEK_SECONDS: Final = 7 * DAY_SECONDS
_HALF_DAY_IN_WEEKS: Final = 0.5 / 7
_LOG_2: Final = log(2)
_SATISFACTION, _ADVOCACY = COMPONENTS.index("satisfaction"), COMPONENTS.index("advocacy")
NEGLIGIBLE: Final = 1e-6
"""Log-odds so small that a quotient of two differences has lost its digits; its limit is exact to 1e-12 there."""


class Health(NamedTuple):
    """Where one customer stands at one time.

    `score_exact` (0 to 100) is None without evidence, `purchase_probability` (0 to 1, in the model's horizon) without
    purchases. `log_odds` is the sum of `terms`, which are in the order of COMPONENTS and None without evidence.
    `coverage` (0 to 1) is the share of the model's weight with evidence, `confidence` (0 to 1) grows with its amount.
    `points_per_log_odds` turns a term into points. `model` is the version that said all this.
    """

    score_exact: float | None
    band: str
    log_odds: float
    terms: tuple[float | None, ...]
    coverage: float
    confidence: float
    purchase_probability: float | None
    points_per_log_odds: float
    model: str

    @property
    def score(self) -> int | None:
        """The score as a whole number, rounded half up."""
        return None if self.score_exact is None else int(self.score_exact + 0.5)

    @property
    def contributions(self) -> tuple[float | None, ...]:
        """Points of each component; 50 plus all of them is `score_exact`."""
        points = self.points_per_log_odds
        return tuple(None if term is None else term * points for term in self.terms)


def score(state: State, now: int, model: Model) -> Health:
    """The health of `state` at `now` (seconds since 1970); a time before the last purchase reads as that purchase."""
    form = state.form
    if form is not model.form:
        _check_readable(state, model)
    at = _readable(state, now)
    n240 = read(state.n240, at, form.purchases_long)
    c180 = read(state.c180, at, form.complaints)
    sd180 = read(state.sd180, at, form.satisfaction) / 1000
    terms = (
        *_purchase_terms(state, at, n240, model),
        _refunds(state, at, n240, model),
        _complaints(state, at, c180, model),
        _contacts(state, at, model),
        _satisfaction(state.sn180, at, sd180, model) if state.sd180 else None,
        model.w_engagement * log1p(read(state.eng30, at, form.engagement) / 1000) if state.eng30 else None,
        _advocacy(state.adv365, at, model) if state.adv365 else None,
        model.w_loyalty * log1p(read(state.loy180, at, form.loyalty) / 1000) if state.loy180 else None,
    )
    return _health(state.n, terms, n240 + sd180 + c180, model)


def with_answer(state: State, health: Health, now: int, answer: int, model: Model) -> float:
    """The exact score if an answer of `answer` (thousandths of [-1, 1]) came in at `now`; `health` is of `state` then.

    Answers move one term alone, so the others need not be worked out again.
    """
    at, one = _readable(state, now), weight(now, state.form.satisfaction)
    sd180 = read(state.sd180 + 1000 * one, at, state.form.satisfaction) / 1000
    term = _satisfaction(state.sn180 + answer * one, at, sd180, model)
    return _with_term(health, _SATISFACTION, term, model)


def with_referral(state: State, health: Health, now: int, model: Model) -> float:
    """The exact score if the customer referred somebody at `now`; `health` is of `state` then."""
    referred = state.adv365 + 1000 * weight(now, state.form.advocacy)
    return _with_term(health, _ADVOCACY, _advocacy(referred, _readable(state, now), model), model)


def _check_readable(state: State, model: Model) -> None:
    """A state of another form would read as nonsense: off by a factor of 2^(years/half-life)."""
    if state.form != model.form and not state.is_empty:
        raise ValueError(f"Model {model.version} reads states of another form.")


def _readable(state: State, now: int) -> int:
    return now if state.t_last is None or state.t_last <= now else state.t_last


def _with_term(health: Health, index: int, term: float, model: Model) -> float:
    return points(health.log_odds - (health.terms[index] or 0.0) + term, model.scale)


def points(log_odds: float, scale: float) -> float:
    """100 / (1 + exp(-log_odds / scale)), between 0 and 100 for any input."""
    z = log_odds / scale
    if z >= 0:
        return 100 / (1 + exp(-z))
    # exp() of a large positive number overflows, of a large negative one it is 0.
    odds = exp(z)
    return 100 * odds / (1 + odds)


def band_of(score_exact: float, model: Model) -> str:
    """The band of an unrounded score."""
    for name, edge in zip(BANDS, model.bands, strict=True):
        if score_exact >= edge:
            return name
    return BANDS[-1]


def usual_gap_days(state: State, model: Model) -> float:
    """g, the customer's own mean gap between purchases in days, shrunk to the prior: (t_x + prior)/(x + 1)."""
    if state.t_first is None or state.t_last is None:
        return model.gap_prior_days
    return ((state.t_last - state.t_first) / DAY_SECONDS + model.gap_prior_days) / state.n


def complaint_factor(c180: float, model: Model) -> float:
    """How much heavier complaints weigh because they repeat: 1 for a single one, up to 1 + repeat_extra."""
    return 1 + model.repeat_extra * min(1.0, max(0.0, c180 - 1))


def complaints_term(load: float, model: Model) -> float:
    """The log-odds that complaints of this load cost: the first costs most, and all together at most complaint_max."""
    return -model.complaint_max * (1 - exp(-load / model.complaint_load))


def _health(n: int, terms: tuple[float | None, ...], information: float, model: Model) -> Health:
    log_odds = 0.0
    coverage = 0.0
    known = False
    for term, share in zip(terms, model.coverage, strict=True):
        if term is not None:
            log_odds += term
            coverage += share
            known = True
    if not known:
        return Health(None, "unknown", 0.0, terms, 0.0, 0.0, None, 25 / model.scale, model.version)
    if n and terms[3] is None:
        # A customer who buys and sends nothing back is known not to.
        coverage += model.coverage[3]
    exact = points(log_odds, model.scale)
    slope = (exact - BASE) / log_odds if abs(log_odds) > NEGLIGIBLE else 25 / model.scale
    band = band_of(exact, model) if coverage else "unknown"
    chance = points(model.ref + log_odds, 1.0) / 100 if n else None
    return Health(
        exact, band, log_odds, terms, coverage, information / (information + 3), chance, slope, model.version
    )


def _purchase_terms(
    state: State, at: int, n240: float, model: Model
) -> tuple[float, float, float] | tuple[None, None, None]:
    """Momentum, rhythm and value."""
    first, last, n = state.t_first, state.t_last, state.n
    if first is None or last is None:
        return None, None, None
    form = state.form
    age_weeks = (at - first) / _WEEK_SECONDS
    p = purchase_probability(
        n - 1,
        (last - first) / _WEEK_SECONDS,
        max(_HALF_DAY_IN_WEEKS, age_weeks),
        model.horizon_days / 7,
        model.mbg_weeks,
    )
    p = min(1 - model.p_clip, max(model.p_clip, p))
    floor = model.n_floor
    momentum = (
        model.b0
        - model.ref
        + model.c_mbg_logit * log(p / (1 - p))
        + model.b_n15 * log(read(state.n15, at, form.purchases_short) + floor)
        + model.b_n60 * log(read(state.n60, at, form.purchases_middle) + floor)
        + model.b_n240 * log(n240 + floor)
        + model.b_ln1x * log(n)
    )
    silence = log1p((at - last) / DAY_SECONDS)
    over = silence - log(usual_gap_days(state, model))
    over_twice = over - _LOG_2
    rhythm = model.b_tenure * (log1p((at - first) / DAY_SECONDS) - silence)
    if over > 0:
        rhythm += model.b_pace * over
    if over_twice > 0:
        rhythm += model.b_pace2 * over_twice
    value = model.b_value * log1p(read(state.m120, at, form.value) / model.value_unit_minor)
    return momentum, rhythm, value


def _refunds(state: State, at: int, n240: float, model: Model) -> float | None:
    if not state.r240:
        return None
    # Without any purchase the pseudo-purchases cannot have aged.
    silence_days = 0.0 if state.t_last is None else (at - state.t_last) / DAY_SECONDS
    half_life = state.form.refunds
    returned = read(state.r240, at, half_life) / 1000
    pseudo = model.refund_pseudo * 2 ** (-silence_days / half_life)
    return -model.w_refund * min(1.0, returned / (n240 + pseudo))


def _complaints(state: State, at: int, c180: float, model: Model) -> float | None:
    # Every complaint that was ever opened is in c180, whatever became of it.
    if not state.c180:
        return None
    severity = state.open_sev
    age_days = (severity * at - state.open_sevt) / DAY_SECONDS
    opened = (severity + age_days / model.open_age_days) / 1000
    residual = read(state.res45, at, state.form.complaints_resolved) / 1000
    return complaints_term((max(0.0, opened) + residual) * complaint_factor(c180, model), model)


def _contacts(state: State, at: int, model: Model) -> float | None:
    if not state.con30:
        return None
    paid = read(state.con30, at, state.form.contacts) - model.contact_free
    return -min(model.contact_max, model.w_contact * paid) if paid > 0 else 0.0


def _advocacy(adv365: int, at: int, model: Model) -> float:
    return model.w_advocacy * log1p(read(adv365, at, model.form.advocacy) / 1000)


def _satisfaction(sn180: int, at: int, sd180: float, model: Model) -> float:
    half_life = model.form.satisfaction
    answers = (read(sn180, at, half_life) if sn180 >= 0 else -read(-sn180, at, half_life)) / 1000
    return model.w_satisfaction * answers / (sd180 + model.satisfaction_pseudo)
