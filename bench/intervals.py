"""Whether the intervals of the figures hold what they promise: the share of simulated samples that cover the truth.

    python -m bench.intervals

Seeded, 20,000 samples each. What is promised is 95 %.
"""

from collections.abc import Sequence

import numpy as np

from app.domain.feedback.scales import Scale
from app.domain.feedback.statistics import Figure, ces, change, csat, nps

SIZES = (10, 30, 100)
SAMPLES = 20_000
_SHARES = (0.5, 0.7, 0.8, 0.9, 0.95)
_NPS = ((1 / 3, 1 / 3, 1 / 3), (0.6, 0.25, 0.15), (0.8, 0.15, 0.05), (0.1, 0.2, 0.7), (0.5, 0.05, 0.45))
_EFFORT = (
    (1, 1, 1, 1, 1, 1, 1),
    (1, 1, 2, 3, 5, 8, 10),
    (10, 5, 3, 2, 1, 1, 1),
    (5, 1, 0, 0, 0, 1, 5),
    (0, 0, 0, 1, 2, 5, 12),
    (1, 0, 0, 0, 1, 5, 30),
)


def _covered(figures: Sequence[Figure], truth: float) -> float:
    held = sum(
        one.ci_low <= truth <= one.ci_high
        for one in figures
        if one.ci_low is not None and one.ci_high is not None
    )
    return held / len(figures)


def _drawn(n: int, probabilities: Sequence[float]) -> list[list[int]]:
    rows = np.random.default_rng(n).multinomial(n, np.array(probabilities) / sum(probabilities), SAMPLES)
    return [[int(count) for count in row] for row in rows]


def _nps(n: int) -> list[float]:
    truths = [100 * (good - bad) for good, _, bad in _NPS]
    return [
        _covered([nps(*row) for row in _drawn(n, one)], truth)
        for one, truth in zip(_NPS, truths, strict=True)
    ]


def _csat(n: int) -> list[float]:
    return [_covered([csat(row[0], n) for row in _drawn(n, (one, 1 - one))], 100 * one) for one in _SHARES]


def _effort(n: int) -> list[float]:
    found = []
    for shape in _EFFORT:
        truth = sum(rating * weight for rating, weight in enumerate(shape, 1)) / sum(shape)
        means = [ces(dict(enumerate(row, 1)), Scale(1, 7)).mean for row in _drawn(n, shape)]
        found.append(_covered(means, truth))
    return found


def _false_alarms(n: int) -> float:
    """How often two periods of the same truth are told apart."""
    rows = [nps(*row) for row in _drawn(n, _NPS[1])]
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    return sum(change(one, other).moved == "significant" for one, other in pairs) / len(pairs)


def main() -> None:
    print("| answers | NPS | CSAT | CES mean | a change that is none, told as one |\n|---|---|---|---|---|")
    for n in SIZES:
        cells = " | ".join(
            f"{100 * min(found):.1f} to {100 * max(found):.1f}" for found in (_nps(n), _csat(n), _effort(n))
        )
        alarms = f"{100 * _false_alarms(n):.1f}" if n >= 30 else "not judged"
        print(f"| {n} | {cells} | {alarms} |")


if __name__ == "__main__":
    main()
