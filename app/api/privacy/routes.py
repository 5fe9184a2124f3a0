"""A person's rights: a copy of all that is held about them, and to be forgotten."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from app.api.bodies import JSON
from app.api.deps import Guarded, Now, Store, Tx, after_commit, requires
from app.api.openapi import problems
from app.api.references import CONFLICT, NAMED_PROBLEMS, VALUE_PROBLEMS, Named
from app.domain.customers import not_found
from app.domain.ids import opaque_id
from app.domain.keys import Caller
from app.storage.database import driver
from app.storage.privacy.erasing import Receipt
from app.usecases.privacy.erase_customer import erase_customer
from app.usecases.privacy.export_customer import export_customer, find_subject
from app.usecases.privacy.forget_erased import Forgetting
from app.usecases.record_audit import record_audit

router = APIRouter(prefix="/v1/customers/{customer}", tags=["privacy"])

Mode = Literal["erase", "anonymise"]


class ReceiptOut(BaseModel):
    """What went, in numbers: nothing of the person is in it."""

    id: str
    customer_id: UUID
    mode: Mode
    erased_at: datetime
    erased_by: Annotated[str, Field(description="The source of the key.")]
    aliases: Annotated[list[UUID], Field(description="Customers who had been merged into this one.")]
    rows: Annotated[dict[str, int], Field(description="Rows that were deleted or overwritten, by table.")]
    tombstones: Annotated[
        int,
        Field(
            description="Identifiers that are refused from now on, 409 `erased`. 0 without RAPPORT_ERASURE_SECRETS: "
            "then somebody may import the person again."
        ),
    ]


def shown(receipt: Receipt) -> ReceiptOut:
    """A receipt on the wire."""
    return ReceiptOut(
        id=opaque_id("ers", receipt.customer_id, receipt.id),
        customer_id=receipt.customer_id,
        mode="erase" if receipt.mode == "erase" else "anonymise",
        erased_at=receipt.erased_at,
        erased_by=receipt.erased_by,
        aliases=receipt.aliases,
        rows=receipt.rows,
        tombstones=receipt.tombstones,
    )


@router.delete("", responses=problems(*VALUE_PROBLEMS, not_found(), CONFLICT))
async def erase_customer_for_good(
    request: Request,
    caller: Annotated[Caller, requires("admin")],
    named: Named,
    tx: Tx,
    guard: Guarded,
    now: Now,
    mode: Annotated[
        Mode,
        Query(
            description="`erase`: everything about the person goes. `anonymise`: what happened stays, without them."
        ),
    ] = "erase",
) -> ReceiptOut:
    """Erase a person for good. Doing it again, in whatever mode, is answered with the first receipt."""
    connection = await driver(tx)
    done = await erase_customer(connection, named, mode, guard=guard, by=caller.source, now=now)
    if done.is_new:
        receipt = done.receipt
        told = {
            "mode": receipt.mode,
            "aliases": receipt.aliases,
            "rows": receipt.rows,
            "tombstones": receipt.tombstones,
        }
        target = f"customer:{receipt.customer_id}"
        await record_audit(connection, caller.actor, "customer_erased", target, None, told, now)
    forgetting: Forgetting = request.app.state.forgetting
    gone = [done.receipt.customer_id, *done.receipt.aliases]
    after_commit(tx, lambda: forgetting.forget(gone))
    return shown(done.receipt)


class ExportOut(BaseModel):
    """Everything that is held about a person. `complete` comes last; a document without it broke off."""

    customer_id: UUID
    aliases: Annotated[list[UUID], Field(description="Customers who were merged into this one.")]
    exported_at: datetime
    tables: Annotated[
        dict[str, list[dict[str, Any]]], Field(description="All rows, as they are stored, by table.")
    ]
    withheld: Annotated[
        dict[str, dict[str, str]], Field(description="Columns that are left out of a table, and why.")
    ]
    left_out: Annotated[dict[str, str], Field(description="Tables that are left out whole, and why.")]
    complete: Literal[True]


_EXPORT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": ExportOut, "description": "The document, sent in pieces."}
}


@router.get("/export", response_model=None, responses=_EXPORT | problems(*NAMED_PROBLEMS))
async def export_a_customer(
    caller: Annotated[Caller, requires("admin")], named: Named, store: Store, now: Now
) -> StreamingResponse:
    """Everything that is held about a person, whoever they were merged from included: for them to have."""
    subject = await find_subject(store, named)
    # Before the first piece: who got it is known even when the rest breaks off.
    async with store.hot_transaction() as connection:
        told = {"customer_ids": subject.customer_ids}
        target = f"customer:{subject.customer_id}"
        await record_audit(connection, caller.actor, "customer_exported", target, None, told, now)
    return StreamingResponse(
        export_customer(store, subject, now),
        media_type=JSON,
        headers={"Content-Disposition": f'attachment; filename="customer-{subject.customer_id}.json"'},
    )
