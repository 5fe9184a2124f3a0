"""Whole orders as storefronts send them: the last state, and what was written of it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

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
    # [[id, what, amount_minor, cycle, addition]] of each touchpoint that was written, and what each state was answered.
    Column("effects", JSONB, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    PrimaryKeyConstraint("customer_id", "source", "order_id", "origin_customer_id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("(version IS NULL) = (state IS NULL)", name="version"),
    CheckConstraint("cycle >= 0", name="cycle"),
)
