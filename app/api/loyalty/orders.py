"""Whole orders: the storefront sends the full state whenever it changes, and what happened is worked out here."""

import functools
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Admitting, Config, Now, Programs, Reader, Scoring, Tx, after_commit, requires
from app.api.feedback.answers import IfMatch, etag, names
from app.api.metrics import Metrics
from app.api.openapi import problems
from app.api.paging import Cursor, Page, Paging
from app.api.references import INVALID_CURSOR, NAMED_PROBLEMS, REFERENCE_PROBLEMS, NamedInBody
from app.api.touchpoints.reading import CustomerQuery
from app.api.touchpoints.shapes import Amount, Currency, HealthChange, LoyaltyChange, Moment, Name, Rate
from app.domain.customers import not_found
from app.domain.identifiers import is_value, parse_body_reference, parse_reference
from app.domain.keys import Caller
from app.domain.loyalty.known_orders import KnownOrder
from app.domain.loyalty.orders import OrderLine, OrderState, Status
from app.domain.problems import Fault, Forbidden, Stale, refused
from app.storage.database import driver
from app.storage.loyalty import orders
from app.storage.loyalty.orders import Listed
from app.usecases.find_customer import find_customer
from app.usecases.loyalty import put_order as putting
from app.usecases.loyalty.change_account import busy
from app.usecases.loyalty.earn import earning_at
from app.usecases.loyalty.put_order import Put, Told, put_order

router = APIRouter(prefix="/v1/orders", tags=["orders"])

_MOST_LINES: Final = 500
_STRICT: Final = ConfigDict(extra="forbid", strict=True, frozen=True)
_BY_TIME: Final[Cursor[tuple[datetime, str, str]]] = Cursor(tuple[datetime, str, str])


class LineIn(BaseModel):
    """One line. Amounts are of the whole line, in minor units."""

    model_config = _STRICT

    line_id: Annotated[str, Field(min_length=1, max_length=200)]
    net_minor: Amount
    tax_minor: Amount = 0
    quantity: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    returned_quantity: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    sku: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    category: Annotated[str | None, Field(max_length=200)] = None


_EXAMPLE: Final[dict[str, Any]] = {
    "customer": {"external_id": "42", "email": "ada@example.com"},
    "status": "paid",
    "version": 1,
    "placed_at": "2026-11-20T10:15:00Z",
    "currency": "EUR",
    "lines": [
        {"line_id": "1", "sku": "X1", "category": "shoes", "quantity": 2, "net_minor": 4201, "tax_minor": 798}
    ],
    "shipping_minor": 490,
}


class OrderTerms(BaseModel):
    """Who buys what, and how it is paid."""

    model_config = _STRICT

    customer: NamedInBody
    currency: Currency
    lines: Annotated[list[LineIn], Field(max_length=_MOST_LINES)]
    shipping_minor: Amount = 0
    points_paid_minor: Annotated[Amount, Field(description="The part of the price that points paid.")] = 0
    refunded_minor: Annotated[
        Amount, Field(description="Given back in all; returned lines count where more.")
    ] = 0
    exchange_rate: Annotated[
        Rate | None, Field(description="Price of one unit of `currency` in the shop's currency.")
    ] = None
    channel: Annotated[str | None, Field(max_length=64)] = None
    changed_at: Annotated[Moment | None, Field(description="When it came to stand so; now when absent.")] = (
        None
    )
    source: Annotated[
        Name | None, Field(description="Needs an admin key; otherwise the key's own source.")
    ] = None


class OrderIn(OrderTerms):
    """The full state of an order. Send it whenever it changes, with a higher version."""

    status: Status
    version: Annotated[int, Field(ge=1, lt=2**53, description="Yours; goes up with every change.")]
    placed_at: Moment


