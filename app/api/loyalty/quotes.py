"""What an order would earn, and what points could buy, before anybody buys."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.bodies import body
from app.api.deps import Config, Now, Programs, Reader, requires
from app.api.loyalty.orders import OrderTerms, state_of
from app.api.loyalty.shapes import PROGRAM_NOT_FOUND
from app.api.openapi import problems
from app.api.paging import Moment
from app.api.references import REFERENCE_PROBLEMS
from app.api.touchpoints.shapes import Name
from app.domain.customers import not_found
from app.domain.identifiers import parse_body_reference
from app.domain.keys import Caller
from app.domain.loyalty.earning import Contribution
from app.domain.loyalty.explain import WORDS, told
from app.domain.loyalty.orders import Status, purchase_of
from app.domain.loyalty.rewards import Offer, Unmet
from app.storage.database import driver
from app.usecases.loyalty.quote_order import Quoted, quote_order

router = APIRouter(prefix="/v1/loyalty/quote", tags=["loyalty"])


class QuoteIn(OrderTerms):
    """An order as PUT /v1/orders takes it, paid or not."""

    order_id: Name | None = None
    status: Status = "placed"
    version: Annotated[int, Field(ge=0, lt=2**53)] = 0
    placed_at: Annotated[Moment | None, Field(strict=False, description="null: now.")] = None
    program: Annotated[str | None, Field(max_length=64, description="null: the oldest open one.")] = None


class RuleOut(BaseModel):
    """What one rule does for the order."""

    rule: str
    points: Annotated[str, Field(description="Exact, before the one floor at the end.")]
    reason: Annotated[str | None, Field(description="Why it gives nothing, or less.")]
    why: str | None
    missing_minor: Annotated[int | None, Field(description="What is missing to its smallest amount.")]


class OfferOut(BaseModel):
    """A reward for this customer now."""

    code: str
    name: str
    points: int
    unmet: Annotated[list[Unmet], Field(description="All that stands in the way.")]
    missing: Annotated[int, Field(description="Points that are missing.")]


class QuoteOut(BaseModel):
    """What the order would earn now, and the rewards. Nothing is written."""

    customer_id: UUID
    program: str
    points: int
    missing_minor: Annotated[int | None, Field(description="About what would bring one point more.")]
    reason: Annotated[str | None, Field(description="Why there would be no points.")]
    why: str | None
    tier: str
    available: int
    applied: list[RuleOut]
    not_applied: list[RuleOut]
    rewards: list[OfferOut]
    out_of_reach: list[OfferOut]


_EXAMPLE: dict[str, Any] = {
    "customer": "external_id:42",
    "currency": "EUR",
    "lines": [
        {"line_id": "1", "sku": "X1", "category": "shoes", "quantity": 1, "net_minor": 4201, "tax_minor": 798}
    ],
    "shipping_minor": 490,
    "channel": "web",
}


def _rule(one: Contribution) -> RuleOut:
    return RuleOut(**told(one))


def _offer(one: Offer) -> OfferOut:
    reward = one.reward
    return OfferOut(
        code=reward.code, name=reward.name, points=reward.points, unmet=list(one.unmet), missing=one.missing
    )


def _shown(found: Quoted) -> QuoteOut:
    quote = found.quote
    return QuoteOut(
        customer_id=found.customer_id,
        program=found.program,
        points=quote.points,
        missing_minor=quote.missing_minor,
        reason=quote.reason,
        why=None if quote.reason is None else WORDS[quote.reason],
        tier=found.tier,
        available=found.available,
        applied=[_rule(one) for one in quote.applied],
        not_applied=[_rule(one) for one in quote.not_applied],
        rewards=[_offer(one) for one in quote.rewards],
        out_of_reach=[_offer(one) for one in quote.out_of_reach],
    )


@router.post("", responses=problems(*REFERENCE_PROBLEMS, not_found(), PROGRAM_NOT_FOUND))
async def quote(
    _caller: Annotated[Caller, requires("loyalty:read")],
    sent: Annotated[QuoteIn, body(QuoteIn, examples={"an order": _EXAMPLE})],
    config: Config,
    reader: Reader,
    remembered: Programs,
    now: Now,
) -> QuoteOut:
    """What an order would earn, which rules do not apply and why, and which rewards the customer could have."""
    state = state_of(sent, sent.order_id or "", sent.version, sent.status, sent.placed_at or now)
    found = await quote_order(
        await driver(reader),
        parse_body_reference(sent.customer),
        sent.program,
        purchase_of(state, "quote"),
        config.shop_currency,
        remembered.current,
        now,
    )
    return _shown(found)
