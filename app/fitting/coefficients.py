"""The coefficients of momentum, rhythm, value and refunds, learnt from what customers did after earlier snapshots.

Maximum a posteriori (docs: health, "Fitting and versioning"). The priors are stated here, once.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from app.fitting.features import NAMES, Shape, features, score_histories
from app.fitting.numerics import Floats, logistic, rising_root
from app.fitting.published import MBG_NBD
from app.fitting.purchases import DAY, Purchases, Standing
from app.fitting.regression import Coefficients, Priors, Rows, map_fit
from app.fitting.snapshots import stride_days

MOST_CUSTOMERS: Final = 20_000
"""A random sample of so many customers per snapshot is enough for ten numbers."""

ENOUGH_CASES: Final = 10
"""Buyers in an average window, and as many who did not buy, without which nothing is learnt. So few move little: the
priors hold the coefficients near the shipped ones until there is evidence."""

ENOUGH_REFUNDS: Final = 50
"""Customers with refunds in an average window, without which the weight of refunds stays as shipped."""

BASE_RATE_DEVIATION: Final = 2.0
MBG_DEVIATION: Final = 0.5
STANDARDISED_DEVIATION: Final = 0.15
"""Prior deviation of a coefficient times its feature's spread; its mean is the shipped coefficient, .6 x learnt."""

_LOWEST: Final = np.array([0, 0, 0, 0, 0, -5, -5, 0, 0, 0], dtype=np.float64)
_HIGHEST: Final = np.array([5, 5, 5, 5, 5, 0, 0, 5, 5, 10], dtype=np.float64)
# A purchase adds at most one to each count and to n, and shortens the usual gap: with many purchases a day their gains
# (b/N each, and N <= n) must outweigh what the shorter gap costs ((|pace| + |pace2|)/n), or buying would lower health.
_BUYING_PAYS: Final = np.array([0, 1, 1, 1, 1, 1, 1, 0, 0, 0], dtype=np.float64)
_REFUND: Final = NAMES.index("w_refund")
_MEAN_FLOOR: Final = 1e-6
_YEAR_DAYS: Final = 365
SEASON_DEVIATION: Final = 0.3
"""How far, in log-odds, windows of one year usually lie apart; the prior of the season's shift."""
_WINDOW_DEVIATION: Final = 0.15
UNSEASONED_SHARE: Final = 0.5
"""MBG/NBD's say in the level of a log without a known season. Two forecasts whose errors cannot be measured yet are
averaged: weights estimated from a few windows do worse than equal ones (Bates and Granger 1969; Clemen 1989)."""


class Window(NamedTuple):
    """A snapshot whose window has closed: features (customers, len(NAMES)), ln E_MBG, and what happened."""

    at: int
    features: Floats
    log_expected: Floats
    bought: Floats
    purchases: Floats


class Level(NamedTuple):
    """What was done about the level of a log without a known season, in log-odds.

    `shift` was added to every prediction; `variance` is that of the level about it, over which chances were averaged by
    multiplying their logits with `spread` (at most 1).
    """

    shift: float
    variance: float

    @property
    def spread(self) -> float:
        """The factor with which logistic(factor x) is the mean of logistic(x + e), e ~ N(0, variance) (MacKay 1992)."""
        return float(1 / np.sqrt(1 + np.pi * self.variance / 8))


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the windows taught. `season_shift` is in log-odds; without a known season it is None and `level` is not.
    Both are part of the chance's coefficients already. `cases` are (buyers, others) in an average window.
    """

    chance: Coefficients
    purchases: Coefficients
    refund_weight_fitted: bool
    season_shift: float | None
    level: Level | None
    rows: int
    cases: tuple[float, float]


def window(log: Purchases, target: Purchases, at: int, shape: Shape, random: np.random.Generator) -> Window:
    """What was known of up to MOST_CUSTOMERS customers at `at`, and what they then did in `target`."""
    standing = log.as_of(at, shape.form)
    if len(standing) > MOST_CUSTOMERS:
        standing = standing.where(np.sort(random.permutation(len(standing))[:MOST_CUSTOMERS]))
    outcome = target.outcome(at, at + round(shape.horizon_days * DAY), standing.customers)
    return Window(
        at,
        features(standing, shape),
        log_expected(standing, shape),
        outcome.bought.astype(np.float64),
        outcome.purchases,
    )


def log_expected(standing: Standing, shape: Shape) -> Floats:
    """The logarithm of E_MBG of each customer's purchases within the horizon, shape (customers,)."""
    expected = MBG_NBD.expected(np.array(shape.mbg_weeks), score_histories(standing), shape.horizon_days / 7)
    return np.log(np.maximum(expected, _MEAN_FLOOR))


