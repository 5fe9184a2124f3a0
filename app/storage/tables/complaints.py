"""Complaints, what was done about each, and the hours in which their promises count."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from app.storage.tables.base import TIME, metadata

complaints = Table(
    "complaints",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    # The customer it was first told by: public ids and touchpoint ids are made of it, and must outlive a merge.
    Column("origin_customer_id", UUID, nullable=False),
    Column("reference", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_id", Text),
    # Of the body that opened it: the same source_id with another body is refused.
    Column("body_sha256", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text),
    Column("remedy_sought", Text),
    Column("about", JSONB, nullable=False),
    Column("calendar", Text, nullable=False),
    Column("opened_at", TIME, nullable=False),
    # Whether another one was opened within 180 days before.
    Column("repeat", Boolean, nullable=False),
    Column("owner", Text),
    # domain.feedback.complaints.Case.
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("since", TIME, nullable=False),
    Column("version", Integer, nullable=False),
    Column("clocks", JSONB, nullable=False),
    Column("openings", Integer, nullable=False),
    Column("resolved", Boolean, nullable=False),
    Column("breaches", ARRAY(Text), nullable=False),
    Column("merged_into", UUID),
    # After when a worker has something to do; NULL: nothing is due.
    Column("next_due_at", TIME),
    # Rows of its log and of its compensations, and writes of this row: counted under the customer's lock.
    Column("entries", Integer, nullable=False),
    Column("compensations", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
    UniqueConstraint(
        "customer_id", "source", "source_id", "origin_customer_id", name="uq_complaints_natural_key"
    ),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
)
# Lists, newest first; the workers' look for what is due.
Index("ix_complaints_newest", complaints.c.id)
Index("ix_complaints_state", complaints.c.state, complaints.c.id)
Index(
    "ix_complaints_owner",
    complaints.c.owner,
    complaints.c.id,
    postgresql_where=complaints.c.owner.is_not(None),
)
Index(
    "ix_complaints_due",
    complaints.c.next_due_at,
    complaints.c.customer_id,
    complaints.c.id,
    postgresql_where=complaints.c.next_due_at.is_not(None),
)

# Whose is a reference that somebody reads out on the phone. Unique in the shop, so a table of its own (schema rule 4).
complaint_references = Table(
    "complaint_references",
    metadata,
    Column("reference", Text, primary_key=True),
    Column("customer_id", UUID, nullable=False),
    Column("complaint_id", UUID, nullable=False),
)

# What was done, in order (append-only). The complaint's row is what these rows come to.
complaint_log = Table(
    "complaint_log",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("complaint_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("what", Text, nullable=False),
    Column("at", TIME, nullable=False),
    Column("written_at", TIME, nullable=False),
    Column("written_by", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("reason", Text),
    Column("visible_to_customer", Boolean, nullable=False),
    Column("text", Text),
    Column("details", JSONB, nullable=False, server_default=text("'{}'")),
    # The touchpoint that tells it to the customer's log, or that was voided by it.
    Column("touchpoint_id", Text),
    PrimaryKeyConstraint("customer_id", "complaint_id", "id"),
    UniqueConstraint("customer_id", "complaint_id", "seq", name="uq_complaint_log_seq"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
)

# What was given for a failure (append-only). `grant_id` names it to whoever pays it out.
compensations = Table(
    "compensations",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("complaint_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    Column("number", Integer, nullable=False),
    Column("form", Text, nullable=False),
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("points", Integer),
    Column("note", Text),
    Column("grant_id", Text, nullable=False),
    Column("given_by", Text, nullable=False),
    Column("given_at", TIME, nullable=False),
    PrimaryKeyConstraint("customer_id", "complaint_id", "id"),
    UniqueConstraint("customer_id", "complaint_id", "number", name="uq_compensations_number"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("amount_minor > 0", name="amount_minor"),
)

# --- reference: when the shop works --------------------------------------------------------------------------------

calendars = Table(
    "calendars",
    metadata,
    Column("code", Text, primary_key=True),
    Column("time_zone", Text, nullable=False),
    # {"monday": [["09:00", "17:00"]], ...}, and ISO dates.
    Column("hours", JSONB, nullable=False),
    Column("holidays", JSONB, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("updated_at", TIME, nullable=False),
)
