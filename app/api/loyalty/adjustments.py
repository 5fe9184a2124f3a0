"""Adjustments: points given and taken by people, each with a reason, some with a second pair of eyes."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Now, Programs, Reader, Tx, requires
from app.api.loyalty.shapes import PROGRAM_NOT_FOUND, BalanceOut, balance_members
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.api.references import INVALID_CURSOR, ONCE_PROBLEMS, REFERENCE_PROBLEMS, NamedInBody, Once
from app.domain.customers import not_found
from app.domain.feedback.complaint_records import complaint_not_found
from app.domain.identifiers import parse_body_reference
from app.domain.ids import opaque_id
from app.domain.keys import Caller
from app.domain.loyalty.approvals import LONGEST_NOTE, ReasonCode, proposal_of
from app.domain.problems import Conflict, Forbidden, refused
from app.storage.customers import LAST_ID
from app.storage.database import driver
from app.storage.loyalty import adjustments
from app.storage.loyalty.adjustments import Adjustment
from app.usecases.answer_once import Answer
from app.usecases.loyalty import adjust as adjusting
from app.usecases.loyalty.adjust import Answered
from app.usecases.loyalty.change_account import busy
from app.usecases.record_audit import record_audit

router = APIRouter(prefix="/v1/loyalty/adjustments", tags=["loyalty"])

Agent = Annotated[Caller, requires("loyalty:write")]
Id = Annotated[str, Path(max_length=80, description="The adjustment's id.")]
_BY_ID: Final[Cursor[UUID]] = Cursor(UUID)


class AdjustmentIn(BaseModel):
    """Points to give (> 0) or take (< 0)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, Field(min_length=1, max_length=200, description="Yours: the same again is done once.")]
    customer: NamedInBody
    points: Annotated[int, Field(ge=-(2**31), lt=2**31)]
    reason_code: ReasonCode
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""
    about: Annotated[
        str | None,
        Field(
            max_length=200,
            description="The complaint of a goodwill, the occasion of a surprise: once for each.",
        ),
    ] = None
    allow_debt: Annotated[bool, Field(description="Take more than there is; the next points pay it.")] = False
    expires_at: Annotated[Moment | None, Field(strict=False, description="null: never.")] = None
    program: Annotated[str | None, Field(max_length=64, description="null: the oldest open one.")] = None


class AdjustmentOut(BaseModel):
    """An adjustment: proposed while it waits for a second person, then booked or declined."""

    id: str
    proposal_id: str | None
    customer_id: UUID
    program: str
    state: Literal["proposed", "booked", "declined"]
    points: int
    reason_code: str
    note: str
    about: str | None
    expires_at: datetime | None
    actor: str
    proposed_at: datetime
    approver: str | None
    booked_at: datetime | None
    debt: Annotated[int | None, Field(description="The part that no points were there for.")]


class AdjustmentAnswer(AdjustmentOut):
    """The same, with its entry and the balance after it."""

    entry_id: str | None
    balance: BalanceOut


def _members(one: Adjustment) -> dict[str, Any]:
    said = {
        name: getattr(one, name) for name in AdjustmentOut.model_fields if name not in {"id", "customer_id"}
    }
    return {**said, "id": opaque_id("adjustment", one.customer_id, one.id), "customer_id": one.customer_id}


def _answered(done: Answered) -> AdjustmentAnswer:
    one = done.adjustment
    return AdjustmentAnswer(
        **_members(one) | {"customer_id": done.customer_id},
        entry_id=done.entry_id,
        balance=BalanceOut(**balance_members(done.balance, done.account_seq)),
    )


_BOOKING_PROBLEMS: Final = (
    busy(),
    Conflict("insufficient_points", "There are not enough points to take.", missing=20),
    Conflict("yearly_cap", "The customer has had what a year allows.", left=0, cap=10000),
    refused("#/expires_at", "already_expired", "must be in the future"),
)


