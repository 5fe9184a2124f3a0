"""Whom a survey asks again after a follow-up, and invitations by state and survey

Revision ID: 20261122_asked_again
Revises: 20261122_loyalty
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122_asked_again"
down_revision = "20261122_loyalty"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable and without a default: no row is rewritten under the lock.
    op.add_column("follow_ups", sa.Column("ask_due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("follow_ups", sa.Column("invitation_id", sa.UUID(), nullable=True))
    # The worker lets go of what it is too late for.
    op.execute("UPDATE follow_ups SET ask_due_at = ask_again_at WHERE ask_again_at IS NOT NULL")
    op.create_index("ix_survey_invitations_state", "survey_invitations", ["state", "id"], unique=False)
    op.create_index("ix_survey_invitations_survey", "survey_invitations", ["survey", "id"], unique=False)
    op.create_index(
        "ix_follow_ups_ask",
        "follow_ups",
        ["ask_due_at", "id"],
        unique=False,
        postgresql_where=sa.text("ask_due_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_follow_ups_ask",
        table_name="follow_ups",
        postgresql_where=sa.text("ask_due_at IS NOT NULL"),
    )
    op.drop_index("ix_survey_invitations_survey", table_name="survey_invitations")
    op.drop_index("ix_survey_invitations_state", table_name="survey_invitations")
    op.drop_column("follow_ups", "invitation_id")
    op.drop_column("follow_ups", "ask_due_at")
