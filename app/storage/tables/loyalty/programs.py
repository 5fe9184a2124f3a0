"""What a shop promises: programmes, the versions of their rules, their rewards. Reference tables."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
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

loyalty_programs = Table(
    "loyalty_programs",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("created_by", Text, nullable=False),
    # From closed_at on nothing earns; at ends_at all that is left expires. NULL: open.
    Column("closed_at", TIME),
    Column("ends_at", TIME),
    # When the last run of a closed programme is through: a worker has nothing left to do.
    Column("wound_up_at", TIME),
    # Goes up with every publication and closing. Whoever remembers the rules compares it in the statement that loads
    # an account, and again in the one that saves it.
    Column("revision", Integer, nullable=False),
    # Goes up with every version that is drafted.
    Column("versions", Integer, nullable=False),
    CheckConstraint("ends_at >= closed_at", name="ends_at"),
    CheckConstraint("revision > 0 AND versions >= 0", name="counts"),
)

loyalty_versions = Table(
    "loyalty_versions",
    metadata,
    Column("program", Text, nullable=False),
    Column("version", Integer, nullable=False, autoincrement=False),
    Column("status", Text, nullable=False),
    # As it was sent; domain.loyalty.versions.version_of reads it. Published ones never change and are held to sha256.
    Column("body", JSONB, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("effective_from", TIME),
    Column("created_at", TIME, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("published_at", TIME),
    Column("published_by", Text),
    PrimaryKeyConstraint("program", "version"),
    CheckConstraint("status IN ('draft', 'published')", name="status"),
    CheckConstraint(
        "(status = 'published') = (effective_from IS NOT NULL AND published_at IS NOT NULL"
        " AND published_by IS NOT NULL)",
        name="published",
    ),
)

loyalty_rewards = Table(
    "loyalty_rewards",
    metadata,
    Column("program", Text, nullable=False),
    Column("code", Text, nullable=False),
    # As it was sent; domain.loyalty.rewards.reward_of reads it. What is left of the stock is the column below.
    Column("body", JSONB, nullable=False),
    # NULL: no limit. Taken by an atomic UPDATE under its CHECK, after the customer's row is locked.
    Column("stock", BigInteger),
    # Where coupons come from: NULL none, else given or generated, and what generated ones begin with.
    Column("coupons", Text),
    Column("coupon_prefix", Text, nullable=False, server_default=text("''")),
    Column("revision", Integer, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    Column("retired_at", TIME),
    PrimaryKeyConstraint("program", "code"),
    CheckConstraint("stock >= 0", name="stock"),
    CheckConstraint("coupons IN ('given', 'generated')", name="coupons"),
)

# --- unique in the shop: tables of their own (schema rule 4) ---------------------------------------------------------

# Whose a coupon is. `key` is domain.loyalty.rewards.coupon_key: two spellings are one code.
loyalty_coupons = Table(
    "loyalty_coupons",
    metadata,
    Column("program", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("reward", Text, nullable=False),
    Column("code", Text, nullable=False),
    # The order in which given ones are handed out.
    Column("id", UUID, nullable=False),
    Column("added_at", TIME, nullable=False),
    Column("taken_by", UUID),
    Column("taken_for", Text),
    Column("taken_at", TIME),
    PrimaryKeyConstraint("program", "key"),
    CheckConstraint(
        "(taken_by IS NULL) = (taken_for IS NULL) AND (taken_by IS NULL) = (taken_at IS NULL)", name="taken"
    ),
)
Index(
    "ix_loyalty_coupons_free",
    loyalty_coupons.c.program,
    loyalty_coupons.c.reward,
    loyalty_coupons.c.id,
    postgresql_where=loyalty_coupons.c.taken_by.is_(None),
)
