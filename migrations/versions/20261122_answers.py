"""Answers, their revisions, and follow-ups

Revision ID: 20261122f
Revises: 20261122d
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122f"
down_revision = "20261122d"
branch_labels = None
depends_on = None

TABLES = ("feedback", "feedback_revisions", "follow_ups")
UNDONE = sa.text("state <> 'closed'")


def upgrade() -> None:
    _create_feedback()
    _create_revisions()
    _create_follow_ups()
    # Foreign keys come by ALTER, so that `rapport distribute` can place the tables first.
    for table in TABLES:
        op.create_foreign_key(
            f"fk_{table}_customer_id_customers", table, "customers", ["customer_id"], ["id"]
        )


def _create_feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("origin_customer_id", sa.UUID(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("scale_min", sa.Integer(), nullable=True),
        sa.Column("scale_max", sa.Integer(), nullable=True),
        sa.Column("direction", sa.Text(), nullable=True),
        sa.Column("threshold", sa.Integer(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("about", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("attributed_to", sa.Text(), nullable=True),
        sa.Column("survey", sa.Text(), nullable=True),
        sa.Column("invitation_id", sa.UUID(), nullable=True),
        sa.Column("sentiment", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("mixed", sa.Boolean(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "id", name=op.f("pk_feedback")),
        sa.UniqueConstraint(
            "customer_id", "source", "source_id", "origin_customer_id", name="uq_feedback_natural_key"
        ),
        sa.UniqueConstraint("customer_id", "invitation_id", name="uq_feedback_invitation"),
        sa.CheckConstraint(
            "kind IN ('nps', 'csat', 'ces', 'review', 'comment')", name=op.f("ck_feedback_kind")
        ),
        sa.CheckConstraint(
            "CASE WHEN kind = 'comment' THEN num_nonnulls(rating, scale_min, scale_max, direction) = 0"
            " ELSE rating BETWEEN scale_min AND scale_max AND direction IS NOT NULL END",
            name=op.f("ck_feedback_rating"),
        ),
        sa.CheckConstraint(
            "direction IN ('higher_is_better', 'lower_is_better')", name=op.f("ck_feedback_direction")
        ),
    )
    op.create_index("ix_feedback_id", "feedback", ["id"], unique=False)
    op.create_index(
        "ix_feedback_figures",
        "feedback",
        ["kind", "occurred_at"],
        unique=False,
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
        postgresql_where=sa.text("rating IS NOT NULL"),
    )


def _create_revisions() -> None:
    op.create_table(
        "feedback_revisions",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("feedback_id", sa.UUID(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("sentiment", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("mixed", sa.Boolean(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("written_by", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("outcome", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "id", name=op.f("pk_feedback_revisions")),
        sa.UniqueConstraint("customer_id", "feedback_id", "revision", name="uq_feedback_revisions_revision"),
    )


def _create_follow_ups() -> None:
    op.create_table(
        "follow_ups",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("feedback_id", sa.UUID(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ask_again_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "id", name=op.f("pk_follow_ups")),
        sa.UniqueConstraint("customer_id", "feedback_id", name="uq_follow_ups_feedback"),
        sa.CheckConstraint("state IN ('open', 'assigned', 'closed')", name=op.f("ck_follow_ups_state")),
        sa.CheckConstraint(
            "(state = 'closed') = (closed_at IS NOT NULL)", name=op.f("ck_follow_ups_closed_at")
        ),
        sa.CheckConstraint("(state = 'closed') = (outcome IS NOT NULL)", name=op.f("ck_follow_ups_outcome")),
    )
    place = ["due_at", "customer_id", "id"]
    op.create_index(
        "ix_follow_ups_customer", "follow_ups", ["customer_id", "due_at"], postgresql_where=UNDONE
    )
    op.create_index("ix_follow_ups_due", "follow_ups", place, postgresql_where=UNDONE)
    op.create_index("ix_follow_ups_owner", "follow_ups", ["owner", *place], postgresql_where=UNDONE)
    op.create_index("ix_follow_ups_state", "follow_ups", ["state", *place])


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
