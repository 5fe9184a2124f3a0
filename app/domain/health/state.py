"""The record a customer's health is computed from: sums, a minimum and a maximum, so any order of arrival agrees."""

import struct
from operator import add, sub
from typing import Final, NamedTuple

_VERSION: Final = 1
_HEAD: Final = struct.Struct("<BI")
_FIELDS: Final = 19
_SHAPES: Final = tuple(struct.Struct("<" + "HH" * count) for count in range(_FIELDS + 1))


class State(NamedTuple):
    """Everything the score knows of one customer; all members are exact integers.

    `t_first` and `t_last` are seconds since 1970 of the first and last purchase, None exactly when `n` is 0. `spend` is
    in minor units of the shop currency, net of refunds. `open_sev` sums the severities (thousandths) of what complaints
    are open, `open_sevt` severity times opening second. The others sum weights (weights.py); the number in the name is
    their half-life in days: `m120` of minor units, `n*`, `con30` and `c180` of ones, the rest of thousandths.

    The order of the members is part of the stored form: append, and raise the version, never reorder.
    """

    # A tuple and not a dataclass: a write builds three of these, and a frozen dataclass takes five times as long.
    n: int = 0
    t_first: int | None = None
    t_last: int | None = None
    spend: int = 0
    open_sev: int = 0
    open_sevt: int = 0
    n15: int = 0
    n60: int = 0
    n240: int = 0
    m120: int = 0
    r240: int = 0
    con30: int = 0
    res45: int = 0
    c180: int = 0
    sn180: int = 0
    sd180: int = 0
    eng30: int = 0
    adv365: int = 0
    loy180: int = 0

    def plus(self, other: "State") -> "State":
        """Both records as one: what two batches of facts, or two merged customers, have together. Commutative."""
        first, last = self.t_first, self.t_last
        if first is None or last is None:
            first, last = other.t_first, other.t_last
        elif other.t_first is not None and other.t_last is not None:
            first, last = min(first, other.t_first), max(last, other.t_last)
        return State._make((self.n + other.n, first, last, *map(add, self[3:], other[3:])))

    def minus(self, other: "State") -> "State":
        """Without what `other` once added.

        A minimum and a maximum cannot be taken back, so `t_first` and `t_last` stay as they are while purchases
        remain: whoever removes a purchase for good (a void) finds the remaining ones in the log and calls `spanning`.
        """
        n = self.n - other.n
        span = (self.t_first, self.t_last) if n else (None, None)
        return State._make((n, *span, *map(sub, self[3:], other[3:])))

    def spanning(self, t_first: int | None, t_last: int | None) -> "State":
        """The same sums with first and last purchase (seconds since 1970) as the log has them. After a void."""
        if (t_first is None, t_last is None) != (self.n == 0, self.n == 0):
            raise ValueError("First and last purchase are known exactly when there are purchases.")
        return self._replace(t_first=t_first, t_last=t_last)

    def integers(self) -> dict[str, int | None]:
        """Every member by name, for comparison with test vectors and for people."""
        return self._asdict()

    def encode(self) -> bytes:
        """The stored form: equal states give identical bytes, at most 1 KB after ten years of weekly purchases.

        `<version u8> <mask u32 of the members that are not 0>`, then for each of them `<trailing zero bits u16>
        <bytes u16>`, then their remaining digits, two's complement, little-endian. `t_first` and `t_last` are stored
        plus 1, so that 0 means None.
        """
        mask = 0
        shape: list[int] = []
        digits: list[bytes] = []
        first, last = self.t_first, self.t_last
        stored = (self.n, 0 if first is None else first + 1, 0 if last is None else last + 1, *self[3:])
        for bit, value in enumerate(stored):
            if value:
                mask |= 1 << bit
                zeros = (value & -value).bit_length() - 1
                kept = value >> zeros
                size = (kept.bit_length() >> 3) + 1
                shape += (zeros, size)
                digits.append(kept.to_bytes(size, "little", signed=True))
        return b"".join((_HEAD.pack(_VERSION, mask), _SHAPES[len(digits)].pack(*shape), *digits))

    @staticmethod
    def decode(stored: bytes) -> "State":
        """The state that `encode` wrote. ValueError when the bytes are not a whole state of a known version."""
        try:
            version, mask = _HEAD.unpack_from(stored)
            if version != _VERSION or mask >> _FIELDS:
                raise ValueError(
                    f"Stored state has version {version}; this release reads version {_VERSION}."
                )
            shape = _SHAPES[mask.bit_count()]
            sizes = iter(shape.unpack_from(stored, _HEAD.size))
        except struct.error as error:
            raise ValueError("Stored state is cut short.") from error
        start = _HEAD.size + shape.size
        values = [0] * _FIELDS
        from_bytes = int.from_bytes
        while mask:
            lowest = mask & -mask
            mask ^= lowest
            zeros = next(sizes)
            end = start + next(sizes)
            values[lowest.bit_length() - 1] = from_bytes(stored[start:end], "little", signed=True) << zeros
            start = end
        if start != len(stored):
            raise ValueError("Stored state is cut short or has bytes to spare.")
        n, first, last, *sums = values
        return State._make((n, first - 1 if first else None, last - 1 if last else None, *sums))


EMPTY: Final = State()
"""A customer of whom nothing is known."""
