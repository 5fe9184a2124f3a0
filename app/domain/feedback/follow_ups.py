"""The closed loop: whom somebody must call after a bad answer, by when, and what came of it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from app.domain.feedback.answers import Answer
from app.domain.problems import Conflict, refused

Reason = Literal["low_answer", "mixed", "negative_text"]
State = Literal["open", "assigned", "closed"]
Outcome = Literal[
    "recovered", "not_recovered", "not_reached", "no_action_needed", "made_complaint", "answer_changed"
]

STATES: Final[tuple[State, ...]] = get_args(State)
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
DUE_AFTER: Final = timedelta(hours=48)
ASK_AGAIN_AFTER: Final = timedelta(days=14)
ASK_AGAIN_WITHIN: Final = timedelta(days=180)
_COMPLAINT_LOOK: Final = timedelta(days=1)
_WORTH_ASKING_AGAIN: Final[frozenset[Outcome]] = frozenset(("recovered", "not_recovered"))


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What a decision needs to know of a follow-up. `version` goes up with every change."""

    state: State
    reason: Reason
    due_at: datetime
    owner: str | None = None
    version: int = 1
    closed_at: datetime | None = None
    outcome: Outcome | None = None


def reason_of(answer: Answer, *, mixed: bool, text_is_negative: bool) -> Reason | None:
    """Why an answer calls for a person; None when it does not.

    A rating leads. A good one with a furious text is `mixed`; the text alone decides only where there is no rating.
    """
    if answer.is_low:
        return "low_answer"
    if mixed:
        return "mixed"
    return "negative_text" if answer.rating is None and text_is_negative else None


def owner_of(
    *, customer_owner: str | None, default_owner: str | None, attributed_to: str | None
) -> str | None:
    """Who follows up: whoever looks after the customer, else the shop's default.

    Never the agent whom the answer is about: nobody should have to ask for the reasons of their own bad rating.
    """
    return next((who for who in (customer_owner, default_owner) if who and who != attributed_to), None)


def follow_up(
    reason: Reason, answered_at: datetime, owner: str | None, due_after: timedelta = DUE_AFTER
) -> FollowUp:
    """A new follow-up. The 48 hours are not business time: a detractor's patience has no office hours."""
    return FollowUp("assigned" if owner else "open", reason, answered_at + due_after, owner)


def assigned(before: FollowUp, owner: str | None, *, expected_version: int | None) -> FollowUp:
    """With another owner, or with none: then it is open again. The due time stays.

    Raises Conflict `version_conflict`, `follow_up_closed`.
    """
    _check(before, expected_version)
    return replace(before, state="assigned" if owner else "open", owner=owner, version=before.version + 1)


def closed(before: FollowUp, outcome: str, *, at: datetime, expected_version: int | None) -> FollowUp:
    """Done with. Raises Conflict `version_conflict`, `follow_up_closed`; Invalid `unknown_outcome`."""
    _check(before, expected_version)
    known = next((one for one in OUTCOMES if one == outcome), None)
    if known is None:
        raise refused("#/outcome", "unknown_outcome", f"must be one of {', '.join(OUTCOMES)}")
    return replace(before, state="closed", outcome=known, closed_at=at, version=before.version + 1)


def after_edit(
    before: FollowUp | None, reason: Reason | None, *, at: datetime, owner: str | None
) -> FollowUp | None:
    """What becomes of the follow-up of an answer that was edited: None when there is none and none is due.

    One without an owner ends with its cause; one with an owner stays theirs to judge; a closed one stays closed, so
    that an edit does not have the customer called twice.
    """
    if before is None:
        return None if reason is None else follow_up(reason, at, owner)
    if before.state == "closed":
        return before
    if reason is not None:
        return (
            before if before.reason == reason else replace(before, reason=reason, version=before.version + 1)
        )
    if before.state == "assigned":
        return before
    return closed(before, "answer_changed", at=at, expected_version=None)


def is_overdue(one: FollowUp, now: datetime) -> bool:
    """Whether nobody closed it in time, as of now."""
    return one.state != "closed" and now > one.due_at


def ask_again_at(one: FollowUp, after: timedelta = ASK_AGAIN_AFTER) -> datetime | None:
    """When to ask the customer once more, as far as quiet periods allow; None when nobody spoke with them."""
    if one.closed_at is None or one.outcome not in _WORTH_ASKING_AGAIN:
        return None
    return one.closed_at + after


def look_again_at(
    ask_at: datetime, suppressed_by: str | None, next_eligible_at: datetime | None, now: datetime
) -> datetime | None:
    """When to see once more whether the customer may be asked again, by what held back the invitation just now; None:
    they are asked, or will not be.

    A quiet period ends by itself. The end of a complaint is told to nobody, so it is looked for daily. An opt-out, or a
    missing address, is the customer's own word and stands. Half a year after `ask_at` nobody remembers the talk.
    """
    if suppressed_by == "quiet_period":
        at = next_eligible_at
    else:
        at = now + _COMPLAINT_LOOK if suppressed_by == "open_complaint" else None
    return at if at is not None and at <= ask_at + ASK_AGAIN_WITHIN else None


def _check(before: FollowUp, expected_version: int | None) -> None:
    if expected_version is not None and expected_version != before.version:
        raise Conflict(
            "version_conflict", "The follow-up was changed since it was read.", version=before.version
        )
    if before.state == "closed":
        raise Conflict("follow_up_closed", "A closed follow-up stays closed.", version=before.version)
