"""What the daily look at the active model found

Revision ID: 20261122_drift
Revises: 20261122_half_lives
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_drift"
down_revision = "20261122_half_lives"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "scoring_models", sa.Column("drift", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.add_column("scoring_models", sa.Column("drift_claimed_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("scoring_models", "drift_claimed_at")
    op.drop_column("scoring_models", "drift")
