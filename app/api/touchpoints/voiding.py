"""DELETE /v1/touchpoints/{id}: taking back what should not have been written."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import Config, Now, Scoring, Tx, requires
from app.api.openapi import problems
from app.api.references import NAMED_PROBLEMS
from app.api.touchpoints.reading import CustomerQuery, SourceQuery, TouchpointId
from app.api.touchpoints.shapes import HealthChange, VoidOut
from app.domain.identifiers import parse_reference
from app.domain.keys import Caller
from app.domain.kinds import reserved_kind
from app.domain.touchpoints import touchpoint_not_found
from app.storage.database import driver
from app.usecases.loyalty.change_account import busy
from app.usecases.record_audit import record_audit
from app.usecases.void_touchpoint import Voided, void_touchpoint

router = APIRouter(tags=["touchpoints"])


def shown(voided: Voided) -> VoidOut:
    """A void on the wire."""
    row, void = voided
    return VoidOut(
        id=row.id,
        customer_id=str(row.customer_id),
        kind=row.kind,
        source=row.source,
        voided_at=void.at,
        voided_by=void.by,
        reason=void.reason,
        health=HealthChange(**void.outcome),
    )


@router.delete(
    "/v1/touchpoints/{id}",
    responses=problems(*NAMED_PROBLEMS, touchpoint_not_found(), reserved_kind("#/path/id"), busy()),
)
async def void_one_touchpoint(
    caller: Annotated[Caller, requires("admin")],
    id: TouchpointId,  # noqa: A002 - the wire's own name
    customer: CustomerQuery,
    tx: Tx,
    model: Scoring,
    config: Config,
    now: Now,
    source: SourceQuery = None,
    reason: Annotated[str | None, Query(max_length=2000, description="Why; kept with the marker.")] = None,
) -> VoidOut:
    """Take a touchpoint back: health becomes what it would be without it, exactly, and what it earned goes.

    The log keeps the row with a marker. Its id stays taken: posting it again is a duplicate and does not bring it
    back; to correct a touchpoint, void it and post the right one under another id. Voiding again changes nothing.
    """
    reference = parse_reference(customer, "#/query/customer")
    connection = await driver(tx)
    voided = await void_touchpoint(
        connection,
        reference,
        id,
        source,
        by=caller.source,
        reason=reason,
        model=model,
        now=now,
        shop_currency=config.shop_currency,
    )
    if voided.void.at == now:  # else it was voided before, and this changed nothing
        # Not its id: the shop chose that, and it may name somebody. The marker of this time and customer has it.
        target = f"customer:{voided.row.customer_id}"
        told = {
            "kind": voided.row.kind,
            "source": voided.row.source,
            "delta": voided.void.outcome.get("delta"),
        }
        await record_audit(
            connection,
            caller.actor,
            "touchpoint_voided",
            target,
            {"voided_at": None},
            {**told, "voided_at": now},
            now,
        )
    return shown(voided)
