"""How much of a complaint remains once it is resolved. Part of the form of a state (form.py)."""

from dataclasses import dataclass
from typing import Final

from app.domain.health.weights import DAY_SECONDS


@dataclass(frozen=True, slots=True)
class Resolution:
    """share = clip(base + slow (1 - 2^(-ttr / half_days)) + per_csat (3 - csat), min, max)."""

    base: float
    slow: float
    half_days: float
    per_csat: float
    min: float
    max: float
    csat_missing: int

    def share(self, seconds_to_resolve: int, csat: int | None) -> int:
        """Thousandths of the severity that remain: 100 after a quick resolution rated 5, 1000 after a slow bad one.

        `csat` is 1 to 5, None when the customer was not asked. A resolution dated before its opening took no time.
        """
        days = max(0, seconds_to_resolve) / DAY_SECONDS
        rated = self.csat_missing if csat is None else csat
        share = self.base + self.slow * (1 - 2 ** (-days / self.half_days)) + self.per_csat * (3 - rated)
        # The tiny addend keeps floor() from turning .7 * 1000 = 699.9999999999999 into 699 on some platforms only.
        return int(1000 * min(self.max, max(self.min, share)) + 1e-9)


RESOLUTION: Final = Resolution(
    base=0.25, slow=0.45, half_days=7, per_csat=0.15, min=0.1, max=1.0, csat_missing=3
)
"""The numbers of the shipped form."""
