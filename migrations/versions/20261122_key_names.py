"""Names of keys, and how often each was changed

Revision ID: 20261122_key_names
Revises: 20261122_clock
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122_key_names"
down_revision = "20261122_referral_origins"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("name", sa.Text(), nullable=True))
    op.add_column(
        "api_keys", sa.Column("revision", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("api_keys", "revision")
    op.drop_column("api_keys", "name")
