"""For whom consents were said and purged rows were written, before anybody was merged

Revision ID: 20261122_origins
Revises: 20261122_keys
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122_origins"
down_revision = "20261122_keys"
branch_labels = None
depends_on = None

ORIGINATED = ("consent_log", "opening_states")


def upgrade() -> None:
    for table in ORIGINATED:
        op.add_column(table, sa.Column("origin_customer_id", sa.UUID(), nullable=True))
        # Merges left these tables alone until now.
        column = sa.table(table, sa.column("origin_customer_id"), sa.column("customer_id"))
        op.execute(column.update().values(origin_customer_id=column.c.customer_id))
        op.alter_column(table, "origin_customer_id", nullable=False)
    op.drop_constraint("pk_opening_states", "opening_states", type_="primary")
    op.create_primary_key("pk_opening_states", "opening_states", ["customer_id", "origin_customer_id"])


def downgrade() -> None:
    op.drop_constraint("pk_opening_states", "opening_states", type_="primary")
    # The sums of different origins cannot be added here: undo the merges first, or this refuses.
    op.create_primary_key("pk_opening_states", "opening_states", ["customer_id"])
    for table in reversed(ORIGINATED):
        op.drop_column(table, "origin_customer_id")
