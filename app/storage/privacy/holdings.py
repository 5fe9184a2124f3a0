"""Every table that holds something about a person, and for each what an export shows, what an erasure and what an
anonymisation does. A table that is not in this list, or a column that a rule forgets, fails
tests/storage/test_holdings.py: whoever adds one decides it here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from app.domain.health.state import EMPTY
from app.storage.privacy.loyalty_holdings import LOYALTY
from app.storage.privacy.ways import Blank, ByHand, Delete, Holding, Keep

_HASH: Final = "a hash of what was sent, which is shown itself"
_DERIVED: Final = "the sums behind the score; the log they were made of is shown"
_DELETE: Final = Delete()
_NULL: Final = "NULL"


def _nulls(*columns: str) -> dict[str, str]:
    return dict.fromkeys(columns, _NULL)


_PROFILE: Final = Blank(
    _nulls("name", "language", "timezone", "preferred_channel", "owner")
    | {"tags": "'{}'", "traits": "'{}'", "revision": "revision + 1", "updated_at": "given.now"},
    frozenset(("id", "created_at")),
)
_NOT_DRAWN: Final = _nulls("score", "scored_at", "scored_by", "band_until") | {
    "band": "'unknown'",
    "identity_revision": "identity_revision + 1",
    "erased_at": "given.now",
}

_MERGE: Final = Blank(
    # What somebody wrote, and rows and a profile as they were.
    {"reason": "''", "kept": "'{}'"},
    frozenset(
        (
            "customer_id",
            "id",
            "from_customer_id",
            "origins",
            "merged_by",
            "merged_at",
            "moved",
            "undone",
            "undone_by",
            "undone_at",
        )
    ),
)

HOLDINGS: Final[tuple[Holding, ...]] = (
    Holding(
        "customers",
        erase=_PROFILE,
        anonymise=_PROFILE,
        whose="id = ANY ($1::uuid[])",
    ),
    Holding(
        "customer_states",
        # The row stays: it is what says 409 `erased`, and the lock that all writers take.
        erase=Blank(
            _NOT_DRAWN | {"state": f"decode('{EMPTY.encode().hex()}', 'hex')"},
            frozenset(("customer_id", "merged_into")),
        ),
        anonymise=Blank(_NOT_DRAWN, frozenset(("customer_id", "merged_into", "state"))),
        withheld={"state": _DERIVED},
    ),
    Holding("customer_identifiers", erase=_DELETE, anonymise=_DELETE),
    Holding(
        "identifier_claims",
        erase=ByHand("with the identifiers"),
        anonymise=ByHand("with the identifiers"),
        not_exported="the same as customer_identifiers",
    ),
    Holding("customer_notes", erase=_DELETE, anonymise=_DELETE),
    Holding(
        "touchpoints",
        erase=_DELETE,
        anonymise=ByHand("ids and threads are renamed together, so that the score can still be replayed"),
        withheld={"body_sha256": _HASH},
    ),
    Holding("touchpoint_voids", erase=_DELETE, anonymise=_DELETE),
    Holding(
        "opening_states",
        erase=_DELETE,
        anonymise=Keep("sums of what was purged, without a name"),
        withheld={"state": _DERIVED},
    ),
    Holding("health_overrides", erase=_DELETE, anonymise=_DELETE),
    Holding("health_sentiments", erase=_DELETE, anonymise=_DELETE),
    Holding("consents", erase=_DELETE, anonymise=_DELETE),
    Holding("consent_log", erase=_DELETE, anonymise=_DELETE),
    Holding(
        "feedback",
        erase=_DELETE,
        anonymise=Blank(
            _nulls("text", "about", "attributed_to", "invitation_id", "sentiment")
            | {"source_id": "id::text"},
            frozenset(
                (
                    "customer_id",
                    "id",
                    "origin_customer_id",
                    "source",
                    "kind",
                    "rating",
                    "scale_min",
                    "scale_max",
                    "direction",
                    "threshold",
                    "public",
                    "channel",
                    "survey",
                    "mixed",
                    "occurred_at",
                    "received_at",
                    "updated_at",
                    "revision",
                )
            ),
        ),
    ),
    Holding(
        "feedback_revisions",
        erase=_DELETE,
        anonymise=Blank(
            _nulls("text", "sentiment", "body_sha256") | {"outcome": "'null'"},
            frozenset(
                (
                    "customer_id",
                    "id",
                    "feedback_id",
                    "revision",
                    "rating",
                    "public",
                    "mixed",
                    "written_at",
                    "written_by",
                )
            ),
        ),
        withheld={"body_sha256": _HASH},
    ),
    Holding(
        "follow_ups",
        erase=_DELETE,
        anonymise=Blank(
            # Nobody can be called any more, nor asked again.
            _nulls("owner", "note", "ask_again_at", "ask_due_at", "invitation_id")
            | {
                "state": "'closed'",
                "closed_at": "coalesce(closed_at, given.now)",
                "outcome": "coalesce(outcome, 'not_reached')",
            },
            frozenset(
                (
                    "customer_id",
                    "id",
                    "feedback_id",
                    "reason",
                    "due_at",
                    "created_at",
                    "updated_at",
                    "version",
                    "origin_customer_id",
                )
            ),
        ),
    ),
    Holding(
        "complaints",
        erase=_DELETE,
        anonymise=Blank(
            _nulls("source_id", "text", "remedy_sought", "owner", "next_due_at")
            | {
                # Nobody is left to accept what is offered.
                "state": "CASE WHEN state IN ('accepted', 'closed', 'merged') THEN state ELSE 'withdrawn' END",
                "reference": "''",
                "subject": "''",
                "about": "'{}'",
                "body_sha256": "decode(repeat('00', 32), 'hex')",
            },
            frozenset(
                (
                    "customer_id",
                    "id",
                    "origin_customer_id",
                    "source",
                    "calendar",
                    "opened_at",
                    "repeat",
                    "severity",
                    "since",
                    "version",
                    "clocks",
                    "openings",
                    "resolved",
                    "breaches",
                    "merged_into",
                    "entries",
                    "compensations",
                    "revision",
                    "created_at",
                    "updated_at",
                )
            ),
        ),
        withheld={"body_sha256": _HASH},
    ),
    Holding(
        "complaint_references",
        erase=ByHand("with the complaints"),
        anonymise=ByHand("with the complaints"),
        not_exported="the same as complaints.reference",
    ),
    Holding("complaint_log", erase=_DELETE, anonymise=_DELETE),
    Holding(
        "compensations",
        erase=_DELETE,
        anonymise=Blank(
            {"note": _NULL, "grant_id": "id::text"},
            frozenset(
                (
                    "customer_id",
                    "complaint_id",
                    "id",
                    "number",
                    "form",
                    "amount_minor",
                    "currency",
                    "points",
                    "given_by",
                    "given_at",
                )
            ),
        ),
    ),
    Holding(
        "survey_invitations",
        erase=_DELETE,
        anonymise=Blank(
            _nulls("about", "remind_at", "next_eligible_at")
            | {
                "occasion_key": "id::text",
                "scope_key": "'customer:' || customer_id",
                "held_back": "false",
                # What is still open can be neither sent nor answered.
                "state": "CASE WHEN state IN ('queued', 'sent', 'delivered', 'opened', 'bounced') THEN 'cancelled'"
                " ELSE state END",
            },
            frozenset(
                (
                    "customer_id",
                    "id",
                    "survey",
                    "kind",
                    "channel",
                    "suppressed_by",
                    "send_at",
                    "decided_at",
                    "expires_at",
                    "sent_at",
                    "reminded_at",
                    "answered_at",
                    "created_by",
                    "created_at",
                    "updated_at",
                    "origin_customer_id",
                )
            ),
        ),
    ),
    Holding("survey_periods", erase=_DELETE, anonymise=_DELETE),
    Holding(
        "survey_scopes",
        erase=ByHand("the person's invitations leave their household's row"),
        anonymise=ByHand("the same"),
        not_exported="of a whole household, under a keyed hash; the person's own are survey_invitations",
    ),
    Holding(
        "idempotency_keys",
        erase=ByHand("found by the ids in the answers"),
        anonymise=ByHand("the same"),
        whose="about && $1::uuid[]",
        withheld={"body_sha256": _HASH, "about": "ids that the answer holds"},
    ),
    Holding("merges", erase=_MERGE, anonymise=_MERGE),
    *LOYALTY,
    Holding(
        "erasures",
        erase=Keep("the receipt itself: numbers"),
        anonymise=Keep("the receipt itself: numbers"),
        not_exported="there is nobody left to show it to",
    ),
    Holding(
        "erased_identifiers",
        erase=Keep("tombstones: keyed hashes, whose key is not in the database"),
        anonymise=Keep("the same"),
        not_exported="there is nobody left to show it to",
    ),
)

NOT_ABOUT_CUSTOMERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "api_keys": "programs that call",
        "audit_log": "what admins did; customers by their UUID alone, without secrets and what names somebody",
        "calendars": "when the shop works",
        "kept_secrets": "secrets of the service",
        "loyalty_programs": "what the shop promises",
        "loyalty_rewards": "what the shop gives for points",
        "loyalty_versions": "rules of the shop",
        "rate_usage": "how much of its rate each key has used",
        "retention_runs": "progress",
        "scoring_models": "numbers fitted to many; no customer can be read off them",
        "scoring_model_publications": "which model scored when",
        "state_replays": "progress",
        "survey_looks": "progress",
        "surveys": "questions",
        "touchpoint_kinds": "words of the shop",
    }
)
"""The other tables, and what is in them."""
