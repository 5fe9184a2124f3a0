"""What scipy and numpy do for the fits: special functions, quadrature and one way to minimise.

All of scipy that this package uses is named here, so the suppressions that its missing types need stand in one place.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize, special  # type: ignore[import-untyped]  # scipy ships no types

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

Objective: TypeAlias = Callable[[Floats], tuple[float, Floats]]
"""A function to minimise: (value, gradient) at a point."""


class Minimum(NamedTuple):
    """Where a search ended; `converged` is False when it ran out of steps."""

    point: Floats
    value: float
    converged: bool


def minimise(
    objective: Objective,
    start: Floats,
    bounds: Sequence[tuple[float, float]],
    *,
    at_least: tuple[Floats, float] | None = None,
) -> Minimum:
    """The minimum within `bounds` by L-BFGS-B, from `start`; SLSQP where `at_least` asks for row @ point >= limit."""
    if at_least is None:
        method = "L-BFGS-B"
        extra: dict[str, Any] = {"options": {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-9}}
    else:
        row, limit = at_least
        method = "SLSQP"
        constraint = {"type": "ineq", "fun": lambda point: row @ point - limit, "jac": lambda _: row}
        extra = {"constraints": [constraint], "options": {"maxiter": 500, "ftol": 1e-12}}
    found = optimize.minimize(objective, start, jac=True, method=method, bounds=bounds, **extra)
    lowest, highest = np.array(bounds).T
    return Minimum(np.clip(found.x, lowest, highest), float(found.fun), bool(found.success))


def rising_root(function: Callable[[float], float], reach: float = 10.0) -> float:
    """Where a rising function crosses 0, within `reach` of 0; the nearer end where it does not."""
    if function(-reach) > 0:
        return -reach
    return reach if function(reach) < 0 else float(optimize.brentq(function, -reach, reach, xtol=1e-9))


def log_gamma(x: Floats | float) -> Floats:
    """The logarithm of Gamma(x), elementwise."""
    result: Floats = special.gammaln(x)
    return result


def digamma(x: Floats | float) -> Floats:
    """The derivative of ln Gamma, elementwise."""
    result: Floats = special.digamma(x)
    return result


def log_beta(a: Floats | float, b: Floats | float) -> Floats:
    """The logarithm of B(a, b), elementwise."""
    result: Floats = special.betaln(a, b)
    return result


def logistic(x: Floats) -> Floats:
    """1/(1 + exp(-x)), elementwise and without overflow."""
    result: Floats = special.expit(x)
    return result


def unit_gauss_legendre(nodes: int) -> tuple[Floats, Floats]:
    """(nodes, weights) of Gauss-Legendre quadrature on [0, 1]."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return (points + 1) / 2, weights / 2


def beta_quadrature(a: float, b: float, nodes: int) -> tuple[Floats, Floats]:
    """(nodes, weights) with which sum(w f(q)) is the mean of f(q) for q ~ Beta(a, b); the weights add up to 1.

    Gauss-Jacobi by Golub and Welsch (1969): eigenvalues of the three-term recurrence, and squared first components of
    its eigenvectors. Unlike a ratio of gamma functions it neither over- nor underflows, whatever a, b > 0.
    """
    left, right = b - 1, a - 1  # exponents of (1 - t) and (1 + t) on [-1, 1]
    n = np.arange(nodes, dtype=np.float64)
    total = 2 * n + left + right
    diagonal = np.empty(nodes)
    diagonal[0] = (right - left) / (left + right + 2)
    diagonal[1:] = (right - left) * (right + left) / (total[1:] * (total[1:] + 2))
    squared = np.empty(nodes - 1)
    squared[0] = 4 * (1 + left) * (1 + right) / ((2 + left + right) ** 2 * (3 + left + right))
    m, s = n[2:], total[2:]
    squared[1:] = 4 * m * (m + left) * (m + right) * (m + left + right) / (s**2 * (s + 1) * (s - 1))
    values, vectors = linalg.eigh_tridiagonal(diagonal, np.sqrt(squared))
    points: Floats = np.clip((1 + values) / 2, 1e-300, 1.0)
    weights: Floats = vectors[0] ** 2
    return points, weights
