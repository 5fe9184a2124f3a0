"""Spending: why points of a redemption came back

Revision ID: 20261122_spending
Revises: 20261122_referrals
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_spending"
down_revision = "20261122_referrals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "loyalty_spends",
        sa.Column("reasons", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("loyalty_spends", "reasons")
