"""Points are whole numbers, multipliers are decimal strings; neither is ever a float."""

import re
from fractions import Fraction
from typing import Final

from app.domain.problems import refused

MOST_POINTS: Final = 2**31 - 1
"""The most points of one entry, one lot, one hold."""

_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?")


def whole(value: object, pointer: str, *, least: int = 1, most: int = MOST_POINTS) -> int:
    """`value` when it is a whole number from `least` to `most`: no bool, no float. Raises Invalid `invalid_number`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise refused(pointer, "invalid_number", f"must be a whole number from {least} to {most}")
    return value


def points_of(value: object, pointer: str = "#/points") -> int:
    """`value` as points to hold, spend, capture or grant: 1 to 2^31 - 1. Raises Invalid `invalid_points`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_POINTS:
        raise refused(pointer, "invalid_points", f"must be a whole number from 1 to {MOST_POINTS}")
    return value


def multiplier_of(value: object, pointer: str) -> Fraction:
    """A decimal string such as "1.25", exactly; six digits on each side. Raises Invalid `invalid_multiplier`."""
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise refused(pointer, "invalid_multiplier", 'must be a decimal string, for example "1.25"')
    return Fraction(value)


def decimal_text(number: Fraction) -> str:
    """`number` as people read it: 8.25 for 33/4; thirds are cut after six digits and say so with an ellipsis."""
    return ratio_text(number.numerator, number.denominator)


def ratio_text(numerator: int, denominator: int) -> str:
    """The same of a ratio, reduced or not; the denominator is positive."""
    scaled, rest = divmod(abs(numerator) * 1_000_000, denominator)
    whole_part, digits = divmod(scaled, 1_000_000)
    tail = f"{digits:06}".rstrip("0")
    text = f"{whole_part}.{tail}" if tail else str(whole_part)
    return f"{'-' if numerator < 0 else ''}{text}{'…' if rest else ''}"
