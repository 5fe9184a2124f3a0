"""Until when a band surely holds, and which model drew it

Revision ID: 20261122b
Revises: 20261122a
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122b"
down_revision = "20261122a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("customer_states", sa.Column("scored_by", sa.Text(), nullable=True))
    op.add_column("customer_states", sa.Column("band_until", sa.DateTime(timezone=True), nullable=True))
    # The version of no model: the first sweeps draw these bands anew.
    op.execute("UPDATE customer_states SET scored_by = '' WHERE scored_at IS NOT NULL")
    op.create_index(
        "ix_customer_states_due",
        "customer_states",
        ["scored_by", "band_until", "customer_id"],
        unique=False,
        postgresql_where=sa.text("scored_by IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_customer_states_due", table_name="customer_states")
    op.drop_column("customer_states", "band_until")
    op.drop_column("customer_states", "scored_by")
