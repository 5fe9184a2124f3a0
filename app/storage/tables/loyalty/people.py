"""Customers who bring customers, and customers who turned out to be one."""

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from app.storage.tables.base import TIME, metadata

# One referral is two rows, one with each customer: both sides read their own shard. `side`: referrer or referee.
loyalty_referrals = Table(
    "loyalty_referrals",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("program", Text, nullable=False),
    Column("id", UUID, nullable=False),
    Column("side", Text, nullable=False),
    Column("other_customer_id", UUID, nullable=False),
    Column("code", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("order_id", Text),
    Column("created_at", TIME, nullable=False),
    # Of the last step.
    Column("at", TIME, nullable=False),
    # When a worker has something to do; NULL: never.
    Column("due_at", TIME),
    PrimaryKeyConstraint("customer_id", "program", "id", "side"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("side IN ('referrer', 'referee')", name="side"),
    CheckConstraint(
        "state IN ('attributed', 'on_hold', 'qualified', 'pending', 'rewarded', 'rejected', 'reversed')",
        name="state",
    ),
)
Index(
    "ix_loyalty_referrals_due",
    loyalty_referrals.c.due_at,
    loyalty_referrals.c.customer_id,
    postgresql_where=loyalty_referrals.c.due_at.is_not(None),
)

# Which account came into which, and what an undo needs (domain.loyalty.merging.Merge).
loyalty_merges = Table(
    "loyalty_merges",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("program", Text, nullable=False),
    Column("id", UUID, nullable=False),
    Column("source_customer_id", UUID, nullable=False),
    Column("merge", JSONB, nullable=False),
    Column("merged_at", TIME, nullable=False),
    Column("undone_at", TIME),
    PrimaryKeyConstraint("customer_id", "program", "id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
)

# --- unique in the shop: tables of their own (schema rule 4) ---------------------------------------------------------

referral_codes = Table(
    "referral_codes",
    metadata,
    Column("code", Text, primary_key=True),
    Column("program", Text, nullable=False),
    Column("customer_id", UUID, nullable=False),
    Column("created_at", TIME, nullable=False),
)
Index("ix_referral_codes_customer", referral_codes.c.customer_id, referral_codes.c.program)

# Who was brought, once for ever: by customer (`customer:UUID`) and by each mailbox (`alias:` and domain alias_key,
# hashed: it is about a person).
referred_customers = Table(
    "referred_customers",
    metadata,
    Column("program", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("customer_id", UUID, nullable=False),
    Column("referral_id", UUID, nullable=False),
    PrimaryKeyConstraint("program", "key"),
)
