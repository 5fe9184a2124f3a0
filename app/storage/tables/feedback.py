"""What customers answered, and who calls them back."""

from sqlalchemy import (
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
from sqlalchemy.dialects.postgresql import JSON, JSONB, UUID

from app.storage.tables.base import TIME, metadata

# An answer as it stands; feedback_revisions hold how it came to be.
feedback = Table(
    "feedback",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    # The customer it was first written for: a merge moves rows, and their natural keys must not collide.
    Column("origin_customer_id", UUID, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    # NULL in a comment, like the scale.
    Column("rating", Integer),
    Column("scale_min", Integer),
    Column("scale_max", Integer),
    Column("direction", Text),
    # A border of what is low that the survey drew itself; an edit is judged by the same.
    Column("threshold", Integer),
    Column("text", Text),
    Column("public", Boolean, nullable=False),
    Column("channel", Text),
    Column("about", JSONB),
    Column("attributed_to", Text),
    # Of an answer to an invitation; NULL when nobody asked.
    Column("survey", Text),
    Column("invitation_id", UUID),
    # {label, score, confidence, method, lexicon_version, evidence, doubt}; NULL without words.
    Column("sentiment", JSONB),
    Column("mixed", Boolean, nullable=False),
    Column("occurred_at", TIME, nullable=False),
    Column("received_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    Column("revision", Integer, nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
    # The origin comes last, as in the log: "is this key known?" is one look-up by prefix, also after a merge.
    UniqueConstraint(
        "customer_id", "source", "source_id", "origin_customer_id", name="uq_feedback_natural_key"
    ),
    # One answer for each invitation.
    UniqueConstraint("customer_id", "invitation_id", name="uq_feedback_invitation"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("kind IN ('nps', 'csat', 'ces', 'review', 'comment')", name="kind"),
    CheckConstraint(
        "CASE WHEN kind = 'comment' THEN num_nonnulls(rating, scale_min, scale_max, direction) = 0"
        " ELSE rating BETWEEN scale_min AND scale_max AND direction IS NOT NULL END",
        name="rating",
    ),
    CheckConstraint("direction IN ('higher_is_better', 'lower_is_better')", name="direction"),
)
# The list of the whole shop, by arrival: ids begin with the time.
Index("ix_feedback_id", feedback.c.id)
# The figures read this index alone: a period of one kind, with all that decides what counts and where.
Index(
    "ix_feedback_figures",
    feedback.c.kind,
    feedback.c.occurred_at,
    postgresql_include=[
        "customer_id",
        "id",
        "survey",
        "rating",
        "scale_min",
        "scale_max",
        "direction",
        "channel",
        "attributed_to",
    ],
    postgresql_where=feedback.c.rating.is_not(None),
)

# Every form an answer has had, the first included. Rows are only added.
feedback_revisions = Table(
    "feedback_revisions",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    Column("feedback_id", UUID, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("rating", Integer),
    Column("text", Text),
    Column("public", Boolean, nullable=False),
    Column("sentiment", JSONB),
    Column("mixed", Boolean, nullable=False),
    Column("written_at", TIME, nullable=False),
    Column("written_by", Text, nullable=False),
    # Of the body of a post: the same again is a retry. NULL for what a PATCH changed.
    Column("body_sha256", LargeBinary),
    # The health member of the answer that its caller was given. JSON and not JSONB: a retry gets the very same text.
    Column("outcome", JSON, nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
    UniqueConstraint("customer_id", "feedback_id", "revision", name="uq_feedback_revisions_revision"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
)

follow_ups = Table(
    "follow_ups",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    Column("feedback_id", UUID, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("owner", Text),
    Column("due_at", TIME, nullable=False),
    Column("outcome", Text),
    Column("note", Text),
    Column("closed_at", TIME),
    # When the customer may be asked once more; NULL while nobody spoke with them.
    Column("ask_again_at", TIME),
    # When the worker sees whether they may be, and what they were asked with then; NULL when nothing is to be done.
    Column("ask_due_at", TIME),
    Column("invitation_id", UUID),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    Column("version", Integer, nullable=False),
    # That of its answer: the id on the wire is made of it.
    Column("origin_customer_id", UUID, nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
    # One for each answer, however often it is edited.
    UniqueConstraint("customer_id", "feedback_id", name="uq_follow_ups_feedback"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("state IN ('open', 'assigned', 'closed')", name="state"),
    CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name="closed_at"),
    CheckConstraint("(state = 'closed') = (outcome IS NOT NULL)", name="outcome"),
)
# What is to be done, of one customer (the context asks with every call that comes in), of the shop, of one owner. What
# is closed leaves all three.
_UNDONE = text("state <> 'closed'")
Index(
    "ix_follow_ups_customer",
    follow_ups.c.customer_id,
    follow_ups.c.due_at,
    postgresql_where=_UNDONE,
)
Index(
    "ix_follow_ups_due",
    follow_ups.c.due_at,
    follow_ups.c.customer_id,
    follow_ups.c.id,
    postgresql_where=_UNDONE,
)
Index(
    "ix_follow_ups_owner",
    follow_ups.c.owner,
    follow_ups.c.due_at,
    follow_ups.c.customer_id,
    follow_ups.c.id,
    postgresql_where=_UNDONE,
)
# The lists that ask for one state, closed among them.
Index(
    "ix_follow_ups_state",
    follow_ups.c.state,
    follow_ups.c.due_at,
    follow_ups.c.customer_id,
    follow_ups.c.id,
)
# What the worker looks for: the customers who may be asked again.
Index(
    "ix_follow_ups_ask",
    follow_ups.c.ask_due_at,
    follow_ups.c.id,
    postgresql_where=text("ask_due_at IS NOT NULL"),
)
