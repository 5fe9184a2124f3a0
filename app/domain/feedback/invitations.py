"""One invitation to one survey: sent, reminded once, answered once, edited for a day."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

from app.domain.feedback.answers import EDIT_WINDOW, answer_final
from app.domain.feedback.scales import Scale
from app.domain.feedback.surveys import Decision, Limits
from app.domain.problems import Conflict, Gone, NotFound, refused

State = Literal[
    "queued", "suppressed", "sent", "delivered", "opened", "bounced", "answered", "expired", "cancelled"
]
Report = Literal["sent", "delivered", "opened", "bounced"]

STATES: Final[tuple[State, ...]] = get_args(State)
_PROGRESS: Final[tuple[State, ...]] = ("queued", "sent", "delivered", "opened")
_REPORTS: Final[tuple[Report, ...]] = get_args(Report)
_LONGEST_RATING: Final = 4


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a decision needs to know of an invitation. `expires_at` is that of its link.

    `reminded_at` is set when the reminder is handed over, so it is never sent twice.
    """

    state: State
    send_at: datetime
    expires_at: datetime
    sent_at: datetime | None = None
    reminded_at: datetime | None = None
    answered_at: datetime | None = None
    suppressed_by: str | None = None
    next_eligible_at: datetime | None = None


class Answering(NamedTuple):
    """What a posted answer does: the first is stored (201), a change within 24 hours updates it (200)."""

    invitation: Invitation
    does: Literal["store", "update"]


def invited(decision: Decision, send_at: datetime, limits: Limits) -> Invitation:
    """A new invitation; a suppressed one is kept too, with its reason."""
    return Invitation(
        decision.state,
        send_at,
        send_at + limits.expires_after,
        suppressed_by=decision.suppressed_by,
        next_eligible_at=decision.next_eligible_at,
    )


def requeued(invitation: Invitation, decision: Decision, at: datetime, limits: Limits) -> Invitation:
    """A suppressed or queued invitation after it was decided anew for `at`; others are left as they are."""
    if invitation.state not in ("queued", "suppressed"):
        return invitation
    return invited(decision, at, limits)


def reported(invitation: Invitation, what: str, at: datetime) -> Invitation:
    """The invitation after the channel's report. Raises Invalid `unknown_report`.

    Reports come twice and in any order: an earlier stage changes nothing, nor does any of an invitation that is over. A
    bounce after a delivery is believed (some servers take mail first and refuse it later), after an opening it is not.
    """
    if what not in _REPORTS:
        raise refused("#/report", "unknown_report", f"must be one of {', '.join(_REPORTS)}")
    if invitation.state not in _PROGRESS:
        return invitation
    sent_at = invitation.sent_at or at
    if what == "bounced":
        seen = invitation.state == "opened"
        return invitation if seen else replace(invitation, state="bounced", sent_at=sent_at)
    if _PROGRESS.index(what) <= _PROGRESS.index(invitation.state):
        return invitation
    return replace(invitation, state=what, sent_at=sent_at)


def answered(invitation: Invitation, now: datetime) -> Answering:
    """The invitation after an answer came over its link.

    A bounced one may be answered: the link may have been passed on another way. The edit window of an answer counts,
    not the expiry of the link. Raises Conflict `answer_final` after 24 hours, Gone `link_expired` or
    `invitation_cancelled`, NotFound `link_not_found` for one that was never sent out. Two tabs that post at once are
    ordered by the customer's lock: the second finds `answered` and updates.
    """
    if invitation.answered_at is not None:
        if now - invitation.answered_at >= EDIT_WINDOW:
            raise answer_final()
        return Answering(invitation, "update")
    check_open(invitation, now)
    return Answering(replace(invitation, state="answered", answered_at=now), "store")


def check_open(invitation: Invitation, now: datetime) -> None:
    """What a GET shows an answer form for, and writes nothing. Raises as `answered` does for a first answer."""
    if invitation.state == "suppressed":
        raise NotFound("link_not_found", "This link does not lead to a survey.")
    if invitation.state == "cancelled":
        raise Gone("invitation_cancelled", "This survey is over.")
    if invitation.state == "expired" or now >= invitation.expires_at:
        raise Gone("link_expired", "This link has expired.")


def expired(invitation: Invitation, now: datetime) -> Invitation:
    """The invitation as the sweeper leaves it: over when its link is. An answered one stays answered."""
    if (
        invitation.state in ("queued", "sent", "delivered", "opened", "bounced")
        and now >= invitation.expires_at
    ):
        return replace(invitation, state="expired")
    return invitation


def cancelled(invitation: Invitation) -> Invitation:
    """The invitation after its customer opted out, was erased, or its survey was ended."""
    return (
        invitation if invitation.state in ("answered", "expired") else replace(invitation, state="cancelled")
    )


def remind_at(invitation: Invitation, limits: Limits) -> datetime | None:
    """When its one reminder is due; None when none is. Before sending it `surveys.decide` has no say but opt-outs and
    open complaints do: a reminder is no further survey.
    """
    waiting = invitation.state in ("sent", "delivered", "opened")
    if limits.remind_after is None or invitation.sent_at is None or invitation.reminded_at or not waiting:
        return None
    at = invitation.sent_at + limits.remind_after
    return at if at < invitation.expires_at else None


def reminded(invitation: Invitation, at: datetime) -> Invitation:
    """The invitation once its reminder is handed over. Raises Conflict `reminded_already`."""
    if invitation.reminded_at is not None:
        raise Conflict("reminded_already", "An invitation is reminded of once.")
    return replace(invitation, reminded_at=at)


def preselected(text: str | None, scale: Scale) -> int | None:
    """The rating in a link, to be shown as chosen and never stored by itself; None when it is none of the scale."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _LONGEST_RATING:
        return None
    rating = int(text)
    return rating if scale.min <= rating <= scale.max else None
