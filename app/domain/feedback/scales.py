"""The scales of answers, what a rating on them means, and which ratings call for a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.domain.health.facts import SCALES, answer_of
from app.domain.problems import refused

Direction = Literal["higher_is_better", "lower_is_better"]
Group = Literal[
    "promoter",
    "passive",
    "detractor",
    "satisfied",
    "easy",
    "positive",
    "neutral",
    "dissatisfied",
    "hard",
    "negative",
]

RATED: Final = ("nps", "csat", "ces", "review")
KINDS: Final = (*RATED, "comment")
"""The kinds of answer; a comment is words alone."""

_DIRECTIONS: Final[tuple[Direction, Direction]] = ("higher_is_better", "lower_is_better")
_FEWEST_POINTS: Final = 3  # with two, "the top two" of a CSAT are everybody
_MOST_POINTS: Final = 101
_PROMOTER: Final = 9
_PASSIVE: Final = 7
_EASY: Final = 3  # the best three of seven

_GROUPS: Final[Mapping[str, tuple[Group, Group, Group]]] = {
    "nps": ("promoter", "passive", "detractor"),
    "csat": ("satisfied", "neutral", "dissatisfied"),
    "ces": ("easy", "neutral", "hard"),
    "review": ("positive", "neutral", "negative"),
}
"""What the good, the middle and the bad answers of each kind are called."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Whole numbers from `min` to `max`, and which end is the good one."""

    min: int
    max: int
    direction: Direction = "higher_is_better"

    @property
    def points(self) -> int:
        """How many ratings there are."""
        return self.max - self.min + 1

    def goodness(self, rating: int) -> int:
        """Steps from the worst rating, 0 to points - 1, whichever end is the good one."""
        return rating - self.min if self.direction == "higher_is_better" else self.max - rating


def scale_for(kind: str, given: Mapping[str, Any] | None = None) -> Scale | None:
    """The scale of an answer of this kind; what `given` leaves out comes from the usual one. None for a comment.

    NPS is 0 to 10, CES 1 to 7, a review 1 to 5 stars; a CSAT may have a scale of its own of 3 to 101 points. CES and
    CSAT may run either way (some countries give a 1 for the best). Raises Invalid `unknown_kind`, `invalid_scale`.
    """
    if kind not in KINDS:
        raise refused("#/kind", "unknown_kind", f"must be one of {', '.join(KINDS)}")
    if kind == "comment":
        if given is not None:
            raise refused("#/scale", "invalid_scale", "a comment has no scale")
        return None
    scale = _read(kind, given or {})
    _check(kind, scale)
    return scale


def checked_rating(rating: object, scale: Scale) -> int:
    """`rating` when it is a whole number on the scale; nothing is rounded. Raises Invalid `invalid_rating`."""
    if not isinstance(rating, int) or isinstance(rating, bool) or not scale.min <= rating <= scale.max:
        rule = f"must be a whole number from {scale.min} to {scale.max}"
        raise refused("#/rating", "invalid_rating", rule)
    return rating


def normalised(kind: str, rating: int, scale: Scale) -> float:
    """The rating in [-1, 1], 1 the best, in steps of a thousandth: exactly what health makes of it."""
    inverted = scale.direction == "lower_is_better"
    return answer_of(kind, rating, scale.min, scale.max, lower_is_better=inverted) / 1000


def group_of(kind: str, rating: int, scale: Scale) -> Group:
    """Promoter, passive or detractor, and the like for the other kinds.

    NPS: 9-10, 7-8, 0-6 (Reichheld 2003). CSAT and reviews: the best two, the middle, all below the middle. CES: the
    best three of seven, the middle, the worst three.
    """
    best, middle, worst = _GROUPS[kind]
    goodness = scale.goodness(rating)
    if kind == "nps":
        return best if goodness >= _PROMOTER else middle if goodness >= _PASSIVE else worst
    top = _EASY if kind == "ces" else 2
    if goodness >= scale.points - top:
        return best
    return worst if 2 * goodness < scale.points - 1 else middle


def is_low(kind: str, rating: int, scale: Scale, threshold: int | None = None) -> bool:
    """Whether the answer calls for a follow-up: the worst group, or `threshold` (a rating of the scale) and worse."""
    if threshold is not None:
        return scale.goodness(rating) <= scale.goodness(threshold)
    return group_of(kind, rating, scale) == _GROUPS[kind][2]


def is_high(kind: str, rating: int, scale: Scale) -> bool:
    """Whether the answer is in the best group of its kind."""
    return group_of(kind, rating, scale) == _GROUPS[kind][0]


def _read(kind: str, given: Mapping[str, Any]) -> Scale:
    if not set(given) <= {"min", "max", "direction"}:
        raise refused("#/scale", "invalid_scale", "must be an object of min, max and direction")
    usual_low, usual_high = SCALES[kind]
    low, high = given.get("min", usual_low), given.get("max", usual_high)
    if not all(isinstance(end, int) and not isinstance(end, bool) for end in (low, high)):
        raise refused("#/scale", "invalid_scale", "min and max must be whole numbers")
    direction = given.get("direction", _DIRECTIONS[0])
    if direction not in _DIRECTIONS:
        raise refused("#/scale/direction", "invalid_scale", f"must be one of {', '.join(_DIRECTIONS)}")
    return Scale(low, high, direction)


def _check(kind: str, scale: Scale) -> None:
    if kind != "csat" and (scale.min, scale.max) != SCALES[kind]:
        low, high = SCALES[kind]
        raise refused("#/scale", "invalid_scale", f"this kind is asked from {low} to {high}")
    if not _FEWEST_POINTS <= scale.points <= _MOST_POINTS:
        raise refused("#/scale", "invalid_scale", f"must have {_FEWEST_POINTS} to {_MOST_POINTS} points")
    if kind in ("nps", "review") and scale.direction != "higher_is_better":
        raise refused("#/scale/direction", "invalid_scale", "more is better for this kind")