def learn(
    log: Purchases,
    target: Purchases,
    times: tuple[int, ...],
    shape: Shape,
    prior_means: Floats,
    seed: int,
) -> Learnt | None:
    """Both heads from the windows that begin at `times`; None when fewer than ENOUGH_CASES bought, or did not.

    `target` is the log in which purchases count (by row, or one a day), `prior_means` are in the order of NAMES.
    """
    random = np.random.default_rng(seed)
    windows = [window(log, target, at, shape, random) for at in times]
    values = np.concatenate([each.features for each in windows])
    bought = np.concatenate([each.bought for each in windows])
    buyers = float(bought.sum()) / len(windows)
    others = len(bought) / len(windows) - buyers
    if min(buyers, others) < ENOUGH_CASES:
        return None
    refunds = int(np.count_nonzero(values[:, _REFUND])) >= ENOUGH_REFUNDS * len(windows)
    chance = _chance(Rows(values, bought), prior_means, refund_weight_is_free=refunds)
    shift = _season_shift(log, target, windows, chance, shape, random)
    level = None
    if shift is None:
        level = _unseasoned(log.as_of(_now(windows, shape), shape.form), chance, shape)
        chance = levelled(chance, level)
    else:
        chance = levelled(chance, Level(shift, 0.0))
    return Learnt(chance, _purchases(windows), refunds, shift, level, len(bought), (buyers, others))


def levelled(chance: Coefficients, level: Level) -> Coefficients:
    """`chance` at this level and averaged over its variance; the ranking stays as it is."""
    intercept = level.spread * (chance.intercept + level.shift)
    return Coefficients(intercept, level.spread * chance.slopes, chance.converged)


def expected_purchases(head: Coefficients, values: Floats, log_means: Floats) -> Floats:
    """E[purchases] within the horizon: exp(d0 + d ln E_MBG + features), shape (customers,)."""
    design = np.column_stack([log_means, values[:, 1:]])
    return np.exp(np.minimum(head.linear(design), 30.0))


def _chance(rows: Rows, mean: Floats, *, refund_weight_is_free: bool) -> Coefficients:
    """The logit of buying within the horizon, on the features in the order of NAMES."""
    rate = float(rows.outcome.mean())
    deviation = STANDARDISED_DEVIATION / _spread(rows.features)
    deviation[0] = MBG_DEVIATION
    lowest, highest = _LOWEST.copy(), _HIGHEST.copy()
    if not refund_weight_is_free:
        lowest[_REFUND] = highest[_REFUND] = mean[_REFUND]
    priors = Priors(mean, deviation, lowest, highest)
    intercept = (float(np.log(rate / (1 - rate))), BASE_RATE_DEVIATION)
    found = map_fit("logistic", rows, priors, intercept)
    if _BUYING_PAYS @ found.slopes < 0:
        found = map_fit("logistic", rows, priors, intercept, at_least=(_BUYING_PAYS, 0.0))
    return found


