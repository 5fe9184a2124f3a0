"""Figures with their doubt: NPS, CSAT, CES, response rate, and whether a change is more than chance.

Every interval is for 95 %. A figure without answers is None, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Final, Literal, NamedTuple

from app.domain.feedback.scales import Scale, group_of

Z95: Final = 1.959963984540054
"""The 97.5 % point of the normal distribution: the 1.96 of the books."""

ENOUGH: Final = 30
"""With fewer answers a figure is indicative: a direction, nothing to decide on."""

_NPS_ADDED: Final = (0.75, 1.5)
_CES_ADDED: Final = (1.0, 1.0)
# Pseudo-answers at each end and in the middle. Seven points need more at the ends than three: with the weights of the
# NPS the intervals of effort held the truth in 92 % of skewed samples of ten, with these in 94 % and more; Student's t
# without pseudo-answers in 67 %, because ten equal answers have no variance.

Moved = Literal["significant", "not_significant", "too_few"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of `n` answers with its 95 % interval and standard error, all in the unit of `score`.

    `score` and the rest are None when `n` is 0. `indicative`: fewer than 30 answers.
    """

    score: float | None
    n: int
    ci_low: float | None
    ci_high: float | None
    indicative: bool
    standard_error: float | None


class Effort(NamedTuple):
    """A customer effort score: the mean on its own scale, and the share (%) of the best three of seven."""

    mean: Figure
    easy: Figure


class Change(NamedTuple):
    """This period against the one before. `difference` and `z` are None where one of them has no answers."""

    difference: float | None
    z: float | None
    moved: Moved


def nps(promoters: int, passives: int, detractors: int) -> Figure:
    """Net promoter score, -100 to 100.

    score = 100 (P - D) / n. Interval: adjusted Wald with three pseudo-answers (.75 promoters, 1.5 passives, .75
    detractors), +-1.96 SE, SE = 100 sqrt((p + d - (p - d)^2) / n): Rocks, "Interval estimation for the net promoter
    score", The American Statistician 70 (2016), cut at -100 and 100.
    """
    return _spread({-1: detractors, 0: passives, 1: promoters}, low=-1, high=1, unit=100, added=_NPS_ADDED)


def csat(satisfied: int, n: int) -> Figure:
    """Customer satisfaction: the share (%) of answers in the best two ratings, with the Wilson interval."""
    return share(satisfied, n)


def ces(counts: Mapping[int, int], scale: Scale) -> Effort:
    """Customer effort from the number of answers per rating, all on one scale of seven points.

    The mean is on the scale's own numbers, whichever end is the good one. Its interval is made like that of the NPS,
    with one pseudo-answer at each end and one in the middle, so that equal answers do not look certain. ValueError
    for a rating outside the scale: scales are never mixed.
    """
    mean = _spread(counts, low=scale.min, high=scale.max, unit=1, added=_CES_ADDED)
    easy = sum(count for rating, count in counts.items() if scale.goodness(rating) >= scale.points - 3)
    return Effort(mean, share(easy, mean.n))


def share(part: int, whole: int) -> Figure:
    """`part` of `whole` in percent with the Wilson score interval (Wilson 1927; Brown, Cai and DasGupta 2001).

    The standard error is that of Agresti and Coull (z^2 pseudo-answers, half of them yes), so it is never 0.
    """
    if not 0 <= part <= whole:
        raise ValueError("A share is of a whole that is not smaller, and neither is negative.")
    if not whole:
        return _NOTHING
    p, square = part / whole, Z95**2
    adjusted = whole + square
    centre = (part + square / 2) / adjusted
    half = Z95 * sqrt(p * (1 - p) * whole + square / 4) / adjusted
    error = sqrt(centre * (1 - centre) / adjusted)
    # At 0 and at all the bound is the share itself; rounding must not put the share outside.
    low, high = min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half))
    return Figure(100 * p, whole, 100 * low, 100 * high, whole < ENOUGH, 100 * error)


def figure_of(kind: str, counts: Mapping[int, int], scale: Scale) -> Figure:
    """The headline figure of a kind from the number of answers per rating, as one GROUP BY gives them.

    NPS, the share of satisfied for CSAT, the mean effort, the mean stars of reviews. ValueError for a rating outside
    the scale: answers on another scale are another figure.
    """
    if kind in ("ces", "review"):
        return _spread(counts, low=scale.min, high=scale.max, unit=1, added=_CES_ADDED)
    if any(not scale.min <= rating <= scale.max for rating in counts):
        raise ValueError("Every counted answer lies on the scale.")
    groups: dict[str, int] = {}
    for rating, count in counts.items():
        group = group_of(kind, rating, scale)
        groups[group] = groups.get(group, 0) + count
    if kind == "nps":
        return nps(groups.get("promoter", 0), groups.get("passive", 0), groups.get("detractor", 0))
    return csat(groups.get("satisfied", 0), sum(groups.values()))


def response_rate(*, answered: int, sent: int, bounced: int) -> Figure:
    """Answered of delivered (sent - bounced) invitations in percent, None when none was delivered.

    Whoever answers has been reached: a bounce that was reported of an answered invitation does not lower the whole.
    """
    if min(answered, sent, bounced) < 0 or bounced > sent:
        raise ValueError("Counts are not negative, and only what was sent can bounce.")
    return share(answered, max(sent - bounced, answered))


def change(now: Figure, before: Figure) -> Change:
    """Whether a figure moved: z = (a - b) / sqrt(SEa^2 + SEb^2), significant from 1.96 on (5 %, two-sided).

    `too_few` when either period has fewer than 30 answers; the difference is told all the same. The standard errors are
    the adjusted ones of the intervals, so a period of equal answers is not taken for certain.
    """
    if (
        now.score is None
        or before.score is None
        or now.standard_error is None
        or before.standard_error is None
    ):
        return Change(None, None, "too_few")
    difference = now.score - before.score
    z = difference / sqrt(now.standard_error**2 + before.standard_error**2)
    if now.indicative or before.indicative:
        return Change(difference, z, "too_few")
    return Change(difference, z, "significant" if abs(z) >= Z95 else "not_significant")


_NOTHING: Final = Figure(None, 0, None, None, indicative=True, standard_error=None)


def _spread(
    counts: Mapping[int, int], *, low: int, high: int, unit: int, added: tuple[float, float]
) -> Figure:
    """The mean of whole numbers from `low` to `high`, in `unit`s, with the adjusted Wald interval."""
    if any(not low <= value <= high or count < 0 for value, count in counts.items()):
        raise ValueError("Every counted answer lies on the scale, and no count is negative.")
    n = sum(counts.values())
    if not n:
        return _NOTHING
    middle = (low + high) / 2
    mean = sum(value * count for value, count in counts.items()) / n
    weighed = [(float(value), float(count)) for value, count in counts.items()]
    ends, between = added
    weighed += [(float(low), ends), (middle, between), (float(high), ends)]
    total = n + 2 * ends + between
    centre = sum(value * weight for value, weight in weighed) / total
    variance = sum(weight * (value - centre) ** 2 for value, weight in weighed) / total
    error = sqrt(variance / total)
    bottom, top = max(float(low), centre - Z95 * error), min(float(high), centre + Z95 * error)
    return Figure(unit * mean, n, unit * min(mean, bottom), unit * max(mean, top), n < ENOUGH, unit * error)
