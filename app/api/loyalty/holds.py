"""Spending in two steps: points are put aside with a time limit, then captured or released.

A checkout waits for both, so they take the short way (lean.py) and a bare connection.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from app.api import problems as wire
from app.api.bodies import body
from app.api.deps import Now, Programs, Spending, Store, requires
from app.api.lean import LeanResponse, LeanRoute
from app.api.loyalty.redeeming import CapturedOut, HoldOut, ReleasedOut, captured_members, hold_members
from app.api.loyalty.shapes import PROGRAM_NOT_FOUND
from app.api.openapi import problems
from app.api.references import ONCE_PROBLEMS, REFERENCE_PROBLEMS, NamedInBody, Once
from app.api.touchpoints.shapes import Name
from app.domain.customers import erased, not_found
from app.domain.identifiers import parse_body_reference
from app.domain.keys import Caller
from app.domain.loyalty.rewards import REFUSALS
from app.domain.loyalty.spending import LONGEST_TTL_SECONDS
from app.domain.problems import Conflict, Problem, refused
from app.usecases.answer_once import Answer
from app.usecases.loyalty.capture_hold import whole_reward
from app.usecases.loyalty.change_account import busy
from app.usecases.loyalty.hold_points import (
    Asked,
    hold_not_found,
    hold_points,
    id_reused,
    read_hold,
    release,
)
from app.usecases.loyalty.keep_rewards import reward_not_found

router = APIRouter(prefix="/v1/loyalty/holds", tags=["loyalty"], route_class=LeanRoute)

Spender = Annotated[Caller, requires("loyalty:write")]
_STRICT: Final = ConfigDict(extra="forbid", strict=True)


class HoldIn(BaseModel):
    """Points to put aside: so many, or what a reward costs."""

    model_config = _STRICT

    id: Annotated[
        Name, Field(description="Yours, for ever unique for the customer: the same again is one hold.")
    ]
    customer: NamedInBody
    points: Annotated[int | None, Field(ge=-(2**63), lt=2**63)] = None
    reward: Annotated[str | None, Field(min_length=1, max_length=64, description="Its code.")] = None
    order_id: Name | None = None
    ttl_seconds: Annotated[
        int | None,
        Field(
            ge=1, le=LONGEST_TTL_SECONDS, description="null: as the programme has it, 15 minutes as a rule."
        ),
    ] = None
    program: Annotated[str | None, Field(max_length=64, description="null: the oldest open one.")] = None


class CaptureIn(BaseModel):
    """How much of a hold to spend."""

    model_config = _STRICT

    points: Annotated[
        int | None, Field(ge=-(2**63), lt=2**63, description="null: all; what is left of the hold is freed.")
    ] = None


def _unmet(code: str, detail: str) -> Conflict:
    return Conflict(code, detail, unmet=["tier", "points"], missing=20)


_HOLD_PROBLEMS: Final = (
    *REFERENCE_PROBLEMS,
    *ONCE_PROBLEMS,
    not_found(),
    PROGRAM_NOT_FOUND,
    reward_not_found(),
    busy(),
    id_reused("captured"),
    *(_unmet(*said) for word, said in REFUSALS.items() if word != "points"),
    Conflict("insufficient_points", "There are not enough points.", missing=20),
    refused("#/points", "invalid_points", "must be a whole number from 1 to 2147483647"),
    refused("#/points", "points_or_reward", "name points or a reward, and not both"),
)
_EXPIRED: Final = Conflict("hold_expired", "The hold is no longer open.", state="expired")
_CAPTURE_PROBLEMS: Final = (
    hold_not_found(),
    erased(),
    busy(),
    _EXPIRED,
    Conflict("hold_released", "The hold is no longer open.", state="released"),
    Conflict("already_captured", "The hold was captured with other points.", points=40),
    Conflict(*REFUSALS["out_of_stock"], released=100),
    Conflict("coupon_failed", "No coupon could be issued; the points are restored.", restored=100),
    refused("#/points", "invalid_points", "must be a whole number from 1 to 2147483647"),
    refused("#/points", "more_than_held", "the hold has 100 points"),
    whole_reward(100),
)


@router.post(
    "",
    status_code=201,
    response_model=HoldOut,
    responses={
        200: {"model": HoldOut, "description": "It was sent before: the hold as it stands now."},
        **problems(*_HOLD_PROBLEMS),
    },
)
async def post_hold(
    caller: Spender,
    sent: Annotated[
        HoldIn,
        body(
            HoldIn,
            examples={
                "points": {
                    "id": "checkout-77",
                    "customer": "external_id:42",
                    "points": 100,
                    "ttl_seconds": 900,
                    "order_id": "A-1001",
                },
                "a reward": {"id": "checkout-78", "customer": "external_id:42", "reward": "mug"},
            },
        ),
    ],
    once: Once,
    store: Store,
    spending: Spending,
    remembered: Programs,
    now: Now,
) -> Response:
    """Put points aside, for a purchase or a reward. Nobody else can spend them until `expires_at`."""
    if (sent.points is None) == (sent.reward is None):
        raise refused("#/points", "points_or_reward", "name points or a reward, and not both")
    asked = Asked(
        caller.source,
        sent.id,
        parse_body_reference(sent.customer),
        sent.program,
        sent.points,
        sent.reward,
        sent.order_id,
        sent.ttl_seconds,
    )
    if once.key is None:
        stored, is_new, _ = await spending.hold(asked, now)
        return LeanResponse(to_json(hold_members(stored, now)), 201 if is_new else 200)
    async with store.hot_transaction() as connection:

        async def work() -> Answer:
            stored, is_new, _ = await hold_points(connection, asked, remembered.current, now)
            return Answer(201 if is_new else 200, hold_members(stored, now), {})

        return await once.answer(connection, caller, sent, now, work)


@router.get("/{hold_id}", response_model=HoldOut, responses=problems(hold_not_found()))
async def get_hold(
    _caller: Annotated[Caller, requires("loyalty:read")], hold_id: str, store: Store, now: Now
) -> Response:
    """One hold."""
    async with store.hot_reading() as connection:
        found = await read_hold(connection, hold_id)
    tag = f'"{found.state(now)}"'.encode()
    return LeanResponse(to_json(hold_members(found, now)), headers=((b"etag", tag),))


@router.post("/{hold_id}/capture", response_model=CapturedOut, responses=problems(*_CAPTURE_PROBLEMS))
async def capture_hold(
    _caller: Spender,
    hold_id: str,
    sent: Annotated[
        CaptureIn, body(CaptureIn, examples={"all": {}, "a part": {"points": 40}}, optional=True)
    ],
    spending: Spending,
    now: Now,
) -> Response:
    """Spend a hold, all of it or a part. Once: again it answers the same. Of the last item one capture wins."""
    done = await spending.capture(hold_id, sent.points, now)
    if isinstance(done, Problem):
        # It changed something (the hold is freed), so it was committed and not raised.
        return wire.respond(done)
    ids = (done.customer_id, done.hold_id, done.id)
    members = to_json(captured_members(ids, done.program, done.hold, done.spend, done.coupon))
    return LeanResponse(members[:-1] + b',"health":' + done.health.encode() + b"}")


@router.post(
    "/{hold_id}/release",
    response_model=ReleasedOut,
    responses=problems(
        hold_not_found(), erased(), busy(), Conflict("hold_captured", "The hold was captured.", points=100)
    ),
)
async def release_hold(
    _caller: Spender, hold_id: str, store: Store, remembered: Programs, now: Now
) -> Response:
    """Give a hold up: its points can be spent again at once. A hold that ran out is as good as released."""
    async with store.hot_transaction() as connection:
        stored, done = await release(connection, hold_id, remembered.current, now)
    members = hold_members(stored, now) | {"returned": done.returned, "lapsed": done.lapsed}
    return LeanResponse(to_json(members))