def _purchases(windows: list[Window]) -> Coefficients:
    """The second head: ln E[purchases within the horizon] on ln E_MBG (prior 1) and the other features (prior 0)."""
    design = np.concatenate([np.column_stack([each.log_expected, each.features[:, 1:]]) for each in windows])
    counts = np.concatenate([each.purchases for each in windows])
    mean = np.zeros(len(NAMES))
    mean[0] = 1.0
    deviation = STANDARDISED_DEVIATION / _spread(design)
    deviation[0] = MBG_DEVIATION
    rows = Rows(design, counts)
    intercept = (float(np.log(counts.mean())), BASE_RATE_DEVIATION)
    return map_fit("poisson", rows, Priors(mean, deviation, _LOWEST, _HIGHEST), intercept)


def _spread(values: Floats) -> Floats:
    spread = values.std(axis=0)
    return np.where(spread > 1e-9, spread, 1.0)  # noqa: PLR2004 - a double's limit


def _now(windows: list[Window], shape: Shape) -> int:
    """The newest window has just closed."""
    return windows[-1].at + round(shape.horizon_days * DAY)


def _unseasoned(standing: Standing, chance: Coefficients, shape: Shape) -> Level:
    """The level of the window that begins now, where no year ago tells the season.

    The windows learnt from may lie in another season; MBG/NBD, fitted to the whole log, knows its mean level and how
    its customers have aged. The level is taken from both. Its variance is that of a mixture of the two: how far
    windows of one year lie apart, the own ups and downs of those learnt from and of the coming one, and how far the
    two forecasts are apart.
    """
    linear = chance.linear(features(standing, shape))
    buys = MBG_NBD.buys(np.array(shape.mbg_weeks), score_histories(standing), shape.horizon_days / 7)
    apart = rising_root(lambda x: float((logistic(linear + x) - buys).sum()))
    between = UNSEASONED_SHARE * (1 - UNSEASONED_SHARE) * apart**2
    return Level(UNSEASONED_SHARE * apart, SEASON_DEVIATION**2 + 2 * _WINDOW_DEVIATION**2 + between)


def _season_shift(
    log: Purchases,
    target: Purchases,
    windows: list[Window],
    chance: Coefficients,
    shape: Shape,
    random: np.random.Generator,
) -> float | None:
    """By how much the window that begins now will differ from those learnt from, as it did a year ago; None without
    a year-old window that had begun after at least a third of a horizon of history.

    The difference of differences: a year ago, the log-odds that were missing at this time less those missing in the
    windows a year before the ones learnt from. So a shop that changed over the year is not mistaken for a season.
    Shrunk by what chance alone explains: SEASON_DEVIATION against the sampling error and one window's ups and downs.
    """
    year, now = _YEAR_DAYS * DAY, _now(windows, shape)
    opened = int(log.at.min()) + stride_days(round(shape.horizon_days)) * DAY
    twins = [each for each in windows if each.at - year >= opened]
    if not twins or twins[-1] is not windows[-1]:
        return None
    then = _missing(window(log, target, now - year, shape, random), chance)
    usual = [_missing(window(log, target, each.at - year, shape, random), chance) for each in twins]
    recent = [_missing(each, chance) for each in twins]
    shift = then[0] + (sum(each[0] for each in recent) - sum(each[0] for each in usual)) / len(twins)
    # The windows of one side overlap, so their mean is about as uncertain as one of them.
    noise = then[1] + max(each[1] for each in usual) + max(each[1] for each in recent)
    return shift * SEASON_DEVIATION**2 / (SEASON_DEVIATION**2 + _WINDOW_DEVIATION**2 + noise)


def _missing(seen: Window, chance: Coefficients) -> tuple[float, float]:
    """(log-odds to add to every prediction so that as many buyers are predicted as there were, its variance)."""
    linear, bought = chance.linear(seen.features), float(seen.bought.sum())
    if not 0 < bought < len(linear):
        return 0.0, 1.0
    shift = rising_root(lambda x: float(logistic(linear + x).sum()) - bought)
    p = logistic(linear + shift)
    return shift, 1 / float(p @ (1 - p))
