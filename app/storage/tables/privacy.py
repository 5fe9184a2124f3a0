"""What customers agreed to, who left, and what was let go of because it was old."""

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
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from app.storage.tables.base import TIME, metadata

_STATES = "state IN ('granted', 'withdrawn')"

# What a customer said last of each purpose and channel. That they want no messages at all is no row here: it is the
# `unsubscribed` touchpoint, so that the log, a link in a mail and the API speak of one thing.
consents = Table(
    "consents",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("legal_basis", Text),
    # Where it was said: a form, a call. `written_by` is the source of the key that passed it on.
    Column("source", Text, nullable=False),
    Column("note", Text),
    Column("stated_at", TIME, nullable=False),
    Column("expires_at", TIME),
    Column("written_by", Text, nullable=False),
    PrimaryKeyConstraint("customer_id", "purpose", "channel"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint(_STATES, name="state"),
)

# Everything that was ever said of it (append-only).
consent_log = Table(
    "consent_log",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    # The customer of whom it was said: a merge that is undone gives it back to them.
    Column("origin_customer_id", UUID, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("legal_basis", Text),
    Column("source", Text, nullable=False),
    Column("note", Text),
    Column("stated_at", TIME, nullable=False),
    Column("expires_at", TIME),
    Column("written_by", Text, nullable=False),
    Column("written_at", TIME, nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint(_STATES, name="state"),
)

# Receipts (append-only): what went, in numbers alone.
erasures = Table(
    "erasures",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    Column("mode", Text, nullable=False),
    Column("erased_at", TIME, nullable=False),
    Column("erased_by", Text, nullable=False),
    # Customers that had been merged into this one, and went with it.
    Column("aliases", ARRAY(UUID), nullable=False),
    # How many of each table were changed or deleted.
    Column("rows", JSONB, nullable=False),
    Column("tombstones", Integer, nullable=False),
    # One for each: the same erasure again is answered with the same receipt.
    PrimaryKeyConstraint("customer_id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("mode IN ('erase', 'anonymise')", name="mode"),
)
# What the other processes look for, to forget whom they remember.
Index("ix_erasures_erased_at", erasures.c.erased_at, erasures.c.customer_id)

# Keyed hashes of the identifiers of who left; the key is not in the database. Global, so a table of its own.
erased_identifiers = Table(
    "erased_identifiers",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("customer_id", UUID, nullable=False),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
)

# What the purged part of a log comes to: a state is this plus the fold of what is left. One row for each customer whose
# touchpoints these were first, so that a merge can be undone.
opening_states = Table(
    "opening_states",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("origin_customer_id", UUID, nullable=False),
    Column("state", LargeBinary, nullable=False),
    # The last thing that was purged: when it happened, and when the last one arrived. Before them nothing is known.
    Column("until", TIME, nullable=False),
    Column("known_until", TIME, nullable=False),
    Column("touchpoints", BigInteger, nullable=False),
    Column("updated_at", TIME, nullable=False),
    PrimaryKeyConstraint("customer_id", "origin_customer_id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
)

# How far a purge has come.
retention_runs = Table(
    "retention_runs",
    metadata,
    Column("name", Text, primary_key=True),
    Column("after_id", UUID, nullable=False),
    Column("purged", BigInteger, nullable=False),
    Column("started_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    Column("finished_at", TIME),
)