def state_of(
    terms: OrderTerms, order_id: str, version: int, status: Status, placed_at: datetime
) -> OrderState:
    """The order as the rules know it."""
    return OrderState(
        order_id=order_id,
        version=version,
        status=status,
        placed_at=placed_at,
        currency=terms.currency,
        lines=tuple(OrderLine(**line.model_dump()) for line in terms.lines),
        shipping_minor=terms.shipping_minor,
        points_paid_minor=terms.points_paid_minor,
        refunded_minor=terms.refunded_minor,
        exchange_rate=terms.exchange_rate,
        channel=terms.channel,
    )


class LineOut(LineIn):
    """One line as it was sent."""


class OrderOut(BaseModel):
    """An order as it stands. `paid_minor` and `given_back_minor` follow from its state."""

    order_id: str
    customer_id: UUID
    source: str
    status: Status
    version: int
    placed_at: datetime
    currency: str
    lines: list[LineOut]
    shipping_minor: int
    points_paid_minor: int
    refunded_minor: int
    exchange_rate: str | None
    channel: str | None
    paid_minor: int
    given_back_minor: int
    cycle: Annotated[int, Field(description="How often it was paid: again after a cancellation.")]
    adopted: Annotated[str | None, Field(description="The purchase that was posted for it before.")]


class EffectOut(BaseModel):
    """A touchpoint that this state has written, with what it did. `id` is the touchpoint's."""

    id: str
    what: Literal["purchase", "addition", "refund", "cancellation", "repayment"]
    kind: str
    amount_minor: int
    health: HealthChange | None
    loyalty: LoyaltyChange | None


class OrderAnswer(BaseModel):
    """The order, and what its new state did; `ignored` says why it did nothing."""

    order: OrderOut
    effects: list[EffectOut]
    ignored: Literal["stale_version"] | None


OrderId = Annotated[Name, Path(examples=["A-1001"], description="Yours, unique per customer and source.")]
SourceQuery = Annotated[str | None, Query(max_length=200, description="Who sent it; your own comes first.")]


def _stale() -> Stale:
    return Stale(
        "stale",
        "The order was changed since; read it again and decide anew.",
        errors=[Fault("#/header/if-match", "stale", "The order has another ETag by now.")],
    )


def _unchanged_since(if_match: str | None) -> Callable[[KnownOrder], None]:
    def check(known: KnownOrder) -> None:
        if not names(if_match, known.revision):
            raise _stale()

    return check


def _shown(customer_id: UUID, known: KnownOrder) -> OrderOut:
    state = known.order.state
    if state is None:
        raise putting.order_not_found()
    return OrderOut(
        order_id=known.order_id,
        customer_id=customer_id,
        source=known.source,
        status=state.status,
        version=state.version,
        placed_at=state.placed_at,
        currency=state.currency,
        lines=[LineOut(**line._asdict()) for line in state.lines],
        shipping_minor=state.shipping_minor,
        points_paid_minor=state.points_paid_minor,
        refunded_minor=state.refunded_minor,
        exchange_rate=None if state.exchange_rate is None else f"{state.exchange_rate:f}",
        channel=state.channel,
        paid_minor=state.paid_minor,
        given_back_minor=state.given_back_minor,
        cycle=known.order.cycle,
        adopted=known.order.adopted,
    )


def _told(order_id: str, sent: OrderIn, caller: Caller, now: datetime) -> Told:
    if sent.source is not None and not caller.is_admin:
        raise Forbidden("scope_missing", "Writing for another source needs the scope admin.", scope="admin")
    if not is_value(order_id):
        raise _INVALID_ID
    seen = {line.line_id for line in sent.lines}
    if len(seen) < len(sent.lines):
        raise _DUPLICATE_LINE
    state = state_of(sent, order_id, sent.version, sent.status, sent.placed_at)
    return Told(
        parse_body_reference(sent.customer), sent.source or caller.source, state, sent.changed_at or now
    )


