"""Points that were spent, and their way back."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Now, Programs, Reader, Scoring, Tx, requires
from app.api.loyalty.redeeming import RedemptionOut, RefundDoneOut, redemption_members, refund_members
from app.api.openapi import problems
from app.api.references import ONCE_PROBLEMS, Once
from app.api.touchpoints.shapes import Name
from app.domain.customers import erased
from app.domain.keys import Caller
from app.domain.problems import Conflict, Problem, refused
from app.storage.database import driver
from app.usecases.answer_once import Answer
from app.usecases.loyalty.change_account import busy
from app.usecases.loyalty.refund_redemption import (
    read_redemption,
    redemption_not_found,
    refund_redemption,
)

router = APIRouter(prefix="/v1/loyalty/redemptions", tags=["loyalty"])

Id = Annotated[str, Path(max_length=80, description="The redemption's id.")]


class RefundIn(BaseModel):
    """Points of a redemption to give back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[Name, Field(description="Yours: the same again is done once.")]
    points: Annotated[int | None, Field(ge=-(2**63), lt=2**63, description="null: all that are left.")] = None
    reason: Annotated[str, Field(max_length=2_000, description="Why, for people; kept with the refund.")] = ""


def _more_than_spent() -> Problem:
    problem = refused("#/points", "more_than_spent", "more than the redemption has left to refund")
    problem.members["refundable"] = 40
    return problem


_REFUND_PROBLEMS: Final = (
    *ONCE_PROBLEMS,
    redemption_not_found(),
    erased(),
    busy(),
    Conflict("id_reused", "This id stands for another refund."),
    refused("#/points", "invalid_points", "must be a whole number from 1 to 2147483647"),
    _more_than_spent(),
)


@router.get("/{redemption_id}", responses=problems(redemption_not_found()))
async def get_redemption(
    _caller: Annotated[Caller, requires("loyalty:read")],
    redemption_id: Id,
    reader: Reader,
    response: Response,
) -> RedemptionOut:
    """One redemption, with its refunds and its coupon."""
    found = await read_redemption(await driver(reader), redemption_id)
    response.headers["ETag"] = f'"{found.spend.refundable}-{len(found.spend.refunds)}"'
    return RedemptionOut.model_validate(redemption_members(found))


@router.post(
    "/{redemption_id}/refund",
    status_code=201,
    response_model=RefundDoneOut,
    responses={
        200: {"model": RefundDoneOut, "description": "It was sent before: what became of it then."},
        **problems(*_REFUND_PROBLEMS),
    },
)
async def refund(
    caller: Annotated[Caller, requires("loyalty:write")],
    redemption_id: Id,
    sent: Annotated[
        RefundIn,
        body(
            RefundIn,
            examples={
                "a part": {"id": "return-5", "points": 40, "reason": "One of three came back."},
                "all": {"id": "return-6"},
            },
        ),
    ],
    once: Once,
    tx: Tx,
    remembered: Programs,
    model: Scoring,
    now: Now,
) -> Response:
    """Give points back: to the lots that paid, those that live longest first; where a lot has run out, for a grace.

    Given back whole, a redemption counts no more: its reward is in stock again and towards no limit, its line in the
    log is void. A coupon stays taken.
    """
    connection = await driver(tx)

    async def work() -> Answer:
        name = f"{caller.source}/{sent.id}"
        done = await refund_redemption(
            connection, redemption_id, name, sent.points, sent.reason, remembered.current, model, now
        )
        left = {"redemption_id": redemption_id, "refundable": done.refundable}
        return Answer(201 if done.is_new else 200, refund_members(sent.id, done.refund) | left, {})

    return await once.answer(connection, caller, sent, now, work)
