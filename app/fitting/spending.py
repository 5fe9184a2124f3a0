"""What a purchase of a customer is worth: the Gamma-Gamma model of Fader and Hardie (2013)."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.fitting.numerics import Floats, digamma, log_gamma, minimise

# q > 1, or the mean value of a purchase would be infinite.
_LOG_BOUNDS: Final = ((-6.9, 9.2), (0.02, 9.2), (-9.2, 13.8))


@dataclass(frozen=True, slots=True)
class Spending:
    """(p, q, gamma), gamma in the unit of the values fitted; the log-likelihood there; whether the search converged."""

    parameters: Floats
    log_likelihood: float
    converged: bool


def fit_spending(purchases: Floats, mean_value: Floats, count: Floats | None = None) -> Spending:
    """Maximum likelihood from customers with n >= 1 purchases of mean value m > 0, each row counted `count` times.

    L = G(pn+q)/(G(pn) G(q)) gamma^q m^(pn-1) n^(pn)/(gamma+nm)^(pn+q), by L-BFGS-B on logarithms. The published table
    counts repeat days only; the first purchase is left out there.
    """
    weight = np.ones_like(mean_value) if count is None else count
    total = float(weight.sum())

    def objective(logs: Floats) -> tuple[float, Floats]:
        value, gradient = log_likelihood(np.exp(logs), purchases, mean_value)
        return -float(weight @ value) / total, -(gradient @ weight) * np.exp(logs) / total

    scale = float(weight @ mean_value) / total
    found = minimise(objective, np.log([4.0, 4.0, max(scale, 0.01)]), _LOG_BOUNDS)
    return Spending(np.exp(found.point), -found.value * total, found.converged)


def log_likelihood(parameters: Floats, purchases: Floats, mean_value: Floats) -> tuple[Floats, Floats]:
    """The logarithm of L per customer, shape (customers,), and its gradient by (p, q, gamma), shape (3, customers)."""
    p, q, gamma = parameters
    shape, spent = p * purchases, purchases * mean_value
    log_all = np.log(gamma + spent)
    value = (
        log_gamma(shape + q)
        - log_gamma(shape)
        - log_gamma(q)
        + q * np.log(gamma)
        + shape * np.log(spent)
        - np.log(mean_value)
        - (shape + q) * log_all
    )
    both = digamma(shape + q) - log_all
    gradient = np.stack(
        [
            purchases * (both - digamma(shape) + np.log(spent)),
            both - digamma(q) + np.log(gamma),
            q / gamma - (shape + q) / (gamma + spent),
        ]
    )
    return value, gradient


def expected_value(parameters: Floats, purchases: Floats, mean_value: Floats) -> Floats:
    """E[value of a purchase | mean m of n] = p (gamma + m n)/(p n + q - 1); with n = 0 the mean of all customers."""
    p, q, gamma = parameters
    return np.asarray(p * (gamma + mean_value * purchases) / (p * purchases + q - 1))
