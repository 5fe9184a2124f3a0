"""What the checks of `rapport verify` find, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as promised. Names a customer by UUID alone: identifiers are personal data."""

    what: str
    customer_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What a check looked at in one snapshot. `notes` are worth knowing and break no promise."""

    checked: int
    differences: Sequence[Difference] = ()
    notes: Sequence[str] = ()
