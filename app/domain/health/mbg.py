"""Buying as MBG/NBD sees it (Batislam, Denizel and Filiztekin 2007): a customer may drop out after any purchase.

Unlike under BG/NBD, a purchase now never lowers these probabilities.
"""

from bisect import bisect_right
from functools import lru_cache
from math import exp, expm1, lgamma, log, log1p, sqrt
from typing import Final

_LOG_MAX: Final = 700.0
# The rule for the expected purchases: distance of its nodes, how far below its peak (in logarithms) the density is
# left out, and how small a term must be to be continued as a series.
_STEP: Final = 0.6
_FALL: Final = 15.0
_NEAR: Final = 1e-3


def alive_probability(
    repeats: int, last_weeks: float, age_weeks: float, parameters: tuple[float, ...]
) -> float:
    """P(alive): that the customer has not dropped out by now, between 0 and 1; arguments as of purchase_probability.

    P(alive) = 1/(1 + a/(b + x) ((alpha + T)/(alpha + t_x))^(r + x)).
    """
    r, alpha, a, b = parameters
    # In logarithms: thousands of purchases followed by a long silence would overflow a plain power.
    silence = (r + repeats) * log((alpha + age_weeks) / (alpha + last_weeks))
    return 1 / (1 + a / (b + repeats) * exp(min(_LOG_MAX, silence)))


def purchase_probability(
    repeats: int, last_weeks: float, age_weeks: float, horizon_weeks: float, parameters: tuple[float, ...]
) -> float:
    """P(at least one purchase in the next `horizon_weeks`), between 0 and 1.

    `repeats` are the purchases after the first, `last_weeks` lies between first and last, `age_weeks` between first
    and now; `parameters` are (r, alpha, a, b). P = P(alive) (1 - ((alpha + T)/(alpha + T + N))^(r + x)).
    """
    alive = alive_probability(repeats, last_weeks, age_weeks, parameters)
    return probability_if(alive, repeats, age_weeks, horizon_weeks, parameters)


def probability_if(
    alive: float, repeats: int, age_weeks: float, horizon_weeks: float, parameters: tuple[float, ...]
) -> float:
    """The same for one whose P(alive) is known."""
    r, alpha, _, _ = parameters
    age = alpha + age_weeks
    quiet: float = (age / (age + horizon_weeks)) ** (r + repeats)
    return alive * (1 - quiet)


def purchases_if_alive(
    repeats: int, age_weeks: float, horizon_weeks: float, parameters: tuple[float, ...]
) -> float:
    """How many purchases the next `horizon_weeks` bring on average if the customer has not dropped out yet.

    Times P(alive) it is MBG/NBD's E[purchases]. The integral over the drop-out probability q of (1 - (A/(A + q N))^R)/q
    with density Beta(q; a, b + x + 1), A = alpha + T and R = r + x, to a relative error of 1e-6. It equals the closed
    form with 2F1 and, unlike that, loses no digits near a = 1 or for thousands of purchases.
    """
    r, alpha, a, b = parameters
    shape, reach = r + repeats, horizon_weeks / (alpha + age_weeks)
    depths, nodes, step, log_beta = _drop_out_nodes(a, b + repeats + 1)
    # Left of the first node used, where curvature * q < _NEAR, the integrand is a power of q times (1 - curvature * q),
    # so what the remaining nodes would add is two geometric series.
    curvature = a + b + repeats + 1 + (shape + 1) * reach / 2
    start = log(_NEAR / curvature)
    used = bisect_right(depths, -start)
    # 1 - p loses three digits at most where curvature * q >= _NEAR, and a power is one step where log1p, expm1 are two.
    total: float = sum([weight * (1 - (1 + q * reach) ** -shape) for q, weight in nodes[:used]])
    first = -depths[used - 1] if used else start
    near = exp(a * first - log_beta) / expm1(min(_LOG_MAX, a * step))
    bend = curvature * exp((a + 1) * first - log_beta) / expm1(min(_LOG_MAX, (a + 1) * step))
    return total + step * shape * reach * max(0.0, near - bend)


@lru_cache(maxsize=256)
def _drop_out_nodes(
    a: float, b: float
) -> tuple[tuple[float, ...], tuple[tuple[float, float], ...], float, float]:
    """Nodes for integrals over Beta(q; a, b), largest q first: -logit q; (q, weight/q); their distance; ln B(a, b).

    In s = logit q the density is analytic in a strip around the real line and falls exponentially on both sides, where
    the trapezoidal rule converges geometrically (Trefethen and Weideman, SIAM Review 56, 2014): forty nodes do.
    """
    log_beta = lgamma(a) + lgamma(b) - lgamma(a + b)
    spread = sqrt(1 / a + 1 / b)
    step = min(_STEP, spread * _STEP)
    mode = log(a / b)
    peak = _log_density(mode, a, b)
    top = mode
    while _log_density(top, a, b) > peak - _FALL:
        top += step
    depths, nodes = [], []
    place = top
    # To the left as far as any horizon needs it: curvatures beyond 1e6 do not occur.
    lowest = max(log(_NEAR / 1e6), mode - _FALL / a - _FALL * spread)
    while place > lowest:
        q = 1 / (1 + exp(-place))
        depths.append(-place)
        nodes.append((q, step * exp(_log_density(place, a, b) - log_beta) / q))
        place -= step
    return tuple(depths), tuple(nodes), step, log_beta


def _log_density(place: float, a: float, b: float) -> float:
    """Logarithm of q^a (1 - q)^b at q = 1/(1 + exp(-place)): the Beta density with respect to the logit."""
    log_odds = log1p(exp(-abs(place)))
    return a * (min(0.0, place) - log_odds) + b * (min(0.0, -place) - log_odds)
