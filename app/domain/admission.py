"""What stands between an identifier and a customer: values that name nobody, too many names, people who were erased."""

from dataclasses import dataclass
from typing import Final

from app.domain.identifiers import UNRULED, IdentifierRules
from app.domain.tombstones import UNGUARDED, Guard


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules of names, and the keys of the tombstones of those who left."""

    rules: IdentifierRules = UNRULED
    guard: Guard = UNGUARDED


OPEN: Final = Admission()
"""For one who has no settings: the usual number of names, and nobody is remembered."""
