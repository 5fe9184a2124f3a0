"""The form of a state: how fast each of its sums fades, and what a resolution leaves of a complaint.

Both are in every integer of a state (W(t) = 2^(t/h) is added when a fact arrives), so a state says its form and is only
ever read, folded and scored by it. Another form of the same customer comes from their log alone.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from app.domain.health.resolution import RESOLUTION, Resolution


class Form(NamedTuple):
    """Half-lives in days, and the numbers of a resolution. Compared by value; `known` gives one object for each."""

    purchases_short: int = 15
    purchases_middle: int = 60
    purchases_long: int = 240
    value: int = 120
    refunds: int = 240
    contacts: int = 30
    complaints_resolved: int = 45
    complaints: int = 180
    satisfaction: int = 180
    engagement: int = 30
    advocacy: int = 365
    loyalty: int = 180
    resolution: Resolution = RESOLUTION

    @property
    def half_lives(self) -> dict[str, int]:
        """The half-lives by name."""
        return dict(zip(HALF_LIVES, self[:-1], strict=True))


SHIPPED: Final = Form()
"""That of the shipped model."""

HALF_LIVES: Final[tuple[str, ...]] = Form._fields[:-1]
"""Names of the half-lives, in their order."""

MOST_FORMS: Final = 4
"""Forms that customers of one shop may have at a time."""

_REMEMBERED: Final = 64
_known: Final[dict[Form, Form]] = {SHIPPED: SHIPPED}


def known(form: Form) -> Form:
    """The one object that stands for all equal forms: who compares two asks whether they are the same."""
    found = _known.get(form)
    if found is None:
        if len(_known) >= _REMEMBERED:
            # More than a shop can have; equality still decides where identity does not.
            _known.clear()
            _known[SHIPPED] = SHIPPED
        found = _known.setdefault(form, form)
    return found


def form_of(half_lives: Mapping[str, int], resolution: Resolution = RESOLUTION) -> Form:
    """The form with these half-lives, all of them by name."""
    return known(Form._make((*(half_lives[name] for name in HALF_LIVES), resolution)))
