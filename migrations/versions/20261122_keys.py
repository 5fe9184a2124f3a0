"""The audit log, addresses and rates of keys

Revision ID: 20261122_keys
Revises: 20261122_privacy
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_keys"
down_revision = "20261122_privacy"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column(
        "api_keys",
        sa.Column("networks", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("api_keys", sa.Column("rate_per_minute", sa.Integer(), nullable=True))
    op.create_table(
        "audit_log",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_actor", "audit_log", ["actor", "id"], unique=False)
    op.create_index("ix_audit_log_target", "audit_log", ["target", "id"], unique=False)
    op.create_table(
        "rate_usage",
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("arrival", sa.Double(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("api_key", name=op.f("pk_rate_usage")),
    )
    op.create_index("ix_rate_usage_updated_at", "rate_usage", ["updated_at"], unique=False)


def downgrade() -> None:
    op.drop_table("rate_usage")
    op.drop_table("audit_log")
    op.drop_column("api_keys", "rate_per_minute")
    op.drop_column("api_keys", "networks")
