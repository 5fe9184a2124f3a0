"""What holds, redemptions and rewards look like on the wire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from app.api.times import wire_time
from app.domain.ids import opaque_id
from app.domain.loyalty.account import Hold, Refunded, Spend
from app.storage.loyalty.redemptions import StoredHold, StoredSpend

State = Literal["open", "captured", "released", "expired", "moved"]


class LockOut(BaseModel):
    """Points of one lot."""

    lot: Annotated[int, Field(description="The number of the entry that made it.")]
    points: int


class HoldOut(BaseModel):
    """Points put aside for one purchase until `expires_at`."""

    hold_id: str
    customer_id: UUID
    program: str
    points: int
    state: State
    opened_at: datetime
    expires_at: datetime
    resolved_at: datetime | None
    captured: Annotated[int, Field(description="The points that were spent; the others are free again.")]
    order_id: str | None
    reward: str | None
    lots: Annotated[list[LockOut], Field(description="Which lots would pay, or did.")]


class ReleasedOut(HoldOut):
    """A hold that was given up."""

    returned: Annotated[int, Field(description="Points that can be spent again.")]
    lapsed: Annotated[int, Field(description="Points whose lot had run out meanwhile.")]


class RefundOut(BaseModel):
    """One refund: points = restored + lapsed + reinstated."""

    id: str
    points: int
    restored: Annotated[int, Field(description="Back in their lots, with the same expiry.")]
    lapsed: Annotated[int, Field(description="Their lot has run out, and so have they.")]
    reinstated: Annotated[int, Field(description="Their lot has run out; they live on until then.")]
    reinstated_until: datetime | None


class ToldRefundOut(RefundOut):
    """A refund as it is read later."""

    reason: str | None


class RefundDoneOut(RefundOut):
    """A refund with what is left of its redemption."""

    redemption_id: str
    refundable: int


class RedemptionOut(BaseModel):
    """Points that were spent."""

    redemption_id: str
    hold_id: str | None
    customer_id: UUID
    program: str
    points: int
    at: datetime
    order_id: str | None
    reward: str | None
    coupon: str | None
    failed: Annotated[str | None, Field(description="Why there is no coupon; the points are restored then.")]
    refundable: Annotated[int, Field(description="Points that no refund has given back.")]
    refunds: list[ToldRefundOut]


class CapturedOut(BaseModel):
    """A hold that was spent, and what the customer's health made of it."""

    redemption_id: str
    hold_id: str
    customer_id: UUID
    program: str
    points: int
    freed: Annotated[int, Field(description="Points of the hold that were not captured.")]
    at: datetime
    order_id: str | None
    reward: str | None
    coupon: str | None
    health: Annotated[dict[str, Any], Field(description="As a posted touchpoint's answer has it.")]


def hold_members(one: StoredHold, now: datetime) -> dict[str, Any]:
    """A hold, JSON values only."""
    hold = one.hold
    return {
        "hold_id": opaque_id("hold", one.customer_id, one.id),
        "customer_id": str(one.customer_id),
        "program": one.program,
        "points": hold.points,
        "state": one.state(now),
        "opened_at": wire_time(hold.opened_at),
        "expires_at": wire_time(hold.expires_at),
        "resolved_at": _time(hold.resolved_at),
        "captured": hold.captured,
        "order_id": hold.order_id,
        "reward": hold.reward,
        "lots": [{"lot": lot, "points": points} for lot, points in hold.locks],
    }


def captured_members(
    ids: tuple[UUID, UUID, UUID], program: str, hold: Hold, spend: Spend, coupon: str | None
) -> dict[str, Any]:
    """A captured hold, JSON values only, but for the health. `ids`: of the customer, the hold and the spend."""
    customer_id, hold_id, spend_id = ids
    return {
        "redemption_id": opaque_id("redemption", customer_id, spend_id),
        "hold_id": opaque_id("hold", customer_id, hold_id),
        "customer_id": str(customer_id),
        "program": program,
        "points": spend.points,
        "freed": hold.points - spend.points,
        "at": wire_time(spend.at),
        "order_id": spend.order_id,
        "reward": spend.reward,
        "coupon": coupon,
    }


def refund_members(name: str, done: Refunded) -> dict[str, Any]:
    """A refund under the name that its caller gave it."""
    until = done.reinstated_until
    return {
        "id": name,
        "points": done.points,
        "restored": done.restored,
        "lapsed": done.lapsed,
        "reinstated": done.reinstated,
        "reinstated_until": _time(until),
    }


def redemption_members(one: StoredSpend) -> dict[str, Any]:
    """A redemption, JSON values only."""
    spend, customer_id = one.spend, one.customer_id
    return {
        "redemption_id": opaque_id("redemption", customer_id, one.handed.id),
        "hold_id": None if one.hold is None else opaque_id("hold", customer_id, one.hold),
        "customer_id": str(customer_id),
        "program": one.program,
        "points": spend.points,
        "at": wire_time(spend.at),
        "order_id": spend.order_id,
        "reward": spend.reward,
        "coupon": one.handed.coupon,
        "failed": one.handed.failed,
        "refundable": spend.refundable,
        "refunds": _refunds(spend.refunds, one.reasons),
    }


def _refunds(refunds: Mapping[str, Refunded], reasons: Mapping[str, str]) -> list[dict[str, Any]]:
    # The name in the ledger is the caller's source, a slash and the id.
    return [
        refund_members(name.partition("/")[2], done) | {"reason": reasons.get(name)}
        for name, done in refunds.items()
    ]


def _time(at: datetime | None) -> str | None:
    return None if at is None else wire_time(at)
