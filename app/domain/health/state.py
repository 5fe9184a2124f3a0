"""The record a customer's health is computed from: sums, a minimum and a maximum, so any order of arrival agrees."""

import struct
from functools import lru_cache
from operator import add, sub
from typing import Final, NamedTuple

from app.domain.health.form import SHIPPED, Form, known
from app.domain.health.resolution import Resolution

_VERSION: Final = 1
_VERSION_WITH_FORM: Final = 2
_HEAD: Final = struct.Struct("<BI")
_FORM: Final = struct.Struct("<12H7d")
_FIELDS: Final = 19
_SHAPES: Final = tuple(struct.Struct("<" + "HH" * count) for count in range(_FIELDS + 1))


class State(NamedTuple):
    """Everything the score knows of one customer; all members are exact integers.

    `t_first` and `t_last` are seconds since 1970 of the first and last purchase, None exactly when `n` is 0. `spend` is
    in minor units of the shop currency, net of refunds. `open_sev` sums the severities (thousandths) of what complaints
    are open, `open_sevt` severity times opening second. The others sum weights (weights.py); the number in the name is
    their half-life in days in the shipped form: `m120` of minor units, `n*`, `con30` and `c180` of ones, the rest of
    thousandths. `form` says the half-lives that they have; states of two forms are never added, but for a state of
    nothing, which has any form.

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
    form: Form = SHIPPED

    def plus(self, other: "State") -> "State":
        """Both records as one: what two batches of facts, or two merged customers, have together. Commutative."""
        first, last = self.t_first, self.t_last
        if first is None or last is None:
            first, last = other.t_first, other.t_last
        elif other.t_first is not None and other.t_last is not None:
            first, last = min(first, other.t_first), max(last, other.t_last)
        form = self.form if self.form is other.form else _shared(self, other)
        return State._make(
            (self.n + other.n, first, last, *map(add, self[3:_FIELDS], other[3:_FIELDS]), form)
        )

    def minus(self, other: "State") -> "State":
        """Without what `other` once added.

        A minimum and a maximum cannot be taken back, so `t_first` and `t_last` stay as they are while purchases
        remain: whoever removes a purchase for good (a void) finds the remaining ones in the log and calls `spanning`.
        """
        n = self.n - other.n
        span = (self.t_first, self.t_last) if n else (None, None)
        form = self.form if self.form is other.form else _shared(self, other)
        return State._make((n, *span, *map(sub, self[3:_FIELDS], other[3:_FIELDS]), form))

    def spanning(self, t_first: int | None, t_last: int | None) -> "State":
        """The same sums with first and last purchase (seconds since 1970) as the log has them. After a void."""
        if (t_first is None, t_last is None) != (self.n == 0, self.n == 0):
            raise ValueError("First and last purchase are known exactly when there are purchases.")
        return self._replace(t_first=t_first, t_last=t_last)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has ever counted: such a state is the same in every form."""
        return not (self.n or any(self[3:_FIELDS]))

    def integers(self) -> dict[str, int | None]:
        """Every sum by name, for comparison with test vectors and for people."""
        return dict(zip(State._fields[:_FIELDS], self[:_FIELDS], strict=True))

    def encode(self) -> bytes:
        """The stored form: equal states give identical bytes, at most 1 KB after ten years of weekly purchases.

        `<version u8> <mask u32 of the members that are not 0>`, then for each of them `<trailing zero bits u16>
        <bytes u16>`, then their remaining digits, two's complement, little-endian. `t_first` and `t_last` are stored
        plus 1, so that 0 means None. Version 1 is of the shipped form; in version 2 the form follows the mask: twelve
        half-lives as u16, seven numbers of a resolution as doubles.
        """
        mask = 0
        shape: list[int] = []
        digits: list[bytes] = []
        first, last = self.t_first, self.t_last
        stored = (
            self.n,
            0 if first is None else first + 1,
            0 if last is None else last + 1,
            *self[3:_FIELDS],
        )
        for bit, value in enumerate(stored):
            if value:
                mask |= 1 << bit
                zeros = (value & -value).bit_length() - 1
                kept = value >> zeros
                size = (kept.bit_length() >> 3) + 1
                shape += (zeros, size)
                digits.append(kept.to_bytes(size, "little", signed=True))
        if self.form is SHIPPED or self.form == SHIPPED:
            head = _HEAD.pack(_VERSION, mask)
        else:
            head = _HEAD.pack(_VERSION_WITH_FORM, mask) + _packed(self.form)
        return b"".join((head, _SHAPES[len(digits)].pack(*shape), *digits))

    @staticmethod
    def decode(stored: bytes) -> "State":
        """The state that `encode` wrote. ValueError when the bytes are not a whole state of a known version."""
        try:
            version, mask = _HEAD.unpack_from(stored)
            if version == _VERSION:
                form, start = SHIPPED, _HEAD.size
            else:
                form, start = _form_after_head(version, stored), _HEAD.size + _FORM.size
            if mask >> _FIELDS:
                raise ValueError("Stored state has members that this release does not know.")
            shape = _SHAPES[mask.bit_count()]
            sizes = iter(shape.unpack_from(stored, start))
        except struct.error as error:
            raise ValueError("Stored state is cut short.") from error
        start += shape.size
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
        return State._make((n, first - 1 if first else None, last - 1 if last else None, *sums, form))


def empty(form: Form) -> State:
    """A customer of whom nothing is known, in this form."""
    return EMPTY if form is SHIPPED else EMPTY._replace(form=form)


def adopting(state: State, form: Form) -> State:
    """The state in this form if nothing has counted yet, else as it is."""
    return state if state.form is form or not state.is_empty else state._replace(form=form)


def _shared(one: State, other: State) -> Form:
    """The form of both; ValueError when they differ and neither is a state of nothing."""
    if one.form == other.form or other.is_empty:
        return one.form
    if one.is_empty:
        return other.form
    raise ValueError("States of different forms cannot be added: one has to be folded from its log again.")


def _packed(form: Form) -> bytes:
    left = form.resolution
    return _FORM.pack(
        *form[:-1],
        *(left.base, left.slow, left.half_days, left.per_csat, left.min, left.max, left.csat_missing),
    )


def _form_after_head(version: int, stored: bytes) -> Form:
    if version != _VERSION_WITH_FORM:
        raise ValueError(f"Stored state has version {version}; this release reads versions 1 and 2.")
    if len(stored) < _HEAD.size + _FORM.size:
        raise ValueError("Stored state is cut short.")
    return _unpacked(stored[_HEAD.size : _HEAD.size + _FORM.size])


@lru_cache(maxsize=64)
def _unpacked(packed: bytes) -> Form:
    numbers = _FORM.unpack(packed)
    half_lives, (base, slow, half_days, per_csat, least, most, csat_missing) = numbers[:12], numbers[12:]
    if not all(half_lives):
        raise ValueError("Stored state has a half-life of nothing.")
    left = Resolution(base, slow, half_days, per_csat, least, most, int(csat_missing))
    return known(Form._make((*half_lives, left)))


EMPTY: Final = State()
"""A customer of whom nothing is known."""
