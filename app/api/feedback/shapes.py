"""What answers and follow-ups look like on the wire."""

import json
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.references import NamedInBody
from app.api.touchpoints.shapes import HealthChange, Moment, Name
from app.domain.feedback.answers import EDIT_WINDOW, LONGEST_TEXT
from app.domain.feedback.follow_ups import Outcome, Reason, State, is_overdue
from app.domain.feedback.scales import Direction, Group
from app.domain.feedback.sentiment import Doubt, Label
from app.domain.ids import opaque_id
from app.domain.keys import SOURCE_PATTERN
from app.storage.feedback import Feedback, Shown, sentiment_members
from app.storage.follow_ups import FollowUpRow
from app.storage.invitations import PREFIX as INVITATION_PREFIX
from app.usecases.feedback.change_answer import Told

Kind = Literal["nps", "csat", "ces", "review", "comment"]
FOLLOW_UP_PREFIX: Final = "fu"

_STRICT = ConfigDict(extra="forbid", strict=True)

Rating = Annotated[
    int | float, Field(description="A whole number on the scale; nothing is rounded.", examples=[9])
]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Agent = Annotated[str, Field(min_length=1, max_length=200)]

# --- sent -----------------------------------------------------------------------------------------------------------


class ScaleIn(BaseModel):
    """The scale; what is left out is as usual for the kind."""

    model_config = _STRICT

    min: int | None = None
    max: int | None = None
    direction: Direction | None = None


class AboutIn(BaseModel):
    """What the answer is about."""

    model_config = _STRICT

    order_id: Name | None = None
    product: Name | None = None
    contact_id: Name | None = None


class FeedbackIn(BaseModel):
    """One answer of a customer."""

    model_config = _STRICT

    customer: NamedInBody
    kind: Kind
    rating: Rating | None = None
    scale: ScaleIn | None = None
    text: Text | None = None
    source_id: Annotated[
        Name | None,
        Field(description="Yours, unique per customer and source: it makes retries safe for ever."),
    ] = None
    source: Annotated[
        str | None,
        Field(pattern=f"^{SOURCE_PATTERN}$", description="For admins: another source than the key's."),
    ] = None
    occurred_at: Annotated[Moment | None, Field(description="When it was given; now when absent.")] = None
    channel: Annotated[str, Field(max_length=64)] | None = None
    survey: Annotated[
        str | None,
        Field(pattern="^[a-z0-9][a-z0-9_.-]{0,63}$", description="Which survey asked, if one did."),
    ] = None
    about: AboutIn | None = None
    attributed_to: Annotated[Agent | None, Field(description="The agent in charge when it happened.")] = None
    public: Annotated[bool, Field(description="Whether everybody can read it; reviews alone.")] = False


class FeedbackChange(BaseModel):
    """What may be corrected within 24 hours (RFC 7396)."""

    model_config = _STRICT

    rating: Rating | None = None
    text: Text | None = None
    public: bool | None = None


class FollowUpPatch(BaseModel):
    """An owner, or the end of it: an `outcome` closes."""

    model_config = _STRICT

    owner: Annotated[Agent | None, Field(description="null: nobody's, and open again.")] = None
    state: Annotated[Literal["closed"] | None, Field(description="Closing needs an `outcome`.")] = None
    outcome: Outcome | None = None
    note: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None
    ask_again_after_days: Annotated[
        int | None,
        Field(
            ge=0,
            le=365,
            description="After a talk the customer is asked again: 14 days unless said; 0: never.",
        ),
    ] = None
    expected_version: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None


class NamedFollowUpPatch(FollowUpPatch):
    """The same, with the follow-up named in the body."""

    id: Annotated[str, Field(max_length=64)]


# --- told -----------------------------------------------------------------------------------------------------------


class ScaleOut(BaseModel):
    """The scale of an answer."""

    min: int
    max: int
    direction: Direction


class SentimentOut(BaseModel):
    """What the words of an answer say: English only, `unknown` for all that is not surely understood."""

    label: Label
    score: Annotated[float | None, Field(description="-1 to 1, null when unknown.")]
    confidence: float
    method: str
    lexicon_version: str
    evidence: Annotated[list[str], Field(description="The terms that decided.")]
    doubt: Annotated[Doubt | None, Field(description="Why it is unknown.")] = None


