"""What a context looks like on the wire; context.py writes it by hand."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.api.complaints.shapes import ClockOut
from app.api.customers import Band, CustomerOut
from app.api.health import ValueOut
from app.api.loyalty.shapes import LoyaltyOut
from app.api.notes import NoteOut
from app.api.opinions import OverrideOut, SentimentOut
from app.api.privacy.consent_shapes import ConsentOut


class ContextHealth(BaseModel):
    """How healthy the relationship is now; GET .../health says more."""

    score: int | None
    band: Band
    coverage: float
    confidence: float
    reasons: list[str]
    red_flags: list[str]
    override: Annotated[OverrideOut | None, Field(description="A score set by hand, until it expires.")]
    sentiment: Annotated[SentimentOut | None, Field(description="How an agent found the customer.")]
    model: str
    computed_at: datetime


class OpenComplaintOut(BaseModel):
    """A complaint that nobody has resolved yet, and the touchpoint that opened it.

    `reference`, `state`, `owner` and `clocks` are those of a complaint that is worked on here; null, and no clocks, for
    one that was only posted as a touchpoint.
    """

    complaint_id: str
    severity: Literal["low", "medium", "high", "critical"]
    opened_at: datetime
    age_days: Annotated[int, Field(description="Whole days that it has been open.")]
    touchpoint_id: str
    source: str
    description: str
    reference: str | None
    state: str | None
    owner: str | None
    clocks: list[ClockOut]


class ScaleOut(BaseModel):
    """The scale of an answer."""

    min: int
    max: int
    direction: Literal["higher_is_better", "lower_is_better"]


class AnswerOut(BaseModel):
    """What a customer answered last."""

    rating: int
    scale: ScaleOut
    text: str | None
    at: datetime
    touchpoint_id: str
    source: str


class FeedbackOut(BaseModel):
    """The latest answer of each kind."""

    latest_nps: AnswerOut | None
    latest_csat: AnswerOut | None
    latest_ces: AnswerOut | None
    latest_review: AnswerOut | None


class RecentTouchpointOut(BaseModel):
    """A line of the log; the timeline says more."""

    id: str
    source: str
    kind: str
    occurred_at: datetime
    channel: str | None
    description: str
    amount_minor: int | None
    amount: str | None
    currency: str | None
    order_id: str | None
    health_delta: int | None
    pending_match: bool


class OpenFollowUpOut(BaseModel):
    """Somebody must call this customer after a bad answer."""

    id: str
    feedback_id: str
    state: Literal["open", "assigned"]
    reason: Literal["low_answer", "mixed", "negative_text"]
    owner: str | None
    due_at: datetime
    overdue: bool


class ContextConsent(BaseModel):
    """What the customer agreed to; GET .../consent also tells how it came to be."""

    opted_out_since: Annotated[
        datetime | None, Field(description="Since then no survey is sent on any channel.")
    ]
    consents: list[ConsentOut]


class ActionOut(BaseModel):
    """Something to do, and why."""

    action: Literal[
        "resolve_complaint",
        "follow_up",
        "call_personally",
        "win_back",
        "keep_tier",
        "remind_of_points",
        "ask_for_feedback",
        "thank_and_invite",
    ]
    why: str


class ContextOut(BaseModel):
    """Everything about one customer for whoever is talking to them."""

    customer: CustomerOut
    health: ContextHealth
    value: ValueOut
    loyalty: Annotated[LoyaltyOut | None, Field(description="Points and tier; null for who is no member.")]
    open_complaints: Annotated[list[OpenComplaintOut], Field(description="The oldest first, at most 50.")]
    feedback: FeedbackOut
    follow_ups: Annotated[
        list[OpenFollowUpOut], Field(description="Open ones, what is due first; at most 20.")
    ]
    consent: Annotated[ContextConsent | None, Field(description="null while the customer never spoke of it.")]
    recent_touchpoints: Annotated[
        list[RecentTouchpointOut], Field(description="What happened last comes first.")
    ]
    next_best_actions: Annotated[list[ActionOut], Field(description="The most urgent first.")]
    notes: Annotated[list[NoteOut], Field(description="The newest five.")]
    summary: Annotated[str, Field(description="All of it as plain text of at most 80 words.")]
