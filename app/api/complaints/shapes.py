"""What complaints look like on the wire."""

import json
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.references import NamedInBody
from app.domain.feedback.clocks import Clock
from app.domain.feedback.complaint_records import Complaint, public_id
from app.domain.feedback.complaints import allowed
from app.domain.ids import opaque_id
from app.storage.complaint_log import Line
from app.usecases.complaints.writing import Done
from app.usecases.loyalty.adjust import Answered

_STRICT: Final = ConfigDict(extra="forbid", strict=True)

Severity = Literal["low", "medium", "high", "critical"]
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
Remedy = Literal[
    "refund", "replacement", "repair", "apology", "compensation", "explanation", "delivery", "other"
]
CODE: Final = "[a-z0-9][a-z0-9_-]{0,63}"
MOST_ABOUT: Final = 10
LONGEST_TEXT: Final = 10_000

_AboutKey = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,31}$")]
_AboutValue = Annotated[str, Field(min_length=1, max_length=200)]
_Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
_Id = Annotated[str, Field(min_length=1, max_length=200)]
ComplaintId = Annotated[str, Field(description="The complaint's id, as its receipt was answered.")]

# --- what is sent ---------------------------------------------------------------------------------------------------


class ComplaintIn(BaseModel):
    """A complaint. `source_id` is its natural key within the key's source; a retry gets the same complaint."""

    model_config = _STRICT

    customer: NamedInBody
    subject: Annotated[str, Field(min_length=1, max_length=200)]
    text: _Text | None = None
    severity: Annotated[Severity | None, Field(description="medium when it is left out.")] = None
    remedy_sought: Remedy | None = None
    about: Annotated[
        dict[_AboutKey, _AboutValue],
        Field(max_length=MOST_ABOUT, description="What it is about: `order_id`, `product`, ..."),
    ] = {}
    source_id: _Id | None = None
    from_contact: Annotated[
        _Id | None,
        Field(
            description="The id of a support contact that turned out to be a complaint: the clocks run from then, "
            "and the contact is the natural key."
        ),
    ] = None
    calendar: Annotated[str, Field(pattern=f"^{CODE}$", description="Whose hours count.")] = "default"


class TransitionIn(BaseModel):
    """A step. `expected_version` is the version that the decision rests on."""

    model_config = _STRICT

    to: State
    expected_version: Annotated[int, Field(ge=1, lt=2**31)]
    reason: Annotated[
        str | None, Field(max_length=64, description="One of those that the state is entered for.")
    ] = None
    visible_to_customer: Annotated[
        bool, Field(description="Whether the customer was told: ends the wait for a first response.")
    ] = False
    note: _Text | None = None
    csat: Annotated[
        int | None, Field(ge=1, le=5, description="How the customer rated the resolution, 1 to 5.")
    ] = None
    merged_into: Annotated[_Id | None, Field(description="The complaint that this one repeats.")] = None


class ComplaintChange(BaseModel):
    """What to change (RFC 7396): `owner` may be null."""

    model_config = _STRICT

    severity: Severity = "medium"
    owner: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    expected_version: Annotated[int | None, Field(ge=1, lt=2**31)] = None

    def said(self) -> dict[str, Any]:
        """The members that were sent."""
        sent = self.model_fields_set - {"expected_version"}
        return {name: getattr(self, name) for name in sent}


class MessageIn(BaseModel):
    """Something to say about a complaint. One that the customer sees is a first response."""

    model_config = _STRICT

    text: _Text
    visible_to_customer: bool = True


class CompensationIn(BaseModel):
    """Something given for a failure: refunds and vouchers have money, points a number, the others neither."""

    model_config = _STRICT

    form: Literal["apology", "refund", "voucher", "points", "replacement"]
    amount_minor: int | None = None
    currency: str | None = None
    points: int | None = None
    note: _Text | None = None


# --- what is answered -----------------------------------------------------------------------------------------------


class ClockOut(BaseModel):
    """A promise. `due_at` is null while it is paused."""

    name: Literal["acknowledge", "first_response", "resolution"]
    started_at: datetime
    due_at: datetime | None
    paused_since: datetime | None
    stopped_at: datetime | None
    warned: bool
    breached: bool
    breached_at: datetime | None


class ComplaintOut(BaseModel):
    """A complaint."""

    id: str
    reference: Annotated[str, Field(description="What the customer can quote.", examples=["C-7K3M9-QXD2F"])]
    customer_id: UUID
    state: State
    state_since: datetime
    severity: Severity
    clocks: list[ClockOut]
    breaches: Annotated[list[str], Field(description="The promises that were ever broken; they stay.")]
    version: Annotated[int, Field(description="Goes up with every decision; `expected_version` names it.")]
    allowed: Annotated[list[State], Field(description="Where it may go now.")]
    owner: str | None
    subject: str
    text: str | None
    remedy_sought: Remedy | None
    about: dict[str, str]
    repeat: Annotated[bool, Field(description="Another one was opened within 180 days before.")]
    openings: Annotated[int, Field(description="1, and one more for each time it was reopened.")]
    compensations: int
    merged_into: str | None
    calendar: str
    source: str
    source_id: str | None
    opened_at: datetime
    created_at: datetime
    updated_at: datetime


