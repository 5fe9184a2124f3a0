"""Has the shop moved away from its model? Predictions against what happened, and where the scores lie then and now.

Both figures are those of the design (docs: health, "Fitting and versioning"), in tenths of the customers.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from math import log
from operator import itemgetter
from typing import Final, NamedTuple

BINS: Final = 10
ECE_LIMIT: Final = 0.05
"""Mean distance of predicted from observed, above which a refit is due."""
PSI_LIMIT: Final = 0.2
"""Population stability index of the score, above which a refit is due."""
ENOUGH_CUSTOMERS: Final = 1000
"""With fewer, chance alone comes near the limits: nothing is said."""

_LEAST_SHARE: Final = 1e-4


class Drift(NamedTuple):
    """What a look found: of `customers` known at the window's opening `bought` bought in it.

    `ece` and `psi` are None with fewer than ENOUGH_CUSTOMERS.
    """

    customers: int
    bought: int
    ece: float | None
    psi: float | None

    @property
    def reasons(self) -> list[str]:
        """Why a refit is due; none: it is not."""
        told = []
        if self.ece is not None and self.ece > ECE_LIMIT:
            told.append(
                f"Predictions of the last closed window were off by {self.ece:.3f} on average; {ECE_LIMIT} is allowed."
            )
        if self.psi is not None and self.psi > PSI_LIMIT:
            told.append(
                f"Scores have moved since that window opened: PSI {self.psi:.3f}; {PSI_LIMIT} is allowed."
            )
        return told


def drift_of(
    chances: Sequence[float],
    outcomes: Sequence[bool],
    scores_then: Sequence[float],
    scores_now: Sequence[float],
) -> Drift:
    """`chances` (0 to 1) as predicted when the window opened and `outcomes` in it, of the same customers; the scores
    (0 to 100) of everybody with evidence when it opened, and of everybody now.
    """
    ece = psi = None
    if len(chances) >= ENOUGH_CUSTOMERS:
        ece = calibration_error(chances, outcomes)
    if min(len(scores_then), len(scores_now)) >= ENOUGH_CUSTOMERS:
        psi = stability_index(scores_then, scores_now)
    return Drift(len(chances), sum(outcomes), ece, psi)


def calibration_error(chances: Sequence[float], outcomes: Sequence[bool]) -> float:
    """ECE: the mean distance of the predicted from the observed share, over tenths of the customers by prediction.

    Customers with equal predictions stay together, so there may be fewer than ten parts.
    """
    ranked = sorted(zip(chances, outcomes, strict=True), key=itemgetter(0))
    predicted = [chance for chance, _ in ranked]
    # An edge inside a run of equal predictions moves to its start.
    moved = (bisect_left(predicted, predicted[part * len(ranked) // BINS]) for part in range(1, BINS))
    cuts = sorted({0, *moved, len(ranked)})
    apart = (
        abs(sum(chance - happened for chance, happened in ranked[start:end])) for start, end in pairwise(cuts)
    )
    return sum(apart) / len(ranked)


def stability_index(reference: Sequence[float], current: Sequence[float]) -> float:
    """PSI: sum of (c - r) ln(c/r) over the tenths of `reference`, r and c the shares of both in each.

    Equal scores stay in one bin, so there may be fewer than ten.
    """
    ranked = sorted(reference)
    edges = sorted({ranked[part * len(ranked) // BINS] for part in range(1, BINS)})
    before, after = (_shares(values, edges) for values in (reference, current))
    return sum((now - then) * log(now / then) for then, now in zip(before, after, strict=True))


def _shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[bisect_right(edges, value)] += 1
    # An empty bin would be infinitely far away.
    return [max(_LEAST_SHARE, count / len(values)) for count in counts]
