"""How a table says what an export shows, what an erasure and what an anonymisation does with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Delete:
    """The rows go."""


@dataclass(frozen=True, slots=True)
class Blank:
    """The rows stay: `cleared` says with which SQL each of these columns is overwritten, `kept` names all others.

    The SQL may use `given.now` (the time of the erasure) and `given.mark` (random letters and digits).
    """

    cleared: Mapping[str, str]
    kept: frozenset[str]


@dataclass(frozen=True, slots=True)
class Keep:
    """The rows stay as they are, because they hold nothing of the person."""

    why: str


@dataclass(frozen=True, slots=True)
class ByHand:
    """A table without the customer in its key, or rows that hang together: a function of erasing.py does it."""

    how: str


Way = Delete | Blank | Keep | ByHand


@dataclass(frozen=True, slots=True)
class Holding:
    """One table. `$1` in `whose` are the ids of a customer and of whom were merged into them.

    `withheld`: columns that an export leaves out, and why. An export that is None says why none of it is shown.
    """

    table: str
    erase: Way
    anonymise: Way
    whose: str = "customer_id = ANY ($1::uuid[])"
    withheld: Mapping[str, str] = field(default_factory=dict)
    not_exported: str | None = None
