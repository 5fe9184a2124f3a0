"""A complaint as it is kept: the case, what it is about, and what each decision adds to its log and the customer's."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

from app.domain.canonical import canonical_json
from app.domain.feedback.clocks import Event
from app.domain.feedback.compensation import Compensation, grant_id
from app.domain.feedback.complaints import Case, Deed, next_due_at
from app.domain.health.facts import fact_of
from app.domain.ids import opaque_id, parse_opaque_id
from app.domain.problems import NotFound
from app.domain.silence import SOURCE
from app.domain.touchpoints import Touchpoint, fact_key, seconds

PREFIX: Final = "complaint"
KINDS_OF_NOTICE: Final[Mapping[str, str]] = MappingProxyType(
    {"warning": "complaint_warned", "breach": "complaint_breached"}
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """One complaint. `entries` and `compensations` count the rows beside it, `revision` the writes of its own.

    `origin_customer_id` is whom it was first told by: its public id is made of it and outlives a merge.
    """

    customer_id: UUID
    id: UUID
    origin_customer_id: UUID
    reference: str
    source: str
    source_id: str | None
    body_sha256: bytes
    subject: str
    text: str | None
    remedy_sought: str | None
    about: Mapping[str, str]
    calendar: str
    opened_at: datetime
    repeat: bool
    created_at: datetime
    updated_at: datetime
    case: Case
    owner: str | None = None
    entries: int = 0
    compensations: int = 0
    revision: int = 0

    @property
    def public_id(self) -> str:
        """What the API calls it."""
        return public_id(self.origin_customer_id, self.id)


class Step(NamedTuple):
    """A line of the log of a complaint. `touchpoint_id`: what tells it to the log of the customer, or was voided."""

    what: str
    at: datetime
    state: str
    version: int
    by: str
    reason: str | None = None
    visible: bool = False
    text: str | None = None
    details: Mapping[str, Any] = MappingProxyType({})
    touchpoint_id: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a decision comes to: the complaint after it, lines for its log, touchpoints, and one that is taken back.

    The last touchpoint is the one whose effect on health the caller is told.
    """

    complaint: Complaint
    steps: tuple[Step, ...]
    touchpoints: tuple[Touchpoint, ...] = ()
    voided: str | None = None
    given: "Given | None" = None


@dataclass(frozen=True, slots=True)
class Given:
    """A compensation with its number among those of the complaint; `grant_id` names it to whoever pays it out."""

    number: int
    compensation: Compensation
    note: str | None
    by: str
    at: datetime
    grant_id: str


@dataclass(frozen=True, slots=True)
class Doing:
    """What somebody does: for the line in the log."""

    what: str
    by: str
    now: datetime
    reason: str | None = None
    visible: bool = False
    text: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def public_id(origin_customer_id: UUID, own_id: UUID) -> str:
    """The public id of a complaint."""
    return opaque_id(PREFIX, origin_customer_id, own_id)


def ids_in(text: str) -> tuple[UUID, UUID]:
    """(customer, own id) of a public id. Raises NotFound `complaint_not_found`."""
    ids = parse_opaque_id(PREFIX, text)
    if ids is None:
        raise complaint_not_found()
    return ids


def complaint_not_found() -> NotFound:
    """No such complaint."""
    return NotFound("complaint_not_found", "There is no such complaint.")


def touchpoint_id(complaint: Complaint, what: str) -> str:
    """The id of what a complaint writes to its customer's log, fixed so that a retry writes the same."""
    return f"complaint:{complaint.public_id}:{what}"


