"""Which customers turned out to be one, and what it takes to part them again."""

from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from app.storage.tables.base import TIME, metadata

# One row for each merge, at the customer who survived it. A later merge of that customer leaves the row where it is.
merges = Table(
    "merges",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    # The customer who became an alias, and everybody who was one of theirs: rows that were first written for one of
    # these go back when the merge is undone.
    Column("from_customer_id", UUID, nullable=False),
    Column("origins", ARRAY(UUID), nullable=False),
    Column("reason", Text, nullable=False),
    Column("merged_by", Text, nullable=False),
    Column("merged_at", TIME, nullable=False),
    # Rows of which a customer has one, as they were, and what filled the gaps of the survivor's profile.
    Column("kept", JSONB, nullable=False),
    # How many rows of each table went over.
    Column("moved", JSONB, nullable=False),
    Column("undone", Boolean, nullable=False),
    Column("undone_by", Text),
    Column("undone_at", TIME),
    PrimaryKeyConstraint("customer_id", "id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
)
# Nobody is in two merges that stand.
Index(
    "ix_merges_standing",
    merges.c.customer_id,
    merges.c.from_customer_id,
    unique=True,
    postgresql_where=merges.c.undone.is_(False),
)
