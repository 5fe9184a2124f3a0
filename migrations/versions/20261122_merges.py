"""Merges, and whom a row was first written for

Revision ID: 20261122_merges
Revises: 20261122_asked_again
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_merges"
down_revision = "20261122_asked_again"
branch_labels = None
depends_on = None

ORIGINATED = ("customer_identifiers", "customer_notes", "survey_invitations", "follow_ups")


def upgrade() -> None:
    op.create_table(
        "merges",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("from_customer_id", sa.UUID(), nullable=False),
        sa.Column("origins", postgresql.ARRAY(sa.UUID()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("merged_by", sa.Text(), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kept", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("moved", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("undone", sa.Boolean(), nullable=False),
        sa.Column("undone_by", sa.Text(), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "id", name=op.f("pk_merges")),
    )
    op.create_foreign_key(
        op.f("fk_merges_customer_id_customers"), "merges", "customers", ["customer_id"], ["id"]
    )
    op.create_index(
        "ix_merges_standing",
        "merges",
        ["customer_id", "from_customer_id"],
        unique=True,
        postgresql_where=sa.text("undone IS false"),
    )
    for table in ORIGINATED:
        op.add_column(table, sa.Column("origin_customer_id", sa.UUID(), nullable=True))
        # Nobody was merged before this release.
        column = sa.table(table, sa.column("origin_customer_id"), sa.column("customer_id"))
        op.execute(column.update().values(origin_customer_id=column.c.customer_id))
        op.alter_column(table, "origin_customer_id", nullable=False)
    op.drop_constraint("uq_survey_invitations_customer_id_occasion_key", "survey_invitations", type_="unique")
    op.create_unique_constraint(
        "uq_survey_invitations_occasion",
        "survey_invitations",
        ["customer_id", "occasion_key", "origin_customer_id"],
    )


def downgrade() -> None:
    op.drop_constraint("uq_survey_invitations_occasion", "survey_invitations", type_="unique")
    op.create_unique_constraint(
        "uq_survey_invitations_customer_id_occasion_key",
        "survey_invitations",
        ["customer_id", "occasion_key"],
    )
    for table in ORIGINATED:
        op.drop_column(table, "origin_customer_id")
    op.drop_table("merges")
