"""For whom a referral was first written, so that a merge can move it and an undo can bring it back

Revision ID: 20261122_referral_origins
Revises: 20261122_clock
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122_referral_origins"
down_revision = "20261122_clock"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("loyalty_referrals", sa.Column("origin_customer_id", sa.UUID(), nullable=True))
    op.execute("UPDATE loyalty_referrals SET origin_customer_id = customer_id")
    op.alter_column("loyalty_referrals", "origin_customer_id", nullable=False)
    # Those of customers who were merged before follow to the survivor.
    op.execute(
        """
        UPDATE loyalty_referrals r SET customer_id = s.merged_into FROM customer_states s
        WHERE s.customer_id = r.customer_id AND s.merged_into IS NOT NULL
        """
    )


def downgrade() -> None:
    op.execute(
        "UPDATE loyalty_referrals SET customer_id = origin_customer_id WHERE customer_id <> origin_customer_id"
    )
    op.drop_column("loyalty_referrals", "origin_customer_id")
