"""What may stand against work on a complaint, for the routes and the OpenAPI document."""

from collections.abc import Callable
from typing import Final

from app.domain.customers import erased
from app.domain.feedback.complaint_records import Complaint, complaint_not_found
from app.domain.problems import Conflict, Fault, Stale, refused
from app.usecases.complaints.receive_complaint import contact_not_found, id_reused
from app.usecases.complaints.work_on_complaint import already_compensated, merge_target_not_found
from app.usecases.complaints.writing import unknown_calendar
from app.usecases.loyalty.change_account import busy

ONE_PROBLEMS: Final = (complaint_not_found(), erased())


def version_conflict() -> Conflict:
    """An example: it was changed since it was read."""
    return Conflict(
        "version_conflict", "The complaint was changed since it was read.", version=3, state="assessed"
    )


STALE: Final = Stale(
    "stale",
    "The complaint was changed since; read it again and decide anew.",
    errors=[Fault("#/header/if-match", "stale", "The complaint has another version by now.")],
)

RECEIPT_PROBLEMS: Final = (
    contact_not_found(),
    id_reused(),
    unknown_calendar(),
    refused("#/source_id", "source_id_not_allowed", "the contact is the natural key"),
)

TRANSITION_PROBLEMS: Final = (
    Conflict("settled", "A settled complaint keeps its severity.", state="closed"),
    version_conflict(),
    Conflict(
        "illegal_transition",
        "The complaint cannot go there from here.",
        state="received",
        allowed=["acknowledged", "merged", "withdrawn"],
    ),
    Conflict(
        "too_early",
        "This step has a window of time.",
        state="resolution_offered",
        at="2026-12-04T10:00:00+00:00",
        allowed=["accepted", "rejected", "merged", "withdrawn"],
    ),
    Conflict(
        "too_late",
        "This step has a window of time.",
        state="closed",
        at="2026-12-24T10:00:00+00:00",
        allowed=["merged", "withdrawn"],
    ),
    refused("#/reason", "reason_required", "must be one of resolved, no_answer"),
    refused("#/reason", "unknown_reason", "must be one of resolved, no_answer"),
    refused("#/merged_into", "merge_target_required", "name the complaint that this one repeats"),
    refused("#/csat", "csat_not_allowed", "goes with an acceptance or a closing"),
    merge_target_not_found(),
)

COMPENSATION_PROBLEMS: Final = (
    Conflict("not_compensable", "A merged or withdrawn complaint is not compensated.", state="merged"),
    refused("#/amount_minor", "property_required", "an amount and its currency are needed"),
    refused("#/points", "invalid_property", "goes with points, and only with them"),
    already_compensated(500, "booked"),
    Conflict("yearly_cap", "The customer has had what a year allows.", left=0, cap=10000),
    busy(),
)


def unchanged_since(if_match: str | None) -> Callable[[Complaint], None]:
    """Raises Stale unless the header names the version. Looks of a worker do not count: they decide nothing."""

    def check(complaint: Complaint) -> None:
        if if_match is None or if_match.strip() == "*":
            return
        seen = {
            tag.strip().strip('"').partition("-")[0]
            for tag in if_match.split(",")
            if tag.strip().startswith('"')
        }
        if str(complaint.case.version) not in seen:
            raise Stale(STALE.code, STALE.detail, errors=STALE.errors)

    return check
