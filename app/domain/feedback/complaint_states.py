"""The states of a complaint, after ISO 10002:2018 clause 8 (receipt, acknowledgement, assessment, investigation,
response, closing), the steps between them, and the reasons for a step.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

State = Literal[
    "received",
    "acknowledged",
    "assessed",
    "investigating",
    "waiting_customer",
    "resolution_offered",
    "accepted",
    "rejected",
    "escalated",
    "closed",
    "reopened",
    "merged",
    "withdrawn",
]

STATES: Final[tuple[State, ...]] = get_args(State)
TERMINAL: Final[frozenset[State]] = frozenset(("merged", "withdrawn"))
SETTLED: Final[frozenset[State]] = frozenset(("accepted", "closed", "merged", "withdrawn"))
"""Where a complaint does not weigh on the customer's health any more."""

RESTING: Final[frozenset[State]] = frozenset(("waiting_customer", "resolution_offered"))
"""Where it is the customer's turn, so the resolution clock rests."""

FORWARD: Final[Mapping[State, tuple[State, ...]]] = MappingProxyType(
    {
        "received": ("acknowledged",),
        "acknowledged": ("assessed",),
        "assessed": ("investigating",),
        "investigating": ("waiting_customer", "resolution_offered"),
        "waiting_customer": ("investigating",),
        "resolution_offered": ("accepted", "rejected", "closed"),
        "accepted": ("closed",),
        "rejected": ("escalated",),
        "escalated": ("investigating",),
        "closed": ("reopened",),
        "reopened": ("investigating",),
    }
)
"""The steps of the process. Any state but the terminal ones may also be merged or withdrawn."""

PUBLIC: Final[Mapping[State, str]] = MappingProxyType(
    {
        "received": "received",
        "acknowledged": "in_progress",
        "assessed": "in_progress",
        "investigating": "in_progress",
        "waiting_customer": "waiting_for_you",
        "resolution_offered": "answered",
        "accepted": "solved",
        "rejected": "in_progress",
        "escalated": "in_progress",
        "closed": "closed",
        "reopened": "in_progress",
        "merged": "joined_with_another",
        "withdrawn": "withdrawn",
    }
)
"""What the customer is told by reference or link: where it stands, not who argues about it."""

REASONS: Final[Mapping[State, tuple[str, ...]]] = MappingProxyType(
    {
        "waiting_customer": ("information_needed", "return_awaited", "evidence_needed", "other"),
        "rejected": ("remedy_insufficient", "facts_disputed", "other"),
        "escalated": ("customer_request", "remedy_rejected", "legal", "other"),
        "closed": ("resolved", "no_answer"),
        "reopened": ("not_resolved", "failed_again", "promise_broken", "other"),
        "merged": ("duplicate",),
        "withdrawn": ("customer_request", "resolved_elsewhere", "sent_in_error", "other"),
    }
)
"""The states that are entered for a reason, and the reasons. `closed` after an acceptance needs none."""

REMEDIES: Final = (
    "refund",
    "replacement",
    "repair",
    "apology",
    "compensation",
    "explanation",
    "delivery",
    "other",
)
"""What a customer may seek."""