@router.post(
    "",
    status_code=201,
    response_model=AdjustmentAnswer,
    responses={
        200: {"model": AdjustmentAnswer, "description": "It was sent before: as it stands now."},
        202: {"model": AdjustmentAnswer, "description": "So many points wait for a second person."},
        **problems(
            *REFERENCE_PROBLEMS,
            *ONCE_PROBLEMS,
            *_BOOKING_PROBLEMS,
            not_found(),
            PROGRAM_NOT_FOUND,
            complaint_not_found(),
            adjusting.id_reused(),
            refused("#/points", "invalid_points", "must be a whole number from 1 to 2147483647"),
            refused("#/note", "note_required", "other needs a note"),
            refused("#/about", "about_required", "name the complaint or the occasion"),
        ),
    },
)
async def post_adjustment(
    caller: Agent,
    sent: Annotated[
        AdjustmentIn,
        body(
            AdjustmentIn,
            examples={
                "a correction": {
                    "id": "ticket-17",
                    "customer": "external_id:42",
                    "points": -50,
                    "reason_code": "correction",
                    "note": "Booked twice at the till.",
                },
                "a surprise": {
                    "id": "birthday-42-2026",
                    "customer": "external_id:42",
                    "points": 100,
                    "reason_code": "surprise",
                    "about": "birthday 2026",
                },
            },
        ),
    ],
    once: Once,
    tx: Tx,
    remembered: Programs,
    now: Now,
) -> Response:
    """Give or take points, for a reason. Over the programme's limit it waits until a second person approves (202)."""
    connection = await driver(tx)
    proposal = proposal_of(
        id=sent.id,
        points=sent.points,
        reason_code=sent.reason_code,
        note=sent.note,
        actor=caller.source,
        about=sent.about,
        allow_debt=sent.allow_debt,
    )

    async def work() -> Answer:
        done = await adjusting.adjust(
            connection,
            parse_body_reference(sent.customer),
            sent.program,
            proposal,
            sent.expires_at,
            remembered.current,
            now,
        )
        booked = done.adjustment.state == "booked"
        await _audit(connection, caller, done, "points_adjusted" if booked else "adjustment_proposed", now)
        status = 200 if not done.is_new else 201 if done.adjustment.state == "booked" else 202
        return Answer(status, _answered(done).model_dump(mode="json"), {})

    return await once.answer(connection, caller, sent, now, work)


@router.get("", responses=problems(INVALID_CURSOR))
async def list_adjustments(
    _caller: Annotated[Caller, requires("loyalty:read")],
    page: Paging,
    reader: Reader,
    state: Annotated[
        Literal["proposed", "booked", "declined"], Query(description="Those that stand so.")
    ] = "proposed",
) -> Page[AdjustmentOut]:
    """Adjustments, newest first; by default those that wait for a second person."""
    found = await adjustments.newest(await driver(reader), state, page.fetch, page.after(_BY_ID) or LAST_ID)
    return page.answer(found, lambda one: AdjustmentOut(**_members(one)), _BY_ID, lambda one: one.id)


@router.post(
    "/{adjustment_id}/approve",
    responses=problems(
        adjusting.adjustment_not_found(),
        adjusting.declined(),
        Forbidden("same_person", "Nobody approves an adjustment of their own."),
        *_BOOKING_PROBLEMS,
    ),
)
async def approve_adjustment(
    caller: Agent, adjustment_id: Id, tx: Tx, remembered: Programs, now: Now
) -> AdjustmentAnswer:
    """Be the second person: the points are booked now. Nobody approves their own."""
    connection = await driver(tx)
    done = await adjusting.approve_adjustment(
        connection, adjustment_id, caller.source, remembered.current, now
    )
    await _audit(connection, caller, done, "adjustment_approved", now)
    return _answered(done)


@router.post(
    "/{adjustment_id}/decline",
    responses=problems(adjusting.adjustment_not_found(), adjusting.already_booked()),
)
async def decline_adjustment(
    caller: Agent, adjustment_id: Id, tx: Tx, remembered: Programs, now: Now
) -> AdjustmentAnswer:
    """Say no to a proposal; whoever made it may take it back."""
    connection = await driver(tx)
    done = await adjusting.decline_adjustment(
        connection, adjustment_id, caller.source, remembered.current, now
    )
    await _audit(connection, caller, done, "adjustment_declined", now)
    return _answered(done)


async def _audit(
    connection: asyncpg.Connection, caller: Caller, done: Answered, action: str, now: datetime
) -> None:
    """Without notes and what it is about: what people write freely may name somebody."""
    if not done.is_new:
        return
    one = done.adjustment
    told = {
        "adjustment": opaque_id("adjustment", one.customer_id, one.id),
        "program": one.program,
        "points": one.points,
        "reason_code": one.reason_code,
        "state": one.state,
        "proposed_by": one.actor,
    }
    target = f"customer:{done.customer_id}"
    await record_audit(connection, caller.actor, action, target, None, told, now)
