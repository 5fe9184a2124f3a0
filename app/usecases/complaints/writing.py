"""What a decision about a complaint writes: its row, its log, and touchpoints through the one door, all or nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from app.domain.feedback.calendars import Calendar
from app.domain.feedback.complaint_records import Change, Complaint, complaint_not_found, ids_in
from app.domain.health.model import Model
from app.domain.identifiers import Reference
from app.domain.problems import Invalid, NotFound, Problem
from app.domain.silence import SOURCE
from app.storage import calendars, complaint_log, complaints
from app.storage.recording import LostRace
from app.usecases.lock_customer import lock_customer
from app.usecases.record_touchpoints import Entry, Rerouted, record_touchpoints
from app.usecases.void_touchpoint import void_touchpoint


class LockedComplaint(NamedTuple):
    """A complaint, and the customer whose it is now: another one than its row says while a merge has not moved it."""

    complaint: Complaint
    customer_id: UUID
    calendar: Calendar


class Writing(NamedTuple):
    """A change, and into whose log its touchpoints go."""

    change: Change
    customer_id: UUID


class Done(NamedTuple):
    """The complaint as it stands now; `health` is the JSON of what it did to the score, None when it did nothing."""

    complaint: Complaint
    health: str | None


async def lock_complaint(connection: asyncpg.Connection, public_id: str) -> LockedComplaint:
    """The complaint with this id, its customer locked until the caller's transaction ends.

    Raises NotFound `complaint_not_found`, Conflict `erased`.
    """
    told_by, own_id = ids_in(public_id)
    try:
        locked = await lock_customer(connection, Reference(told_by, ()))
    except NotFound:
        raise complaint_not_found() from None
    complaint = await complaints.find(connection, {locked.customer_id, told_by}, own_id)
    if complaint is None:
        raise complaint_not_found()
    calendar = await calendar_named(connection, complaint.calendar)
    return LockedComplaint(complaint, locked.customer_id, calendar)


async def calendar_named(connection: asyncpg.Connection, code: str) -> Calendar:
    """What the clocks of a complaint count by. Raises Invalid `unknown_calendar`."""
    found = (await calendars.by_code(connection, [code])).get(code)
    if found is None:
        raise unknown_calendar()
    return found


def unknown_calendar() -> Invalid:
    """No calendar has this code."""
    return Invalid("unknown_calendar", "There is no calendar with this code; GET /v1/calendars lists them.")


async def write(connection: asyncpg.Connection, writing: Writing, model: Model, now: datetime) -> Done:
    """Make one change true."""
    change = writing.change
    healths = await write_all(connection, [writing], model, now)
    if change.given is not None:
        await complaint_log.add_compensation(connection, change.complaint, change.given)
    if change.voided is None:
        return Done(change.complaint, healths[-1] if healths else None)
    taken_back = await void_touchpoint(
        connection,
        Reference(writing.customer_id, ()),
        change.voided,
        SOURCE,
        by=change.steps[-1].by,
        reason="merged into another complaint",
        model=model,
        now=now,
    )
    return Done(change.complaint, to_json(taken_back.void.outcome).decode())


async def write_all(
    connection: asyncpg.Connection, writings: Sequence[Writing], model: Model, now: datetime
) -> list[str]:
    """Make changes true that take nothing back; the outcomes of their touchpoints in order. Five statements at most."""
    entries = [
        Entry(customer_id, touchpoint.of(change.complaint.origin_customer_id))
        for change, customer_id in writings
        for touchpoint in change.touchpoints
    ]
    outcomes = await record_touchpoints(connection, entries, model) if entries else []
    healths = []
    for outcome in outcomes:
        if isinstance(outcome, Problem):
            raise outcome
        if isinstance(outcome, Rerouted):
            raise LostRace
        healths.append(outcome.stored.outcome)
    changes = [change for change, _ in writings]
    fresh = [change.complaint for change in changes if change.complaint.revision == 1]
    for complaint in fresh:
        await complaints.insert(connection, complaint)
    known = [change.complaint for change in changes if change.complaint.revision > 1]
    if known:
        await complaints.save(connection, known)
    logged = [change for change in changes if change.steps]
    if logged and not await complaint_log.add_steps(connection, logged, now):
        raise LostRace
    return healths
