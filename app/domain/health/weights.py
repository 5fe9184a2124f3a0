"""Exponential weights as integers, so that sums of them are exact and do not depend on the order of arrival.

W(t, h) = 2^(t/h) with a relative error of at most 1.7e-4 (docs: health, "Settled definitions").
"""

from decimal import ROUND_HALF_EVEN, Context
from math import ldexp
from typing import Final

DAY_SECONDS: Final = 86_400
TABLE_BITS: Final = 44


def _table() -> tuple[int, ...]:
    # Decimal, because binary pow differs in the last bit between C libraries and stored states must not.
    context = Context(prec=60, rounding=ROUND_HALF_EVEN)
    step = context.power(2, context.divide(context.create_decimal(1), context.create_decimal(4096)))
    value = context.create_decimal(2**TABLE_BITS)
    rows = []
    for _ in range(4096):
        rows.append(int(value.to_integral_value(ROUND_HALF_EVEN)))
        value = context.multiply(value, step)
    return tuple(rows)


TABLE: Final = _table()
"""`TABLE[f] = round_half_even(2^(f/4096) * 2^44)` for f in 0..4095."""


def weight(at: int, half_life_days: int) -> int:
    """W(at): the weight of one unit at `at` (seconds since 1970, >= 0), scaled by 2^44. It doubles each half-life."""
    steps = (at << 12) // (half_life_days * DAY_SECONDS)
    return TABLE[steps & 4095] << (steps >> 12)


def read(total: int, at: int, half_life_days: int) -> float:
    """What a sum of weights is worth at `at` (seconds since 1970): each unit added at s counts 2^-((at - s)/half-life).

    A negative sum (a refund without its purchase) reads as 0. `at` is meant to lie at or after what was added; a
    read more than 1,000 half-lives before it leaves the range of a double (OverflowError).
    """
    if total <= 0:
        return 0.0
    # 60 bits are more than a double keeps; the rest of a 1,400-bit sum would only cost time.
    surplus = max(0, total.bit_length() - 60)
    periods = at / (half_life_days * DAY_SECONDS)
    whole = int(periods)
    return ldexp((total >> surplus) * 2.0 ** (whole - periods), surplus - TABLE_BITS - whole)
