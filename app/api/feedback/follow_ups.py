"""GET and PATCH of follow-ups: the closed loop."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Path, Query, Response

from app.api.bodies import JSON, MERGE_PATCH, body
from app.api.deps import Now, Reader, Tx, requires
from app.api.feedback.answers import IfMatch, etag, names
from app.api.feedback.shapes import (
    FOLLOW_UP_PREFIX,
    FollowUpOut,
    FollowUpPatch,
    NamedFollowUpPatch,
    shown_follow_up,
)
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.api.references import INVALID_CURSOR, VALUE_PROBLEMS
from app.domain.customers import not_found
from app.domain.feedback.answers import gone
from app.domain.feedback.follow_ups import OUTCOMES, State
from app.domain.identifiers import Reference, parse_reference
from app.domain.ids import parse_opaque_id
from app.domain.keys import Caller
from app.domain.problems import Conflict, Fault, Invalid, Stale, refused
from app.storage import follow_ups
from app.storage.database import driver
from app.storage.follow_ups import FollowUpRow, Narrow, Place
from app.usecases.feedback.change_follow_up import FollowUpChange, change_follow_up, follow_up_not_found
from app.usecases.feedback.find_answer import find_recipient

router = APIRouter(prefix="/v1/follow-ups", tags=["feedback"])

_BY_PLACE: Final[Cursor[tuple[Moment, UUID, UUID]]] = Cursor(tuple[Moment, UUID, UUID])


def _stale() -> Stale:
    return Stale(
        "stale",
        "The follow-up was changed since; read it again and decide anew.",
        errors=[Fault("#/header/if-match", "stale", "The follow-up has another version by now.")],
    )


def _outcome_required() -> Invalid:
    return refused("#/outcome", "outcome_required", f"closing needs one of {', '.join(OUTCOMES)}")


_CHANGE_PROBLEMS: Final = (
    follow_up_not_found(),
    not_found(),
    gone(),
    Conflict("version_conflict", "The follow-up was changed since it was read.", version=2),
    Conflict("follow_up_closed", "A closed follow-up stays closed.", version=3),
    _stale(),
    _outcome_required(),
)
_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "assign": {"owner": "ben", "expected_version": 1},
    "close": {"state": "closed", "outcome": "recovered", "note": "Called; sent a replacement."},
}
_ID: Final = "fu_" + "0" * 43

FollowUpId = Annotated[str, Path(description="`id` of a follow-up.", examples=[_ID])]


def _ids(public_id: str) -> tuple[UUID, UUID]:
    ids = parse_opaque_id(FOLLOW_UP_PREFIX, public_id)
    if ids is None:
        raise follow_up_not_found()
    return ids


def _unchanged_since(if_match: str | None) -> Callable[[FollowUpRow], None]:
    def check(row: FollowUpRow) -> None:
        if not names(if_match, row.one.version):
            raise _stale()

    return check


@router.get("", responses=problems(*VALUE_PROBLEMS, INVALID_CURSOR, not_found(), gone()))
async def list_follow_ups(
    _caller: Annotated[Caller, requires("feedback:read")],
    page: Paging,
    reader: Reader,
    now: Now,
    state: Annotated[State | None, Query(description="Without it: all that is not closed.")] = None,
    owner: Annotated[str | None, Query(max_length=200)] = None,
    overdue: Annotated[bool, Query(description="Only what nobody closed in time.")] = False,  # noqa: FBT002 - a query
    customer: Annotated[
        str | None, Query(description="Whose: a UUID or `type:value`.", examples=["external_id:42"])
    ] = None,
) -> Page[FollowUpOut]:
    """Whom to call, what is due first comes first."""
    connection = await driver(reader)
    named: Reference | None = None if customer is None else parse_reference(customer, "#/query/customer")
    customer_id = None if named is None else await find_recipient(connection, named)
    after = page.after(_BY_PLACE)
    found = await follow_ups.due_first(
        connection,
        page.fetch,
        Narrow(state, owner, customer_id, now if overdue else None),
        None if after is None else Place(*after),
    )
    return page.answer(
        found,
        lambda row: shown_follow_up(row, now),
        _BY_PLACE,
        lambda row: (row.one.due_at, row.customer_id, row.id),
    )


@router.get("/{id}", responses=problems(follow_up_not_found(), not_found(), gone()))
async def get_follow_up(
    _caller: Annotated[Caller, requires("feedback:read")],
    id: FollowUpId,  # noqa: A002 - the wire's own name
    reader: Reader,
    now: Now,
    response: Response,
) -> FollowUpOut:
    """One follow-up."""
    connection = await driver(reader)
    customer_id, own_id = _ids(id)
    survivor = await find_recipient(connection, Reference(customer_id, ()))
    row = await follow_ups.get(connection, survivor, own_id)
    if row is None:
        raise follow_up_not_found()
    response.headers["ETag"] = etag(row.one.version)
    return shown_follow_up(row, now)


@router.patch("", responses=problems(*_CHANGE_PROBLEMS))
async def patch_named_follow_up(
    _caller: Annotated[Caller, requires("feedback:write")],
    sent: Annotated[
        NamedFollowUpPatch,
        body(
            NamedFollowUpPatch,
            examples={name: {"id": _ID} | example for name, example in _EXAMPLES.items()},
            media_types=(JSON, MERGE_PATCH),
        ),
    ],
    tx: Tx,
    now: Now,
    response: Response,
    if_match: IfMatch = None,
) -> FollowUpOut:
    """Give a follow-up an owner, or close it, with its id in the body."""
    row = await _change(await driver(tx), sent.id, sent, now, if_match)
    response.headers["ETag"] = etag(row.one.version)
    return shown_follow_up(row, now)


@router.patch("/{id}", responses=problems(*_CHANGE_PROBLEMS))
async def patch_follow_up(
    _caller: Annotated[Caller, requires("feedback:write")],
    id: FollowUpId,  # noqa: A002 - the wire's own name
    sent: Annotated[FollowUpPatch, body(FollowUpPatch, examples=_EXAMPLES, media_types=(JSON, MERGE_PATCH))],
    tx: Tx,
    now: Now,
    response: Response,
    if_match: IfMatch = None,
) -> FollowUpOut:
    """Give a follow-up an owner, or close it with what came of it."""
    row = await _change(await driver(tx), id, sent, now, if_match)
    response.headers["ETag"] = etag(row.one.version)
    return shown_follow_up(row, now)


async def _change(
    connection: asyncpg.Connection, public_id: str, sent: FollowUpPatch, now: datetime, if_match: str | None
) -> FollowUpRow:
    if sent.state == "closed" and sent.outcome is None:
        raise _outcome_required()
    wanted = FollowUpChange(
        assigns="owner" in sent.model_fields_set,
        owner=sent.owner,
        outcome=sent.outcome,
        note=sent.note,
        ask_again_after_days=sent.ask_again_after_days,
        expected_version=sent.expected_version,
    )
    return await change_follow_up(connection, *_ids(public_id), wanted, now, check=_unchanged_since(if_match))
