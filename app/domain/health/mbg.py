"""Buying as MBG/NBD sees it (Batislam, Denizel and Filiztekin 2007): a customer may drop out after any purchase.

Unlike under BG/NBD, a purchase now never lowers these probabilities.
"""

from math import exp, log

_LOG_MAX = 700.0


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
    r, alpha, _, _ = parameters
    age = alpha + age_weeks
    quiet: float = (age / (age + horizon_weeks)) ** (r + repeats)
    return alive_probability(repeats, last_weeks, age_weeks, parameters) * (1 - quiet)
