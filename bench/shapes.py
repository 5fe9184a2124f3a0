"""The body and the answer of POST /v1/touchpoints as both yardstick apps declare them.

Kept apart from the service's own shapes, so that a yardstick never moves because the service does.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^/?#\x00-\x1f]+$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Customer(Shape):
    external_id: Name
    email: str | None = None


class Item(Shape):
    sku: Name
    quantity: int = Field(1, ge=1)
    amount_minor: int = Field(ge=0)
    category: str | None = None


class TouchpointIn(Shape):
    id: Name
    customer: Customer
    kind: Literal["purchase", "refund", "visit", "support_contact"]
    occurred_at: AwareDatetime
    channel: str | None = Field(None, max_length=64)
    amount_minor: int | None = Field(None, ge=0)
    currency: Currency | None = None
    order_id: Name | None = None
    items: list[Item] = Field(default_factory=list, max_length=100)
    description: str | None = Field(None, max_length=2000)
    properties: dict[str, Any] = Field(default_factory=dict)


class HealthOut(BaseModel):
    score: int
    band: str
    before: int | None
    delta: int
    band_changed: bool
    reasons: list[str]
    model: str


class TouchpointOut(BaseModel):
    id: str
    customer_id: UUID
    kind: str
    occurred_at: AwareDatetime
    received_at: AwareDatetime
    source: str
    duplicate: bool
    pending_match: bool
    health: HealthOut
    loyalty: None = None
