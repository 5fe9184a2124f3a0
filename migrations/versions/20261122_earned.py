"""Accounts are found by their customer: no index of theirs that the write path could take instead

Revision ID: 20261122_earned
Revises: 20261122_clock
"""

from alembic import op

revision = "20261122_earned"
down_revision = "20261122_drift"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Plans of the write path are made while the table is empty, and kept. With the customer in this index PostgreSQL 18
    # may look for accounts in all of it.
    op.drop_index("ix_loyalty_accounts_ruled", table_name="loyalty_accounts")
    op.create_index("ix_loyalty_accounts_ruled", "loyalty_accounts", ["program", "ruled_by"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_loyalty_accounts_ruled", table_name="loyalty_accounts")
    op.create_index(
        "ix_loyalty_accounts_ruled", "loyalty_accounts", ["program", "ruled_by", "customer_id"], unique=False
    )
