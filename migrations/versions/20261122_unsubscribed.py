"""Who does not want to be written to

Revision ID: 20261122d
Revises: 20261122c
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122d"
down_revision = "20261122c"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_touchpoints_unsubscribed",
        "touchpoints",
        ["customer_id"],
        unique=False,
        postgresql_where=sa.text("kind = 'unsubscribed'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_touchpoints_unsubscribed",
        table_name="touchpoints",
        postgresql_where=sa.text("kind = 'unsubscribed'"),
    )
