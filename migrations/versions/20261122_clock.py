"""What the clock of loyalty asks: by which version a tier was drawn, who is in a tier, whose birthday it is

Revision ID: 20261122_clock
Revises: 20261122_spending
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122_clock"
down_revision = "20261122_spending"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Of no version: the first looks draw these tiers anew.
    op.add_column(
        "loyalty_accounts", sa.Column("ruled_by", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.create_index(
        "ix_loyalty_accounts_ruled", "loyalty_accounts", ["program", "ruled_by", "customer_id"], unique=False
    )
    op.create_index(
        "ix_loyalty_accounts_tier",
        "loyalty_accounts",
        ["program", "tier", "customer_id"],
        unique=False,
        postgresql_where=sa.text("tier IS NOT NULL"),
    )
    op.create_index(
        "ix_customers_birthday",
        "customers",
        [sa.literal_column("right((traits ->> 'birthday'), 5)"), "id"],
        unique=False,
        postgresql_where=sa.text("(traits ->> 'birthday') IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_customers_birthday", table_name="customers")
    op.drop_index("ix_loyalty_accounts_tier", table_name="loyalty_accounts")
    op.drop_index("ix_loyalty_accounts_ruled", table_name="loyalty_accounts")
    op.drop_column("loyalty_accounts", "ruled_by")
