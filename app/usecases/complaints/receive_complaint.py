"""Somebody complains: a row of its own, a reference to quote, clocks that run, and a touchpoint that says so."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from app.domain.admission import OPEN, Admission
from app.domain.feedback.complaint_records import Change, Complaint, Doing, after, touchpoint_id
from app.domain.feedback.complaints import STANDARD, Opening, from_contact, is_repeat, received
from app.domain.feedback.references import RANDOM_BYTES, reference_of
from app.domain.health.model import Model
from app.domain.identifiers import Reference
from app.domain.ids import uuid7
from app.domain.problems import Conflict, NotFound, Unavailable
from app.domain.silence import SOURCE
from app.storage import complaints, timeline
from app.storage.database import RETRY_AFTER_SECONDS
from app.storage.states import StateRow
from app.usecases.complaints.writing import Done, Writing, calendar_named, write
from app.usecases.lock_customer import lock_or_create_customer

_CONTACTS: Final = ("support_contact", "support_resolved")
_REFERENCE_ATTEMPTS: Final = 5


class Told(NamedTuple):
    """What somebody tells. `contact` is the id of the support contact that turned out to be a complaint."""

    customer: Reference
    subject: str
    text: str | None
    severity: str | None
    remedy_sought: str | None
    about: Mapping[str, str]
    source: str
    source_id: str | None
    contact: str | None
    calendar: str
    body_sha256: bytes


class Received(NamedTuple):
    """The complaint; `is_new` is False for one that was told before, with what was answered about health then."""

    done: Done
    is_new: bool


async def receive_complaint(
    connection: asyncpg.Connection, told: Told, model: Model, now: datetime, admission: Admission = OPEN
) -> Received:
    """The complaint under this natural key, now or before.

    Raises what stands against the customer; NotFound `contact_not_found`; Conflict `id_reused`; Invalid
    `unknown_severity` or `unknown_calendar`.
    """
    locked = await lock_or_create_customer(connection, told.customer, now, admission)
    opening = await _opening(connection, told, locked, now)
    if opening.source_id is not None:
        known = await complaints.known(
            connection, locked.customer_id, told.source, opening.source_id, locked.origin
        )
        if known is not None:
            return await _again(connection, told, known, locked)
    change = await _opened(connection, told, opening, locked, now)
    return Received(await write(connection, Writing(change, locked.customer_id), model, now), is_new=True)


class _Opening(NamedTuple):
    source_id: str | None
    severity: str
    at: datetime


async def _opening(connection: asyncpg.Connection, told: Told, locked: StateRow, now: datetime) -> _Opening:
    if told.contact is None:
        return _Opening(told.source_id, told.severity or "medium", now)
    row = await timeline.find(connection, locked.customer_id, told.contact, None, told.source, locked.origin)
    if row is None or row.kind not in _CONTACTS or row.void is not None:
        raise contact_not_found()
    opening: Opening = from_contact(row.id, min(row.occurred_at, now), told.severity)
    return _Opening(*opening)


def contact_not_found() -> NotFound:
    """No such touchpoint, or it is no support contact."""
    return NotFound("contact_not_found", "This customer has no support contact with this id.")


def id_reused() -> Conflict:
    """The natural key is taken by another complaint."""
    return Conflict("id_reused", "This source_id, or this contact, was used before with another body.")


async def _again(connection: asyncpg.Connection, told: Told, known: Complaint, locked: StateRow) -> Received:
    if known.body_sha256 != told.body_sha256:
        raise id_reused()
    row = await timeline.find(
        connection, locked.customer_id, touchpoint_id(known, "opened:1"), SOURCE, SOURCE
    )
    health = None if row is None else json.dumps(row.outcome)
    return Received(Done(known, health), is_new=False)


async def _opened(
    connection: asyncpg.Connection, told: Told, opening: _Opening, locked: StateRow, now: datetime
) -> Change:
    calendar = await calendar_named(connection, told.calendar)
    deed = received(opening.severity, opening.at, calendar)
    earlier = await complaints.openings_between(
        connection, locked.customer_id, opening.at - STANDARD.repeat_within, opening.at
    )
    own_id = uuid7(int(now.timestamp() * 1000))
    for _ in range(_REFERENCE_ATTEMPTS):
        complaint = Complaint(
            customer_id=locked.customer_id,
            id=own_id,
            origin_customer_id=locked.origin,
            reference=reference_of(os.urandom(RANDOM_BYTES)),
            source=told.source,
            source_id=opening.source_id,
            body_sha256=told.body_sha256,
            subject=told.subject,
            text=told.text,
            remedy_sought=told.remedy_sought,
            about=told.about,
            calendar=told.calendar,
            opened_at=opening.at,
            repeat=is_repeat(opening.at, earlier),
            created_at=now,
            updated_at=now,
            case=deed.case,
        )
        if await complaints.claim_reference(connection, complaint):
            return after(complaint, deed, Doing("opened", told.source, now, visible=True))
    raise Unavailable(
        "busy", "No free reference was found. Try again shortly.", retry_after_seconds=RETRY_AFTER_SECONDS
    )
