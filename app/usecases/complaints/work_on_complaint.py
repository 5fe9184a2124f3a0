"""What agents do about a complaint: move it on, change it, answer the customer, give something for the failure."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from app.domain.feedback import complaints as rules
from app.domain.feedback.compensation import Compensation, check_compensable
from app.domain.feedback.complaint_records import Complaint, Doing, after, compensated, ids_in
from app.domain.feedback.complaint_states import TERMINAL
from app.domain.feedback.complaints import Deed
from app.domain.health.model import Model
from app.domain.identifiers import Reference
from app.domain.loyalty.approvals import proposal_of
from app.domain.problems import Conflict, Invalid, NotFound, refused
from app.storage import complaints
from app.storage.loyalty.programs import Rules
from app.usecases.complaints.writing import Done, LockedComplaint, Writing, lock_complaint, write
from app.usecases.loyalty.adjust import Answered, adjust, goodwill_for
from app.usecases.loyalty.remembered_programs import default_of


class Move(NamedTuple):
    """Where a complaint is to go. `merged_into` is the public id of the complaint that it repeats."""

    to: str
    expected_version: int
    reason: str | None
    visible: bool
    note: str | None
    csat: int | None
    merged_into: str | None


class Actor(NamedTuple):
    """Who does it, and when; `model` scores what it does."""

    by: str
    now: datetime
    model: Model


async def move_complaint(connection: asyncpg.Connection, public_id: str, move: Move, actor: Actor) -> Done:
    """The complaint in its new state, with what that did to the customer's health.

    Raises what `lock_complaint` and `complaints.moved` raise, and Invalid `merge_target_not_found`.
    """
    locked = await lock_complaint(connection, public_id)
    complaint = locked.complaint
    deed = rules.moved(
        complaint.case,
        move.to,
        at=actor.now,
        expected_version=move.expected_version,
        calendar=locked.calendar,
        reason=move.reason,
        merged_into=await _merge_target(connection, locked, move),
        visible_to_customer=move.visible,
    )
    details: dict[str, Any] = {"from": complaint.case.state}
    if deed.case.merged_into is not None:
        details["merged_into"] = move.merged_into
    doing = Doing(
        "transition", actor.by, actor.now, move.reason, visible=move.visible, text=move.note, details=details
    )
    change = after(complaint, deed, doing, csat=move.csat)
    return await write(connection, Writing(change, locked.customer_id), actor.model, actor.now)


async def _merge_target(connection: asyncpg.Connection, locked: LockedComplaint, move: Move) -> str | None:
    """The own id of the complaint to merge into; whether it may be named is looked at when it is needed."""
    if move.to != "merged" or move.merged_into is None:
        return None
    try:
        told_by, own_id = ids_in(move.merged_into)
    except NotFound:
        raise merge_target_not_found() from None
    target = await complaints.find(
        connection, {locked.customer_id, locked.complaint.customer_id, told_by}, own_id
    )
    same_customer = target is not None and target.customer_id in (
        locked.customer_id,
        locked.complaint.customer_id,
    )
    if target is None or not same_customer or target.id == locked.complaint.id:
        raise merge_target_not_found()
    if target.case.state in TERMINAL:
        raise merge_target_not_found()
    return str(target.id)


def merge_target_not_found() -> Invalid:
    """Nothing to merge into."""
    return refused(
        "#/merged_into", "merge_target_not_found", "must be another complaint of this customer that stands"
    )


class Patch(NamedTuple):
    """What to change: members that were not sent are missing from `said`."""

    said: dict[str, Any]
    expected_version: int | None


async def change_complaint(
    connection: asyncpg.Connection,
    public_id: str,
    patch: Patch,
    actor: Actor,
    check: Callable[[Complaint], None],
) -> Done:
    """The complaint with another severity or owner. `check` sees it under the lock and may raise Stale.

    Raises what `lock_complaint` and `complaints.reprioritised` raise.
    """
    locked = await lock_complaint(connection, public_id)
    complaint = locked.complaint
    check(complaint)
    case = complaint.case
    expected = case.version if patch.expected_version is None else patch.expected_version
    owner = patch.said.get("owner", complaint.owner)
    severity = patch.said.get("severity", case.severity)
    if severity != case.severity:
        deed = rules.reprioritised(
            case, severity, at=actor.now, expected_version=expected, calendar=locked.calendar
        )
    else:
        deed = rules.handed_over(case, expected_version=expected)
        if owner == complaint.owner:
            return Done(complaint, None)
    details = {
        name: [before, now]
        for name, before, now in (("owner", complaint.owner, owner), ("severity", case.severity, severity))
        if before != now
    }
    doing = Doing("change", actor.by, actor.now, details=details)
    change = after(replace(complaint, owner=owner), deed, doing)
    return await write(connection, Writing(change, locked.customer_id), actor.model, actor.now)


async def answer_complaint(
    connection: asyncpg.Connection, public_id: str, text: str, actor: Actor, *, visible: bool
) -> Done:
    """Say something about a complaint. What the customer may see stops the clock of the first response."""
    locked = await lock_complaint(connection, public_id)
    case = locked.complaint.case
    deed = rules.answered(case, at=actor.now, calendar=locked.calendar) if visible else Deed(case)
    doing = Doing("message", actor.by, actor.now, visible=visible, text=text)
    change = after(locked.complaint, deed, doing)
    return await write(connection, Writing(change, locked.customer_id), actor.model, actor.now)


class Compensated(NamedTuple):
    """A complaint for which something was given: the how-manieth it is, the name of the grant, and of points the
    adjustment that books them (None: no programme was ever published, so they are only written down).
    """

    done: Done
    number: int
    grant_id: str
    booked: Answered | None


async def compensate(
    connection: asyncpg.Connection,
    public_id: str,
    compensation: Compensation,
    note: str | None,
    actor: Actor,
    known: Mapping[str, Rules],
) -> Compensated:
    """Give something for a failure. Points are booked as the one goodwill of this complaint.

    Raises Conflict `not_compensable`, `already_compensated`; for points what `adjust` raises.
    """
    locked = await lock_complaint(connection, public_id)
    check_compensable(locked.complaint.case)
    change = compensated(locked.complaint, compensation, note, actor.by, actor.now)
    if change.given is None:
        raise AssertionError("a compensation without its row")
    booked = None
    if compensation.points is not None and default_of(known, actor.now) is not None:
        booked = await _book(connection, locked, change.given.grant_id, compensation.points, actor, known)
    done = await write(connection, Writing(change, locked.customer_id), actor.model, actor.now)
    return Compensated(done, change.given.number, change.given.grant_id, booked)


async def _book(
    connection: asyncpg.Connection,
    locked: LockedComplaint,
    grant_id: str,
    points: int,
    actor: Actor,
    known: Mapping[str, Rules],
) -> Answered:
    complaint = locked.complaint
    proposal = proposal_of(
        id=grant_id,
        points=points,
        reason_code="goodwill",
        note=f"Complaint {complaint.reference}",
        actor=actor.by,
        about=complaint.public_id,
    )
    given = await goodwill_for(connection, locked.customer_id, proposal, known, actor.now)
    if given is not None:
        raise already_compensated(given.points, given.state)
    reference = Reference(locked.customer_id, ())
    return await adjust(connection, reference, None, proposal, None, known, actor.now)


def already_compensated(points: int, state: str) -> Conflict:
    """A complaint has one goodwill in points; more for the same failure is an adjustment of its own."""
    return Conflict(
        "already_compensated", "Points were given for this complaint before.", points=points, state=state
    )