def after(complaint: Complaint, deed: Deed, doing: Doing, *, csat: int | None = None) -> Change:
    """What a deed adds: a line and a touchpoint for each notice of a clock, then those of the deed itself."""
    notices = [_notice(complaint, event, doing.now) for event in deed.events]
    steps = [step for step, _ in notices]
    touchpoints = [touchpoint for _, touchpoint in notices]
    voided = None
    effect_id = None if deed.effect_id is None else touchpoint_id(complaint, deed.effect_id)
    if deed.effect == "opening_voided":
        voided = effect_id
    elif deed.effect is not None and effect_id is not None:
        properties: dict[str, Any] = {"complaint_id": complaint.public_id, "reference": complaint.reference}
        if deed.effect == "complaint_opened":
            properties["severity"] = deed.case.severity
        elif csat is not None:
            properties["csat"] = csat
        touchpoints.append(
            written(deed.effect, effect_id, _when(complaint, deed, doing), doing.now, properties)
        )
    if doing.what != "looked":
        steps.append(_own_step(deed, doing, effect_id))
    changed = replace(complaint, case=deed.case, updated_at=doing.now)
    return counted(Change(changed, tuple(steps), tuple(touchpoints), voided))


def counted(change: Change) -> Change:
    """The change with its complaint's counts brought up to date."""
    complaint = change.complaint
    grown = replace(complaint, entries=complaint.entries + len(change.steps), revision=complaint.revision + 1)
    return replace(change, complaint=grown)


def compensated(
    complaint: Complaint, compensation: Compensation, note: str | None, by: str, now: datetime
) -> Change:
    """What giving something adds: its row, a line, and a goodwill touchpoint with the same name as the grant."""
    number = complaint.compensations + 1
    granted = grant_id(complaint.public_id, number)
    said = {
        "form": compensation.form,
        "amount_minor": compensation.amount_minor,
        "currency": compensation.currency,
        "points": compensation.points,
    }
    details = {name: value for name, value in said.items() if value is not None}
    properties = {"complaint_id": complaint.public_id, "reference": complaint.reference} | details
    case = complaint.case
    step = Step(
        "compensation", now, case.state, case.version, by, text=note, details=details, touchpoint_id=granted
    )
    changed = replace(complaint, compensations=number, updated_at=now)
    return counted(
        Change(
            changed,
            (step,),
            (written("goodwill", granted, now, now, properties),),
            given=Given(number, compensation, note, by, now, granted),
        )
    )


def due_at(complaint: Complaint) -> datetime | None:
    """What the index of the workers holds."""
    return next_due_at(complaint.case)


def written(
    kind: str, name: str, occurred_at: datetime, now: datetime, properties: dict[str, Any]
) -> Touchpoint:
    """A touchpoint of the service's own."""
    said = {"kind": kind, "occurred_at": occurred_at.isoformat(), "properties": properties}
    fact = fact_of(kind, seconds(occurred_at), fact_key(SOURCE, name), properties=properties)
    return Touchpoint(
        source=SOURCE,
        id=name,
        kind=kind,
        occurred_at=occurred_at,
        received_at=now,
        body_sha256=hashlib.sha256(canonical_json(said)).digest(),
        fact=fact,
        thread=fact.thread,
        properties=properties,
    )


def _when(complaint: Complaint, deed: Deed, doing: Doing) -> datetime:
    """The receipt counts from when the customer began to wait, all else from when it was done."""
    return complaint.opened_at if doing.what == "opened" else deed.case.since


def _own_step(deed: Deed, doing: Doing, effect_id: str | None) -> Step:
    case = deed.case
    return Step(
        doing.what,
        case.since if doing.what in ("opened", "transition") else doing.now,
        case.state,
        case.version,
        doing.by,
        doing.reason,
        doing.visible,
        doing.text,
        doing.details,
        effect_id,
    )


def _notice(complaint: Complaint, event: Event, now: datetime) -> tuple[Step, Touchpoint]:
    """A clock speaks once in each life of the complaint: the number of the opening is part of the name."""
    case = complaint.case
    name = touchpoint_id(complaint, f"{event.notice}:{event.clock}:{case.openings}")
    properties = {
        "complaint_id": complaint.public_id,
        "reference": complaint.reference,
        "clock": event.clock,
        "severity": case.severity,
    }
    kind = KINDS_OF_NOTICE[event.notice]
    step = Step(
        event.notice,
        event.at,
        case.state,
        case.version,
        SOURCE,
        details={"clock": event.clock},
        touchpoint_id=name,
    )
    return step, written(kind, name, event.at, now, properties)
