"""What people may give and take: adjustments with a reason, a second pair of eyes over a limit, caps for a year."""

from typing import Final, Literal, NamedTuple, get_args

from app.domain.loyalty.points import points_of
from app.domain.loyalty.versions import Limits
from app.domain.problems import Conflict, Forbidden, refused

ReasonCode = Literal["service", "correction", "goodwill", "surprise", "migration", "fraud", "other"]

REASON_CODES: Final[tuple[ReasonCode, ...]] = get_args(ReasonCode)
LONGEST_NOTE: Final = 2_000


class Proposal(NamedTuple):
    """An adjustment somebody asks for. `about`: the complaint of a goodwill, the occasion of a surprise."""

    id: str
    points: int
    reason_code: ReasonCode
    note: str
    actor: str
    about: str | None = None
    allow_debt: bool = False


def proposal_of(
    *,
    id: str,  # noqa: A002 - the wire's own name
    points: int,
    reason_code: str,
    note: str,
    actor: str,
    about: str | None = None,
    allow_debt: bool = False,
) -> Proposal:
    """A checked proposal.

    Raises Invalid `invalid_points`, `unknown_reason`, `note_required` (for other), `about_required` (goodwill names its
    complaint, a surprise its occasion; both only give), `note_too_long`.
    """
    reason = next((one for one in REASON_CODES if one == reason_code), None)
    if reason is None:
        raise refused("#/reason_code", "unknown_reason", f"must be one of {', '.join(REASON_CODES)}")
    if len(note) > LONGEST_NOTE:
        raise refused("#/note", "note_too_long", f"at most {LONGEST_NOTE} characters")
    if reason == "other" and not note.strip():
        raise refused("#/note", "note_required", "other needs a note")
    is_gift = reason in {"goodwill", "surprise"}
    if is_gift and about is None:
        raise refused("#/about", "about_required", "name the complaint or the occasion")
    points_of(-points if points < 0 and not is_gift else points)
    return Proposal(id, points, reason, note, actor, about, allow_debt)


def natural_key(proposal: Proposal) -> str:
    """What an adjustment is once for: a gift for what it is about, however often it is retried; else its own id."""
    if proposal.about is None:
        return f"adjustment:{proposal.id}"
    return f"{proposal.reason_code}:{proposal.about}"


def needs_approval(proposal: Proposal, limits: Limits) -> bool:
    """Whether somebody else must agree: points over the limit, given or taken."""
    return abs(proposal.points) > limits.approval_over


def check_approver(proposal: Proposal, limits: Limits, approver: str | None) -> None:
    """Raises Conflict `approval_required` without a second person, Forbidden `same_person` for the first one again."""
    if not needs_approval(proposal, limits):
        return
    if approver is None:
        raise Conflict(
            "approval_required", "So many points need a second person.", limit=limits.approval_over
        )
    if approver == proposal.actor:
        raise Forbidden("same_person", "Nobody approves an adjustment of their own.")


def check_yearly_cap(proposal: Proposal, limits: Limits, given_this_year: int) -> None:
    """Raises Conflict `yearly_cap` with what is `left`; `given_this_year`: by the same reason, in the local year."""
    caps = {"goodwill": limits.goodwill_a_year, "surprise": limits.surprise_a_year}
    cap = caps.get(proposal.reason_code)
    if cap is not None and given_this_year + proposal.points > cap:
        left = max(cap - given_this_year, 0)
        raise Conflict("yearly_cap", "The customer has had what a year allows.", left=left, cap=cap)
