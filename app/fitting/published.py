"""The published models of repeat buying, fitted by maximum likelihood: BG/NBD, MBG/NBD, Pareto/NBD.

A customer is (x, t_x, T): purchases after the first, time from first to last, time from first to now. Times are in one
unit throughout, weeks by custom. Closed forms: docs, health, "Closed forms"; sources at each class.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from app.fitting.numerics import (
    Flags,
    Floats,
    beta_quadrature,
    digamma,
    log_beta,
    log_gamma,
    minimise,
    unit_gauss_legendre,
)

# Logarithms of 1e-4 and 1e5: flat ridges (a shop nobody leaves) end there, and everything stays in a double's range.
_LOG_BOUNDS: Final = (-9.2, 11.5)
_LOG_MAX: Final = 700.0
_BETA_NODES: Final = 24
_TIME_NODES: Final = 24
_STEEPEST: Final = 8.0


@dataclass(frozen=True, slots=True)
class Cells:
    """Customers with equal histories, counted. Four arrays of one length: x, t_x, T and how many customers.

    0 <= t_x <= T, and t_x = 0 where x = 0.
    """

    repeats: Floats
    last: Floats
    age: Floats
    count: Floats

    @classmethod
    def grouped(cls, repeats: Floats, last: Floats, age: Floats) -> "Cells":
        """One row per different customer: what is equal is computed once and counted."""
        rows, count = np.unique(np.column_stack([repeats, last, age]), axis=0, return_counts=True)
        return cls(rows[:, 0].copy(), rows[:, 1].copy(), rows[:, 2].copy(), count.astype(np.float64))


class Process(Protocol):
    """One model. `parameters` are its four numbers, all positive; horizons are in the unit of the times."""

    @property
    def name(self) -> str:
        """As in reports: `bg_nbd`, `mbg_nbd`, `pareto_nbd`."""
        ...

    def start(self, cells: Cells) -> Floats:
        """Where the search for parameters begins."""
        ...

    def log_likelihood(self, parameters: Floats, cells: Cells) -> tuple[Floats, Floats]:
        """The logarithm of L of one customer of each cell, shape (cells,), and its gradient, shape (4, cells)."""
        ...

    def alive(self, parameters: Floats, cells: Cells) -> Floats:
        """P(has not dropped out by T), shape (cells,)."""
        ...

    def buys(self, parameters: Floats, cells: Cells, horizon: float) -> Floats:
        """P(at least one purchase in (T, T + horizon]), shape (cells,)."""
        ...

    def expected(self, parameters: Floats, cells: Cells, horizon: float) -> Floats:
        """E[purchases in (T, T + horizon]], shape (cells,)."""
        ...


@dataclass(frozen=True, slots=True)
class Fitted:
    """Parameters found, the log-likelihood of all customers there, and whether the search converged."""

    process: Process
    parameters: Floats
    log_likelihood: float
    converged: bool


def fit(process: Process, cells: Cells) -> Fitted:
    """Maximum likelihood by L-BFGS-B on the logarithms of the parameters. `cells` must hold at least one customer."""
    total = float(cells.count.sum())

    def objective(logs: Floats) -> tuple[float, Floats]:
        parameters = np.exp(logs)
        value, gradient = process.log_likelihood(parameters, cells)
        return -float(cells.count @ value) / total, -(gradient @ cells.count) * parameters / total

    start = np.clip(np.log(process.start(cells)), *_LOG_BOUNDS)
    found = minimise(objective, start, [_LOG_BOUNDS] * 4)
    return Fitted(process, np.exp(found.point), -found.value * total, found.converged)


@dataclass(frozen=True, slots=True)
class BetaGeometric:
    """BG/NBD (Fader, Hardie and Lee 2005) and MBG/NBD (Batislam, Denizel and Filiztekin 2007); (r, alpha, a, b).

    They differ in one thing: under MBG/NBD a customer may also drop out right after the first purchase
    (`first_may_drop`), under BG/NBD only after a repeat, so that a one-time buyer is alive for ever.
    """

    name: str
    first_may_drop: bool

    def start(self, cells: Cells) -> Floats:
        """The mean rate seen with r = 0.5, and drop-out probabilities around a third."""
        rate = (cells.count @ cells.repeats + 1) / (cells.count @ cells.age + 1)
        return np.array([0.5, 0.5 / rate, 0.8, 2.0])

    def log_likelihood(self, parameters: Floats, cells: Cells) -> tuple[Floats, Floats]:
        """L = B(a,y)/B(a,b) G(r+x) al^r/G(r) [(al+T)^-(r+x) + a/(y-1) (al+t_x)^-(r+x)], y = b + x (+ 1 for MBG).

        The second summand is the customer who dropped out at t_x; BG/NBD leaves it out where x = 0.
        """
        r, alpha, a, b = parameters
        power, y = r + cells.repeats, self._survivals(b, cells)
        drops = self._drops(y, cells)
        log_now, log_last = np.log(alpha + cells.age), np.log(alpha + cells.last)
        stays = -power * log_now
        leaves = np.where(self._may_drop(cells), np.log(a / drops) - power * log_last, -np.inf)
        either = np.logaddexp(stays, leaves)
        value = log_gamma(power) - log_gamma(r) + r * np.log(alpha) + log_beta(a, y) - log_beta(a, b) + either
        here = np.exp(stays - either)
        gone = 1 - here
        sum_of_both = digamma(a + b) - digamma(a + y)
        gradient = np.stack(
            [
                digamma(power) - digamma(r) + np.log(alpha) - here * log_now - gone * log_last,
                r / alpha - power * (here / (alpha + cells.age) + gone / (alpha + cells.last)),
                sum_of_both + gone / a,
                digamma(y) - digamma(b) + sum_of_both - gone / drops,
            ]
        )
        return value, gradient

    def alive(self, parameters: Floats, cells: Cells) -> Floats:
        """1/(1 + a/(y-1) ((al+T)/(al+t_x))^(r+x)); under BG/NBD 1 where x = 0."""
        r, alpha, a, b = parameters
        silence = (r + cells.repeats) * np.log((alpha + cells.age) / (alpha + cells.last))
        odds = a / self._drops(self._survivals(b, cells), cells) * np.exp(np.minimum(silence, _LOG_MAX))
        return np.where(self._may_drop(cells), 1 / (1 + odds), 1.0)

    def buys(self, parameters: Floats, cells: Cells, horizon: float) -> Floats:
        """P(alive) (1 - ((al+T)/(al+T+N))^(r+x))."""
        r, alpha, _, _ = parameters
        quiet = -(r + cells.repeats) * np.log1p(horizon / (alpha + cells.age))
        result: Floats = self.alive(parameters, cells) * -np.expm1(quiet)
        return result

    def expected(self, parameters: Floats, cells: Cells, horizon: float) -> Floats:
        """P(alive) times the mean over q ~ Beta(a, y) of (1 - (A/(A+qN))^(r+x))/q, A = al + T.

        The integral form of the published 2F1, stable also for many purchases and for a <= 1. Gauss-Jacobi over q.
        """
        r, alpha, a, b = parameters
        if not len(cells.repeats):
            return np.empty(0)
        values, which = np.unique(self._survivals(b, cells), return_inverse=True)
        rules = [beta_quadrature(a, y, _BETA_NODES) for y in values]
        nodes = np.stack([rule[0] for rule in rules])[which]
        weights = np.stack([rule[1] for rule in rules])[which]
        power = (r + cells.repeats)[:, None]
        grown = nodes * (horizon / (alpha + cells.age))[:, None]
        # As q falls to 0 the mean number of purchases before dropping out becomes that of a pure NBD.
        mean = -np.expm1(-power * np.log1p(grown)) / nodes
        result: Floats = self.alive(parameters, cells) * (weights * mean).sum(axis=1)
        return result

    def _may_drop(self, cells: Cells) -> Flags:
        return (cells.repeats > 0) | self.first_may_drop

    def _survivals(self, b: float, cells: Cells) -> Floats:
        """y: b plus how often the customer could have dropped out and did not."""
        return b + cells.repeats + (1 if self.first_may_drop else 0)

    def _drops(self, y: Floats, cells: Cells) -> Floats:
        """What is y - 1, kept positive where it is not used."""
        return np.where(self._may_drop(cells), y - 1, 1.0)


@dataclass(frozen=True, slots=True)
class ParetoGamma:
    """Pareto/NBD (Schmittlein, Morrison and Colombo 1987): a customer may drop out at any time; (r, alpha, s, beta).

    L = G(r+x)/G(r) al^r be^s [(al+T)^-(r+x) (be+T)^-s + s I], I = integral over u from t_x to T of
    (al+u)^-(r+x) (be+u)^-(s+1): the integral that the two published 2F1 stand for. Here it is done by Gauss-Legendre in
    z, z^m = y = ((al+u)/(al+t_x))^-(r+x+s): in y only ((al+u)/(be+u))^(s+1) is left of it, bounded and monotone, and z
    makes that smooth where y is small.
    """

    name: str = "pareto_nbd"

    def start(self, cells: Cells) -> Floats:
        """The mean rate seen with r = 0.5, and lifetimes of the order of the mean age with s = 0.5."""
        people, age = cells.count.sum(), cells.count @ cells.age
        rate = (cells.count @ cells.repeats + 1) / (age + 1)
        return np.array([0.5, 0.5 / rate, 0.5, max(age / people, 0.1)])

    def log_likelihood(self, parameters: Floats, cells: Cells) -> tuple[Floats, Floats]:
        """The logarithm of L and its gradient; the derivative of the integral is the integral of the derivative."""
        r, alpha, s, beta = parameters
        power = r + cells.repeats
        log_alpha_now, log_beta_now = np.log(alpha + cells.age), np.log(beta + cells.age)
        stays = -power * log_alpha_now - s * log_beta_now
        log_left, means = self._left(parameters, cells)
        either = np.logaddexp(stays, log_left)
        value = log_gamma(power) - log_gamma(r) + r * np.log(alpha) + s * np.log(beta) + either
        here = np.exp(stays - either)
        gone = 1 - here
        gradient = np.stack(
            [
                digamma(power) - digamma(r) + np.log(alpha) - here * log_alpha_now - gone * means[0],
                r / alpha - power * (here / (alpha + cells.age) + gone * means[1]),
                np.log(beta) - here * log_beta_now + gone * (1 / s - means[2]),
                s / beta - s * here / (beta + cells.age) - (s + 1) * gone * means[3],
            ]
        )
        return value, gradient

    def alive(self, parameters: Floats, cells: Cells) -> Floats:
        """(al+T)^-(r+x) (be+T)^-s as a share of itself plus s I."""
        r, alpha, s, beta = parameters
        stays = -(r + cells.repeats) * np.log(alpha + cells.age) - s * np.log(beta + cells.age)
        result: Floats = np.exp(stays - np.logaddexp(stays, self._left(parameters, cells)[0]))
        return result

    def buys(self, parameters: Floats, cells: Cells, horizon: float) -> Floats:
        """P(alive) times the integral over u from 0 to N of (r+x) (al+T)^(r+x) (be+T)^s/((al+T+u)^(r+x+1) (be+T+u)^s).

        In z = ((al+T)/(al+T+u))^(r+x), so that only ((be+T)/(be+T+u))^s is left under the integral.
        """
        r, alpha, s, beta = parameters
        power = (r + cells.repeats)[:, None]
        start, life = (alpha + cells.age)[:, None], (beta + cells.age)[:, None]
        bought = -np.expm1(-power * np.log1p(horizon / start))
        nodes, weights = unit_gauss_legendre(_TIME_NODES)
        later = start * np.expm1(-np.log1p(-bought * nodes) / power)
        stayed = (np.exp(-s * np.log1p(later / life)) * weights).sum(axis=1)
        result: Floats = self.alive(parameters, cells) * bought[:, 0] * stayed
        return result

    def expected(self, parameters: Floats, cells: Cells, horizon: float) -> Floats:
        """P(alive) (r+x)(be+T)/((al+T)(s-1)) [1 - ((be+T)/(be+T+N))^(s-1)], continuous also at s = 1."""
        r, alpha, s, beta = parameters
        life = beta + cells.age
        grown = np.log1p(horizon / life)
        years = grown if abs(s - 1) < 1e-9 else -np.expm1(-(s - 1) * grown) / (s - 1)  # noqa: PLR2004 - a double's limit
        result: Floats = (
            self.alive(parameters, cells) * (r + cells.repeats) / (alpha + cells.age) * life * years
        )
        return result

    def _left(self, parameters: Floats, cells: Cells) -> tuple[Floats, Floats]:
        """ln(s I), shape (cells,), and, weighted with the integrand, shape (4, cells), the means of
        ln(al+u), 1/(al+u), ln(be+u) and 1/(be+u).
        """
        r, alpha, s, beta = parameters
        nodes, weights = unit_gauss_legendre(_TIME_NODES)
        k = (r + cells.repeats + s)[:, None]
        m = np.minimum(k, _STEEPEST)
        begin = (alpha + cells.last)[:, None]
        span = -np.expm1(-k / m * np.log((alpha + cells.age)[:, None] / begin))
        log_z = np.log1p(-span * nodes)
        log_alpha = np.log(begin) - m / k * log_z
        from_alpha = np.exp(log_alpha)
        log_beta_ = np.log(np.maximum(from_alpha + (beta - alpha), 1e-300))
        powers = (s + 1) * (log_alpha - log_beta_) + (m - 1) * log_z
        largest = powers.max(axis=1, keepdims=True)
        kernel = np.exp(powers - largest) * weights
        total = kernel.sum(axis=1)
        # t_x = T leaves no time to drop out in: the integral is 0.
        with np.errstate(divide="ignore"):
            log_left = (np.log(s * m / k) - k * np.log(begin) + largest + np.log(span))[:, 0] + np.log(total)
        shares = kernel / total[:, None]
        moments = [log_alpha, 1 / from_alpha, log_beta_, np.exp(-log_beta_)]
        return log_left, np.stack([(shares * moment).sum(axis=1) for moment in moments])


BG_NBD: Final = BetaGeometric("bg_nbd", first_may_drop=False)
MBG_NBD: Final = BetaGeometric("mbg_nbd", first_may_drop=True)
PARETO_NBD: Final = ParetoGamma()