class ComplaintDone(ComplaintOut):
    """A complaint after something was done about it, and what that did to the customer's health."""

    health: Annotated[
        dict[str, Any] | None,
        Field(
            description="As a posted touchpoint's answer has it; null when nothing was written to the log."
        ),
    ]
    status_link: Annotated[
        str | None, Field(description="Where the customer can see how it stands; null without link secrets.")
    ]


class BookedOut(BaseModel):
    """The adjustment that books points; `proposed` while so many wait for a second person."""

    id: str
    state: Literal["proposed", "booked", "declined"]
    points: int


class CompensationOut(ComplaintDone):
    """The complaint after something was given for it."""

    number: int
    grant_id: Annotated[str, Field(description="Names the grant, however often it is paid out.")]
    adjustment: Annotated[BookedOut | None, Field(description="Of points; null without a loyalty programme.")]


class LineOut(BaseModel):
    """A line of a complaint's log."""

    seq: int
    what: Literal["opened", "transition", "change", "message", "compensation", "warning", "breach"]
    at: datetime
    written_at: datetime
    written_by: str
    state: State
    version: int
    reason: str | None
    visible_to_customer: bool
    text: str | None
    details: dict[str, Any]
    touchpoint_id: str | None


def clock_members(clock: Clock) -> dict[str, Any]:
    """The members of ClockOut."""
    return {
        "name": clock.name,
        "started_at": clock.started_at,
        "due_at": clock.due_at,
        "paused_since": clock.paused_since,
        "stopped_at": clock.stopped_at,
        "warned": clock.warned_at is not None,
        "breached": clock.breached,
        "breached_at": clock.breached_at,
    }


def members(complaint: Complaint, now: datetime) -> dict[str, Any]:
    """The members of ComplaintOut."""
    case = complaint.case
    merged_into = None if case.merged_into is None else UUID(case.merged_into)
    return {
        "id": complaint.public_id,
        "reference": complaint.reference,
        "customer_id": complaint.customer_id,
        "state": case.state,
        "state_since": case.since,
        "severity": case.severity,
        "clocks": [clock_members(clock) for clock in case.clocks],
        "breaches": sorted(case.breaches),
        "version": case.version,
        "allowed": list(allowed(case, now)),
        "owner": complaint.owner,
        "subject": complaint.subject,
        "text": complaint.text,
        "remedy_sought": complaint.remedy_sought,
        "about": dict(complaint.about),
        "repeat": complaint.repeat,
        "openings": case.openings,
        "compensations": complaint.compensations,
        "merged_into": None if merged_into is None else public_id(complaint.origin_customer_id, merged_into),
        "calendar": complaint.calendar,
        "source": complaint.source,
        "source_id": complaint.source_id,
        "opened_at": complaint.opened_at,
        "created_at": complaint.created_at,
        "updated_at": complaint.updated_at,
    }


def shown(complaint: Complaint, now: datetime) -> ComplaintOut:
    """A complaint on the wire."""
    return ComplaintOut(**members(complaint, now))


def done_members(done: Done, link: str | None, now: datetime) -> dict[str, Any]:
    """The members of ComplaintDone."""
    health = None if done.health is None else json.loads(done.health)
    return members(done.complaint, now) | {"health": health, "status_link": link}


def line_shown(line: Line) -> LineOut:
    """A line of the log on the wire."""
    step = line.step
    return LineOut.model_validate(
        {
            "seq": line.seq,
            "what": step.what,
            "at": step.at,
            "written_at": line.written_at,
            "written_by": step.by,
            "state": step.state,
            "version": step.version,
            "reason": step.reason,
            "visible_to_customer": step.visible,
            "text": step.text,
            "details": dict(step.details),
            "touchpoint_id": step.touchpoint_id,
        }
    )


def etag(complaint: Complaint, now: datetime) -> str:
    """Strong: the version, the writes of the row (a clock may speak in between), and what time opens and shuts."""
    return f'"{complaint.case.version}-{complaint.revision}-{len(allowed(complaint.case, now))}"'


def booked(answered: Answered | None) -> BookedOut | None:
    """The adjustment on the wire."""
    if answered is None:
        return None
    one = answered.adjustment
    return BookedOut.model_validate(
        {"id": opaque_id("adjustment", one.customer_id, one.id), "state": one.state, "points": one.points}
    )
