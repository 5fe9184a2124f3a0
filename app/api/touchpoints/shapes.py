"""What touchpoints look like on the wire."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.domain.money import EXPONENTS, LARGEST_MINOR

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?P<offset>[Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_RATE = re.compile(r"\d{1,9}(?:\.\d{1,12})?", re.ASCII)


def _moment(value: object) -> datetime:
    """An RFC 3339 time in UTC, to the microsecond; digits beyond are cut off."""
    matched = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if matched is None or not isinstance(value, str):
        raise PydanticCustomError(
            "invalid_time", "Times are RFC 3339 with an offset, like 2026-11-20T10:15:00Z"
        )
    if matched["offset"] is None:
        raise PydanticCustomError("naive_time", "A time needs an offset, Z or +01:00")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("invalid_time", "There is no such day or time") from None


def _currency(value: object) -> str:
    if not isinstance(value, str) or value not in EXPONENTS:
        raise PydanticCustomError("unknown_currency", "Not an ISO 4217 code of a circulating currency")
    return value


def _rate(value: object) -> Decimal:
    if not isinstance(value, str) or _RATE.fullmatch(value) is None or not (rate := Decimal(value)):
        raise PydanticCustomError(
            "invalid_rate", "An exchange rate is a positive decimal string, like 0.9135"
        )
    return rate


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "example": "2026-11-20T10:15:00Z"}),
]
Currency = Annotated[
    str,
    BeforeValidator(_currency),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$", "example": "EUR"}),
]
Rate = Annotated[
    Decimal,
    BeforeValidator(_rate),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,9}(\.\d{1,12})?$", "example": "0.9135"}),
]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern="^[^/?#\\x00-\\x1f]+$")]
Amount = Annotated[int, Field(ge=0, le=LARGEST_MINOR, description="Whole minor units: 4999 is 49.99 EUR.")]

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)


class Item(BaseModel):
    """One line of a purchase."""

    model_config = _STRICT

    sku: Annotated[str, Field(min_length=1, max_length=200)]
    name: Annotated[str, Field(max_length=500)] | None = None
    quantity: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    amount_minor: Amount | None = None
    category: Annotated[str, Field(max_length=200)] | None = None


EXAMPLE: Final[dict[str, Any]] = {
    "id": "evt-1001",
    "customer": {"external_id": "42", "email": "ada@example.com"},
    "kind": "purchase",
    "occurred_at": "2026-11-20T10:15:00Z",
    "channel": "web",
    "amount_minor": 4999,
    "currency": "EUR",
    "order_id": "A-1001",
    "items": [{"sku": "X1", "quantity": 2, "amount_minor": 4999, "category": "shoes"}],
    "description": "Order A-1001, 2 items",
    "properties": {},
}


class TouchpointIn(BaseModel):
    """One thing that happened to a customer."""

    model_config = _STRICT

    customer: Annotated[
        str | dict[str, str],
        Field(
            description="A UUID, `type:value`, or an object of identifiers: any that matches finds the customer."
        ),
    ]
    kind: Annotated[str, Field(max_length=64, description="GET /v1/touchpoint-kinds lists them.")]
    id: Annotated[
        Name | None, Field(description="Yours, unique per customer and source: it makes retries safe.")
    ] = None
    occurred_at: Annotated[Moment | None, Field(description="When it happened; now when absent.")] = None
    channel: Annotated[str, Field(max_length=64)] | None = None
    amount_minor: Amount | None = None
    currency: Currency | None = None
    exchange_rate: Annotated[
        Rate | None, Field(description="Price of one unit of `currency` in the shop's currency.")
    ] = None
    order_id: Annotated[
        Name | None,
        Field(
            description="Ties refunds and cancellations to their purchase; of other kinds it is kept and shown, except "
            "of complaints, which are tied by their `complaint_id`: name the order in their `properties`."
        ),
    ] = None
    items: Annotated[list[Item], Field(max_length=500)] | None = None
    description: Annotated[str, Field(max_length=2000)] | None = None
    properties: Annotated[
        dict[str, Any] | None,
        Field(description="What the kind needs, and anything else; at most 16 levels deep."),
    ] = None
    source: Annotated[
        Name | None, Field(description="Needs an admin key; otherwise the key's own source.")
    ] = None


class HealthChange(BaseModel):
    """What a touchpoint did to the customer's health, as of its arrival."""

    score: int | None = Field(description="0 to 100, null without any evidence.")
    band: str
    before: int | None = Field(description="The score just before; null on the first evidence.")
    delta: int = Field(description="score - before, or score - 50 on the first evidence.")
    band_changed: bool
    reasons: list[str]
    model: str


class LoyaltyChange(BaseModel):
    """What a touchpoint did to the customer's points, and what they have after it."""

    points_earned: int
    points_clawed: int = Field(description="Taken back of what its order had earned, debts included.")
    available: int = Field(description="What can be spent, less the debt: it may be negative.")
    pending: int
    tier: str | None


class TouchpointOut(BaseModel):
    """The answer to a post."""

    id: str
    customer_id: str
    kind: str
    occurred_at: datetime
    received_at: datetime
    source: str
    duplicate: bool = Field(
        description="The same id and body had been stored before; nothing was stored now."
    )
    pending_match: bool = Field(
        description="Stored, and counts once the order or complaint it names is known."
    )
    without_value: bool = Field(
        description="Its money counts nothing: it is in another currency, and no `exchange_rate` came with it."
    )
    health: HealthChange | None
    loyalty: LoyaltyChange | None = Field(
        description="null without a published programme, and for what is not about money."
    )


class PublishableOut(BaseModel):
    """All that a publishable key is told."""

    id: str
    duplicate: bool


class BatchIn(BaseModel):
    """Up to 2,500 touchpoints; each is taken or refused on its own."""

    touchpoints: Annotated[list[TouchpointIn], Field(max_length=2500)]


class BatchResult(BaseModel):
    """What became of one item."""

    index: int
    id: str | None
    status: str = Field(description="stored, duplicate or rejected.")
    problem: dict[str, Any] | None = None


class BatchOut(BaseModel):
    """What became of a batch."""

    stored: int
    duplicates: int
    rejected: int
    results: list[BatchResult]


class VoidMark(BaseModel):
    """When, by whom and why a touchpoint was taken back. It counts nowhere any more."""

    voided_at: datetime
    voided_by: str
    reason: str | None


class VoidOut(VoidMark):
    """The answer to a void."""

    id: str
    customer_id: str
    kind: str
    source: str
    health: HealthChange


class TouchpointRow(BaseModel):
    """A touchpoint as the log holds it."""

    id: str
    customer_id: str
    kind: str
    occurred_at: datetime
    received_at: datetime
    source: str
    channel: str | None
    amount_minor: int | None
    amount: str | None
    currency: str | None
    exchange_rate: str | None
    order_id: str | None
    items: list[dict[str, Any]] | None
    description: str
    properties: dict[str, Any]
    pending_match: bool
    without_value: bool = Field(
        description="Its money counts nothing: it is in another currency, and no `exchange_rate` came with it."
    )
    voided: VoidMark | None = Field(description="null unless it was taken back.")
    health_delta: int | None = Field(
        description="The delta its caller was told; null for one of several in a batch."
    )
    health: HealthChange | None
