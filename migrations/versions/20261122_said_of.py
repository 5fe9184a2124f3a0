"""Under which name of a merged customer an override or a sentiment was said

Revision ID: 20261122_said_of
Revises: 20261122_key_names
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_said_of"
down_revision = "20261122_key_names"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("health_overrides", "health_sentiments"):
        op.add_column(table, sa.Column("said_of", sa.UUID(), nullable=True))
        op.add_column(
            table,
            sa.Column("covered", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        )


def downgrade() -> None:
    for table in ("health_sentiments", "health_overrides"):
        op.drop_column(table, "covered")
        op.drop_column(table, "said_of")