class FollowUpOut(BaseModel):
    """Somebody must call this customer, by when, and what came of it."""

    id: str
    feedback_id: str | None = None
    customer_id: UUID
    state: State
    reason: Reason
    owner: str | None
    due_at: datetime
    overdue: bool
    outcome: Outcome | None
    note: str | None
    closed_at: datetime | None
    ask_again_at: Annotated[datetime | None, Field(description="When the customer may be asked once more.")]
    ask_again_invitation: Annotated[
        str | None, Field(description="What asks them again, queued or suppressed; null until then.")
    ]
    version: int
    created_at: datetime
    updated_at: datetime


class FeedbackOut(BaseModel):
    """An answer."""

    id: str
    customer_id: UUID
    kind: Kind
    rating: int | None
    scale: ScaleOut | None
    group: Annotated[Group | None, Field(description="Promoter and the like; null in a comment.")]
    text: str | None
    public: bool
    channel: str | None
    survey: str | None
    about: dict[str, Any] | None
    attributed_to: str | None
    source: str
    source_id: str
    occurred_at: datetime
    received_at: datetime
    updated_at: datetime
    revision: int
    editable_until: datetime
    sentiment: Annotated[SentimentOut | None, Field(description="null without words.")]
    mixed: Annotated[bool, Field(description="The words contradict the rating.")]
    health: Annotated[HealthChange | None, Field(description="What this form of it did to health.")]
    follow_up: FollowUpOut | None


class PostedFeedbackOut(FeedbackOut):
    """An answer as it is told to whoever posts it."""

    duplicate: Annotated[bool, Field(description="Known already; what is told is what was told first.")]


# --- made -----------------------------------------------------------------------------------------------------------


def follow_up_out(row: FollowUpRow | None, now: datetime) -> FollowUpOut | None:
    """A follow-up on the wire."""
    return None if row is None else shown_follow_up(row, now)


def shown_follow_up(row: FollowUpRow, now: datetime) -> FollowUpOut:
    """A follow-up on the wire."""
    one = row.one
    return FollowUpOut(
        id=opaque_id(FOLLOW_UP_PREFIX, row.origin_customer_id, row.id),
        feedback_id=opaque_id("fb", row.origin_customer_id, row.feedback_id),
        customer_id=row.customer_id,
        state=one.state,
        reason=one.reason,
        owner=one.owner,
        due_at=one.due_at,
        overdue=is_overdue(one, now),
        outcome=one.outcome,
        note=row.note,
        closed_at=one.closed_at,
        ask_again_at=row.ask_again_at,
        ask_again_invitation=None
        if row.invitation_id is None
        else opaque_id(INVITATION_PREFIX, row.customer_id, row.invitation_id),
        version=one.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def shown_answer(shown: Shown, now: datetime) -> FeedbackOut:
    """An answer on the wire."""
    return FeedbackOut(**_members(shown.feedback, shown.follow_up, shown.outcome, now))


def posted_answer(told: Told, now: datetime) -> PostedFeedbackOut:
    """An answer on the wire, for whoever posted it."""
    members = _members(told.feedback, told.follow_up, told.outcome, now)
    members |= {"sentiment": sentiment_members(told.sentiment), "mixed": told.mixed}
    return PostedFeedbackOut(**members, duplicate=told.status == "duplicate")


def _members(one: Feedback, follow_up: FollowUpRow | None, outcome: str, now: datetime) -> dict[str, Any]:
    answer, scale = one.answer, one.answer.scale
    return {
        "id": one.public_id,
        "customer_id": one.customer_id,
        "kind": answer.kind,
        "rating": answer.rating,
        "scale": None if scale is None else ScaleOut(min=scale.min, max=scale.max, direction=scale.direction),
        "group": answer.group,
        "text": answer.text,
        "public": answer.public,
        "channel": one.channel,
        "survey": one.survey,
        "about": one.about,
        "attributed_to": one.attributed_to,
        "source": one.key.source,
        "source_id": one.key.source_id,
        "occurred_at": one.occurred_at,
        "received_at": one.received_at,
        "updated_at": one.updated_at,
        "revision": one.revision,
        "editable_until": one.received_at + EDIT_WINDOW,
        "sentiment": sentiment_members(one.sentiment),
        "mixed": one.mixed,
        "health": json.loads(outcome),
        "follow_up": follow_up_out(follow_up, now),
    }
