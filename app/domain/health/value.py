"""What a customer is expected to do and to be worth: purchases within any horizon, and money in the shop's currency.

How often somebody buys comes from MBG/NBD, how likely from the score, which knows more (docs: health, "Outputs beside
the score"). Both are tied together so that they cannot contradict each other.
"""

from math import exp, expm1, log, log1p
from typing import Final, NamedTuple

from app.domain.health.mbg import alive_probability, probability_if, purchases_if_alive
from app.domain.health.model import Model
from app.domain.health.score import Health
from app.domain.health.state import State
from app.domain.health.weights import DAY_SECONDS

PURCHASES_DAYS: Final = 90
"""The horizon of `expected_purchases_90d`."""
VALUE_DAYS: Final = 365
"""The horizon of the expected value and of the customer lifetime value: a year, as shops plan and suites report it."""

_WEEK_SECONDS: Final = 7 * DAY_SECONDS
_HALF_DAY_IN_WEEKS: Final = 0.5 / 7
_YEAR_DAYS: Final = 365.25
# A probability whose logarithm of the complement is still a number.
_NEARLY_ONE: Final = 1 - 1e-15
_LOG_PART: Final = log(PURCHASES_DAYS / VALUE_DAYS)
_NEGLIGIBLE: Final = 1e-9


class Forecast(NamedTuple):
    """What a customer who has bought will do from now on, nothing else happening.

    `repeats` purchases after the first, `age_weeks` between the first and now. `p_alive` is MBG/NBD's probability that
    they have not dropped out for good. `hazard_ratio` scales its hazard of buying so that the probability of a purchase
    within the model's horizon is the score's.
    """

    repeats: int
    age_weeks: float
    p_alive: float
    hazard_ratio: float
    parameters: tuple[float, ...]

    def purchase_probability(self, days: float) -> float:
        """P(at least one purchase in the next `days`): rises with `days`, is the score's at the model's horizon.

        P(N) = 1 - (1 - P_MBG(N))^g with g = ln(1 - P_score(H)) / ln(1 - P_MBG(H)).
        """
        return -expm1(self.hazard_ratio * self._log_quiet(days / 7))

    def expected_purchases(self, days: float) -> float:
        """How many purchases the next `days` bring on average; never less than the probability of one.

        P(N) times MBG/NBD's mean number for those who buy at all. MBG's own E would leave out what the score knows;
        E times g would inflate heavy buyers (docs: health).
        """
        weeks = days / 7
        r, alpha, _, _ = self.parameters
        buys_if_alive = -expm1(-(r + self.repeats) * log1p(weeks / (alpha + self.age_weeks)))
        bought = purchases_if_alive(self.repeats, self.age_weeks, weeks, self.parameters)
        return self.purchase_probability(days) * max(1.0, bought / buys_if_alive)

    def _log_quiet(self, weeks: float) -> float:
        p = probability_if(self.p_alive, self.repeats, self.age_weeks, weeks, self.parameters)
        return log1p(-min(p, _NEARLY_ONE))


class Value(NamedTuple):
    """What a customer is expected to do and to be worth. Money is in minor units of the shop currency.

    `churn_probability`: no purchase within the model's churn window. `expected_value` is revenue within VALUE_DAYS,
    `clv` the margin of it, discounted to today; both None while no purchase had a known amount.
    """

    p_alive: float
    churn_probability: float
    expected_purchases: float
    expected_value: int | None
    clv: int | None


def forecast(state: State, health: Health, now: int, model: Model) -> Forecast | None:
    """The forecast for `state` at `now` (seconds since 1970), where its health is `health`; None without purchases."""
    first, last = state.t_first, state.t_last
    if first is None or last is None:
        return None
    repeats, parameters = state.n - 1, model.mbg_weeks
    age = max(_HALF_DAY_IN_WEEKS, (max(now, last) - first) / _WEEK_SECONDS)
    alive = alive_probability(repeats, (last - first) / _WEEK_SECONDS, age, parameters)
    p = probability_if(alive, repeats, age, model.horizon_days / 7, parameters)
    # ln(1 - P) of P = 1/(1 + exp(-logit)) without losing the digits of a P near 1.
    logit = model.ref + health.log_odds
    log_quiet = -log1p(exp(logit)) if logit < 0 else -logit - log1p(exp(-logit))
    return Forecast(repeats, age, alive, log_quiet / log1p(-min(p, _NEARLY_ONE)), parameters)


def expected_amount(state: State, model: Model, minor_per_major: int) -> float | None:
    """What the next purchase is expected to be worth, in major units; None while no purchase had a known amount.

    Gamma-Gamma (Fader, Hardie and Lee 2005): E = p (gamma + m n)/(p n + q - 1) after n purchases of mean m, the mean
    net of refunds. Purchases without a value (no exchange rate) count in n.
    """
    if not state.m120 and not state.spend:
        return None
    p, q, gamma = model.gamma_gamma_major_units
    spent = max(0, state.spend) / minor_per_major
    weight = p * state.n + q - 1
    # For p n + q <= 1 that mean is infinite; the customer's own is the best that is left.
    return p * (gamma + spent) / weight if weight > 0 else spent / max(1, state.n)


def value(state: State, health: Health, now: int, model: Model, minor_per_major: int) -> Value | None:
    """What is to be expected of `state`, whose health at `now` is `health`; None before the first purchase."""
    ahead = forecast(state, health, now, model)
    if ahead is None:
        return None
    amount = expected_amount(state, model, minor_per_major)
    soon = ahead.expected_purchases(PURCHASES_DAYS)
    worth = clv = None
    if amount is not None:
        purchases = ahead.expected_purchases(VALUE_DAYS)
        worth = round(purchases * amount * minor_per_major)
        discounted = _discounted(soon, purchases, model.discount_per_year)
        clv = round(discounted * amount * model.margin * minor_per_major)
    return Value(
        p_alive=ahead.p_alive,
        churn_probability=1 - ahead.purchase_probability(model.churn_window_days),
        expected_purchases=soon,
        expected_value=worth,
        clv=clv,
    )


def _discounted(soon: float, purchases: float, discount_per_year: float) -> float:
    """The `purchases` of VALUE_DAYS, each discounted by (1 + d)^-years from the day on which it is expected.

    The integral of exp(-k t) dE(t) by parts is exp(-k N) E(N) + k times the integral of exp(-k t) E(t). In that second
    part, which is small, E is taken for the power of t that meets what is known anyway: E(PURCHASES_DAYS) = `soon` and
    E(N) = `purchases`. Its integral is purchases times the sum of (-k)^j / (j! (p + 1 + j)), with t in units of N.
    """
    force = log1p(discount_per_year) * VALUE_DAYS / _YEAR_DAYS
    power = log(soon / purchases) / _LOG_PART if 0 < soon < purchases else 1.0
    within, term, order = 0.0, 1.0, 0
    while abs(term) > _NEGLIGIBLE:
        within += term / (power + 1 + order)
        order += 1
        term *= -force / order
    return purchases * (exp(-force) + force * within)