_INVALID_ID: Final = refused("#/path/order_id", "invalid_identifier", "1 to 200 characters without / ? #")
_DUPLICATE_LINE: Final = refused("#/lines", "duplicate_line", "each line_id stands for one line")
_PUT_PROBLEMS: Final = (
    *REFERENCE_PROBLEMS,
    not_found(),
    putting.id_reused(),
    busy(),
    _stale(),
    _INVALID_ID,
    _DUPLICATE_LINE,
    refused("#/placed_at", "in_the_future", "more than 5 minutes ahead of the server's clock"),
    refused("#/placed_at", "naive_time", "A time needs an offset, Z or +01:00"),
    refused("#/currency", "unknown_currency", "Not an ISO 4217 code of a circulating currency"),
    refused("#/exchange_rate", "value_too_large", "makes more of the amount than any shop has"),
)


@router.put("/{order_id}", responses=problems(*_PUT_PROBLEMS))
async def put_one_order(
    request: Request,
    caller: Annotated[Caller, requires("events:write")],
    order_id: OrderId,
    sent: Annotated[
        OrderIn,
        body(
            OrderIn,
            examples={
                "paid": _EXAMPLE,
                "half of a line came back": _EXAMPLE
                | {"version": 2, "lines": [_EXAMPLE["lines"][0] | {"returned_quantity": 1}]},
                "cancelled": _EXAMPLE | {"version": 3, "status": "cancelled"},
            },
        ),
    ],
    tx: Tx,
    remembered: Programs,
    model: Scoring,
    config: Config,
    admission: Admitting,
    now: Now,
    response: Response,
    if_match: IfMatch = None,
) -> OrderAnswer:
    """Send an order whole whenever it changes. What changed becomes touchpoints: a purchase, a partial refund, a
    cancellation, a payment anew; health and points follow.

    The same version again is answered the same and does nothing; an older one is ignored. A purchase posted for the
    same order as a touchpoint is the order's own: it counts once.
    """
    told = _told(order_id, sent, caller, now)
    earning = earning_at(remembered.current, config.shop_currency, now)
    put: Put = await put_order(
        await driver(tx), told, model, earning, admission, now, check=_unchanged_since(if_match)
    )
    response.headers["ETag"] = etag(put.known.revision)
    if put.is_new:
        after_commit(tx, functools.partial(_count, request.app.state.metrics, put.effects))
    return OrderAnswer(
        order=_shown(put.customer_id, put.known),
        effects=[EffectOut(**effect) for effect in put.effects],
        ignored=put.ignored,
    )


def _count(metrics: Metrics, effects: Sequence[dict[str, Any]]) -> None:
    for effect in effects:
        metrics.touchpoint(effect["kind"], "stored")
        if effect["loyalty"] is not None:
            metrics.points(effect["loyalty"])


@router.get("/{order_id}", responses=problems(*NAMED_PROBLEMS, putting.order_not_found()))
async def get_order(
    caller: Annotated[Caller, requires("customers:read")],
    order_id: OrderId,
    customer: CustomerQuery,
    reader: Reader,
    response: Response,
    source: SourceQuery = None,
) -> OrderOut:
    """An order as its storefront sent it last."""
    customer_id, known = await putting.find_order(
        await driver(reader), parse_reference(customer, "#/query/customer"), order_id, source, caller.source
    )
    response.headers["ETag"] = etag(known.revision)
    return _shown(customer_id, known)


@router.get("", responses=problems(*NAMED_PROBLEMS, INVALID_CURSOR))
async def list_orders(
    _caller: Annotated[Caller, requires("customers:read")],
    customer: CustomerQuery,
    page: Paging,
    reader: Reader,
) -> Page[OrderOut]:
    """The orders of a customer that were sent whole, the newest first."""
    before = page.after(_BY_TIME)
    connection = await driver(reader)
    reference = parse_reference(customer, "#/query/customer")
    customer_id = (await find_customer(connection, reference)).customer_id
    found = await orders.newest(connection, customer_id, page.fetch, before)
    return page.answer(found, lambda one: _shown(customer_id, one.known), _BY_TIME, _place)


def _place(one: Listed) -> tuple[datetime, str, str]:
    return one.created_at, one.known.order_id, one.known.source
