"""Customers who turned out to be one, and parting them again."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Config, Now, Reader, Scoring, Tx, after_commit, requires
from app.api.openapi import problems
from app.api.paging import Cursor, Page, Paging
from app.api.references import (
    INVALID_CURSOR,
    NAMED_PROBLEMS,
    ONCE_PROBLEMS,
    REFERENCE_PROBLEMS,
    Named,
    NamedInBody,
    Once,
)
from app.domain.customers import erased
from app.domain.identifiers import parse_body_reference
from app.domain.keys import Caller
from app.domain.merging import (
    merge_not_found,
    merge_too_large,
    public_id,
    same_customer,
    undo_blocked,
)
from app.storage.customers import LAST_ID
from app.storage.database import driver
from app.storage.merges import Merge
from app.usecases.answer_once import Answer
from app.usecases.merges.find_merge import find_merge, merges_of
from app.usecases.merges.merge_customers import Wanted, merge_customers
from app.usecases.merges.undo_merge import undo_merge
from app.usecases.record_audit import record_audit

router = APIRouter(prefix="/v1/customers/{customer}", tags=["customers"])
by_id = APIRouter(prefix="/v1/merges/{merge_id}", tags=["customers"])

_BY_ID: Final[Cursor[UUID]] = Cursor(UUID)

# --- shapes ---------------------------------------------------------------------------------------------------------


class MergeIn(BaseModel):
    """Who becomes an alias of the customer in the path, and why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    from_: Annotated[NamedInBody, Field(alias="from")]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class MergeOut(BaseModel):
    """A merge. `moved` says how many rows of each kind went over; `undone_at` is null while it stands."""

    merge_id: str
    customer_id: UUID
    from_customer_id: UUID
    reason: str
    merged_by: str
    merged_at: datetime
    moved: dict[str, int]
    undone_by: str | None
    undone_at: datetime | None


def shown(merge: Merge) -> MergeOut:
    """A merge on the wire."""
    return MergeOut(
        merge_id=merge.public_id,
        customer_id=merge.customer_id,
        from_customer_id=merge.from_customer_id,
        reason=merge.reason,
        merged_by=merge.merged_by,
        merged_at=merge.merged_at,
        moved=merge.moved,
        undone_by=merge.undone_by,
        undone_at=merge.undone_at,
    )


_ID: Final = public_id(UUID(int=0), UUID(int=0))
_MERGED_BEFORE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": MergeOut, "description": "They were merged before; nothing has changed."}
}
_MergeId = Annotated[str, Path(description="`merge_id` of a merge.", examples=[_ID])]

# --- routes ---------------------------------------------------------------------------------------------------------


@router.post(
    "/merge",
    status_code=201,
    response_model=MergeOut,
    responses=_MERGED_BEFORE
    | problems(
        *NAMED_PROBLEMS,
        *REFERENCE_PROBLEMS,
        *ONCE_PROBLEMS,
        same_customer(),
        merge_too_large(50_000),
    ),
)
async def merge_customer(
    caller: Annotated[Caller, requires("customers:write")],
    named: Named,
    sent: Annotated[
        MergeIn,
        body(
            MergeIn,
            examples={
                "merge": {"from": "email:ada@example.com", "reason": "Same person, said so on the phone."}
            },
        ),
    ],
    once: Once,
    tx: Tx,
    now: Now,
    model: Scoring,
    settings: Config,
    request: Request,
) -> Response:
    """Merge another customer into this one: everything known of both is this one's, the other id leads here."""
    wanted = Wanted(named, parse_body_reference(sent.from_, "#/from"), sent.reason, caller.source)
    connection = await driver(tx)

    async def merge() -> Answer:
        merged = await merge_customers(
            connection,
            wanted,
            rules=settings.identifier_rules(),
            model=model,
            now=now,
            most_touchpoints=settings.most_merged_touchpoints,
        )
        if merged.is_new:
            after_commit(tx, partial(_count, request, "merged"))
            await _audit(connection, caller, merged.merge, "customers_merged", None, now)
        return Answer(201 if merged.is_new else 200, shown(merged.merge).model_dump(mode="json"), {})

    return await once.answer(connection, caller, sent, now, merge)


@router.get("/merges", responses=problems(*NAMED_PROBLEMS, INVALID_CURSOR))
async def list_merges(
    _caller: Annotated[Caller, requires("customers:read")], named: Named, page: Paging, reader: Reader
) -> Page[MergeOut]:
    """Whom this customer was merged with, newest first, undone merges included."""
    before = page.after(_BY_ID) or LAST_ID
    found = await merges_of(await driver(reader), named, page.fetch, before)
    return page.answer(found, shown, _BY_ID, lambda merge: merge.id)


@by_id.get("", responses=problems(merge_not_found()))
async def get_merge(
    _caller: Annotated[Caller, requires("customers:read")], merge_id: _MergeId, reader: Reader
) -> MergeOut:
    """One merge."""
    return shown(await find_merge(await driver(reader), merge_id))


@by_id.post(
    "/undo",
    responses=problems(merge_not_found(), erased(), undo_blocked([{"kind": "merge", "id": _ID}])),
)
async def undo_customer_merge(
    caller: Annotated[Caller, requires("customers:write")],
    merge_id: _MergeId,
    tx: Tx,
    now: Now,
    model: Scoring,
    request: Request,
) -> MergeOut:
    """Part them again: each gets back what is theirs, and what came in their name since. Again: the same answer."""
    connection = await driver(tx)
    undone = await undo_merge(connection, merge_id, by=caller.source, model=model, now=now)
    if undone.undone_at == now:  # else it was undone before
        after_commit(tx, partial(_count, request, "undone"))
        await _audit(connection, caller, undone, "merge_undone", {"undone_at": None}, now)
    return shown(undone)


def _count(request: Request, what: str) -> None:
    request.app.state.metrics.merge(what)


async def _audit(
    connection: asyncpg.Connection,
    caller: Caller,
    merge: Merge,
    action: str,
    before: dict[str, Any] | None,
    now: datetime,
) -> None:
    told = {
        "merge_id": merge.public_id,
        "from_customer_id": merge.from_customer_id,
        "moved": merge.moved,
        "undone_at": merge.undone_at,
    }
    await record_audit(connection, caller.actor, action, f"customer:{merge.customer_id}", before, told, now)
