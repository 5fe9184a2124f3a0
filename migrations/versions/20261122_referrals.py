"""Referrals: what their orders were paid and refunded, who looked at them, and the lists of them

Revision ID: 20261122_referrals
Revises: 20261122_earning
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122_referrals"
down_revision = "20261122_earning"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("loyalty_referrals", sa.Column("kept_until", TIME))
    op.add_column(
        "loyalty_referrals", sa.Column("paid_minor", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column(
        "loyalty_referrals", sa.Column("refunded_minor", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("loyalty_referrals", sa.Column("referrer_points", sa.BigInteger()))
    op.add_column("loyalty_referrals", sa.Column("referee_points", sa.BigInteger()))
    op.add_column("loyalty_referrals", sa.Column("network", sa.LargeBinary()))
    op.add_column("loyalty_referrals", sa.Column("reviewed_by", sa.Text()))
    op.add_column("loyalty_referrals", sa.Column("note", sa.Text()))
    op.add_column(
        "loyalty_referrals", sa.Column("revision", sa.Integer(), nullable=False, server_default="1")
    )
    op.create_check_constraint(
        op.f("ck_loyalty_referrals_amounts"),
        "loyalty_referrals",
        "least(paid_minor, refunded_minor) >= 0 AND revision > 0",
    )
    op.create_index(
        "ix_loyalty_referrals_newest",
        "loyalty_referrals",
        ["id"],
        postgresql_where=sa.text("side = 'referee'"),
    )
    op.create_index(
        "ix_loyalty_referrals_state",
        "loyalty_referrals",
        ["state", "id"],
        postgresql_where=sa.text("side = 'referee'"),
    )
    op.add_column("referral_codes", sa.Column("network", sa.LargeBinary()))
    # Entries come in order of time: a few kilobytes tell which pages hold those after a time in the past.
    op.create_index("ix_loyalty_entries_at", "loyalty_entries", ["at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_index("ix_loyalty_entries_at", table_name="loyalty_entries", postgresql_using="brin")
    op.drop_column("referral_codes", "network")
    for index in ("ix_loyalty_referrals_state", "ix_loyalty_referrals_newest"):
        op.drop_index(index, table_name="loyalty_referrals")
    op.drop_constraint(op.f("ck_loyalty_referrals_amounts"), "loyalty_referrals")
    for column in (
        "revision",
        "note",
        "reviewed_by",
        "network",
        "referee_points",
        "referrer_points",
        "refunded_minor",
        "paid_minor",
        "kept_until",
    ):
        op.drop_column("loyalty_referrals", column)
