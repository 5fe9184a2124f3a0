"""Whole orders as storefronts send them: the last state, and what was written of it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB, UUID

from app.storage.tables.base import TIME, metadata

# domain.loyalty.orders.Order. A row without a version is an order that is known by its touchpoints alone: posted as a
# purchase, or by a refund that waits for it (`parked`).
orders = Table(
    "orders",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("source", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    # The customer it was first told of: two customers who are merged may both have had an order 1.
    Column("origin_customer_id", UUID, nullable=False),
    Column("version", BigInteger),
    Column("state", JSONB),
    Column("cycle", Integer, nullable=False),
    Column("is_paid", Boolean, nullable=False),
    # [[addition, paid_minor, refunded_minor]] of the present cycle.
    Column("chunks", JSONB, nullable=False),
    Column("adopted", Text),
    # [[id, occurred_at, amount_minor]]: refunds that came before their order.
    Column("parked", JSONB, nullable=False),
    # [source, id] of each touchpoint that is in it: posted ones, and those that its states have written.
    Column("effects", JSONB, nullable=False),
    # What `paid_minor` of the chunks is in; NULL before anything was paid.
    Column("currency", Text),
    # What the last state was answered: it gets the same again. JSON and not JSONB: the very same text.
    Column("answer", JSON),
    Column("revision", Integer, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    # The order's id comes first: a refund finds its order whoever sends it.
    PrimaryKeyConstraint("customer_id", "order_id", "source", "origin_customer_id"),
    # No foreign key, as touchpoints: it is written with each purchase, under the lock of its state row.
    CheckConstraint("(version IS NULL) = (state IS NULL)", name="version"),
    CheckConstraint("cycle >= 0", name="cycle"),
)
