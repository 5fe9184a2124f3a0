"""Customers who bring customers, and customers who turned out to be one."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from app.storage.tables.base import TIME, metadata

# One referral is two rows, one with each customer: both sides read their own shard. `side`: referrer or referee. The
# referee's row leads: what happens to the friend's orders is written there at once; a worker brings the other after.
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
    # The end of the return window of the order that qualified.
    Column("kept_until", TIME),
    # Of that order, in minor units of its currency.
    Column("paid_minor", BigInteger, nullable=False, server_default=text("0")),
    Column("refunded_minor", BigInteger, nullable=False, server_default=text("0")),
    # What each side was rewarded with; NULL: not yet.
    Column("referrer_points", BigInteger),
    Column("referee_points", BigInteger),
    # domain.loyalty.referral_codes.network_key of the friend.
    Column("network", LargeBinary),
    Column("reviewed_by", Text),
    Column("note", Text),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    # Whom the row was first written for; a merge moves it on. `other_customer_id` is that of the other row.
    Column("origin_customer_id", UUID, nullable=False),
    PrimaryKeyConstraint("customer_id", "program", "id", "side"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("side IN ('referrer', 'referee')", name="side"),
    CheckConstraint(
        "state IN ('attributed', 'on_hold', 'qualified', 'pending', 'rewarded', 'rejected', 'reversed')",
        name="state",
    ),
    CheckConstraint("least(paid_minor, refunded_minor) >= 0 AND revision > 0", name="amounts"),
)
# Lists of the whole shop, the newest first.
Index("ix_loyalty_referrals_newest", loyalty_referrals.c.id, postgresql_where=text("side = 'referee'"))
Index(
    "ix_loyalty_referrals_state",
    loyalty_referrals.c.state,
    loyalty_referrals.c.id,
    postgresql_where=text("side = 'referee'"),
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
    # domain.loyalty.referral_codes.network_key of whoever asked for it.
    Column("network", LargeBinary),
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
