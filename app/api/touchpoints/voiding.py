"""DELETE /v1/touchpoints/{id}: taking back what should not have been written."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import Config, Now, Programs, Scoring, Tx, requires
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
from app.usecases.loyalty.earn import earning_at
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
    remembered: Programs,
    config: Config,
    now: Now,
    source: SourceQuery = None,
    reason: Annotated[str | None, Query(max_length=2000, description="Why; kept with the marker.")] = None,
) -> VoidOut:
    """Take a touchpoint back: health becomes what it would be without it, exactly, and a purchase loses its points.

    The log keeps the row with a marker. Its id stays taken: posting it again is a duplicate and does not bring it
    back; to correct a touchpoint, void it and post the right one under another id. Voiding again changes nothing.
    """
    reference = parse_reference(customer, "#/query/customer")
    voided = await void_touchpoint(
        await driver(tx),
        reference,
        id,
        source,
        by=caller.source,
        reason=reason,
        model=model,
        now=now,
        earning=earning_at(remembered.current, config.shop_currency, now),
    )
    return shown(voided)
