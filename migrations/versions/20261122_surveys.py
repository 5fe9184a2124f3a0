"""Surveys, invitations to them, households, and secrets that the service keeps

Revision ID: 20261122s
Revises: 20261122f
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122s"
down_revision = "20261122f"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kept_secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("octet_length(secret) >= 32", name=op.f("ck_kept_secrets_secret")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_kept_secrets")),
    )
    op.create_table(
        "survey_looks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("read_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_survey_looks")),
    )
    op.create_table(
        "survey_scopes",
        sa.Column("scope_key", sa.Text(), nullable=False),
        sa.Column(
            "asked", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("scope_key", name=op.f("pk_survey_scopes")),
    )
    op.create_table(
        "surveys",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("scale", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("trigger", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("limits", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("triggered_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seeded_after", sa.UUID(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_surveys")),
    )
    op.create_table(
        "survey_invitations",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("survey", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=True),
        sa.Column("occasion_key", sa.Text(), nullable=False),
        sa.Column("scope_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("suppressed_by", sa.Text(), nullable=True),
        sa.Column("held_back", sa.Boolean(), nullable=False),
        sa.Column("next_eligible_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("send_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("remind_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(state = 'suppressed') = (suppressed_by IS NOT NULL)",
            name=op.f("ck_survey_invitations_suppressed_by"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'suppressed', 'sent', 'delivered', 'opened', 'bounced', 'answered', 'expired',"
            " 'cancelled')",
            name=op.f("ck_survey_invitations_state"),
        ),
        sa.PrimaryKeyConstraint("customer_id", "id", name=op.f("pk_survey_invitations")),
        sa.UniqueConstraint(
            "customer_id", "occasion_key", name=op.f("uq_survey_invitations_customer_id_occasion_key")
        ),
    )
    op.create_index(
        "ix_survey_invitations_expiring",
        "survey_invitations",
        ["expires_at", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'sent', 'delivered', 'opened', 'bounced')"),
    )
    op.create_index(
        "ix_survey_invitations_figures", "survey_invitations", ["kind", "created_at"], unique=False
    )
    op.create_index(
        "ix_survey_invitations_held_back",
        "survey_invitations",
        ["customer_id", "id"],
        unique=False,
        postgresql_where=sa.text("held_back"),
    )
    op.create_index("ix_survey_invitations_id", "survey_invitations", ["id"], unique=False)
    op.create_index(
        "ix_survey_invitations_queued",
        "survey_invitations",
        ["send_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_survey_invitations_remind",
        "survey_invitations",
        ["remind_at", "id"],
        unique=False,
        postgresql_where=sa.text("remind_at IS NOT NULL"),
    )
    op.create_table(
        "survey_periods",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("survey", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "survey", name=op.f("pk_survey_periods")),
    )
    op.create_index(
        "ix_survey_periods_due", "survey_periods", ["survey", "due_at", "customer_id"], unique=False
    )
    # Foreign keys come by ALTER, so that `rapport distribute` can place the tables first.
    op.create_foreign_key(
        "fk_survey_invitations_customer_id_customers",
        "survey_invitations",
        "customers",
        ["customer_id"],
        ["id"],
    )
    op.create_foreign_key(
        "fk_survey_periods_customer_id_customers", "survey_periods", "customers", ["customer_id"], ["id"]
    )


def downgrade() -> None:
    op.drop_index("ix_survey_periods_due", table_name="survey_periods")
    op.drop_table("survey_periods")
    op.drop_index(
        "ix_survey_invitations_remind",
        table_name="survey_invitations",
        postgresql_where=sa.text("remind_at IS NOT NULL"),
    )
    op.drop_index(
        "ix_survey_invitations_queued",
        table_name="survey_invitations",
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.drop_index("ix_survey_invitations_id", table_name="survey_invitations")
    op.drop_index(
        "ix_survey_invitations_held_back",
        table_name="survey_invitations",
        postgresql_where=sa.text("held_back"),
    )
    op.drop_index("ix_survey_invitations_figures", table_name="survey_invitations")
    op.drop_index(
        "ix_survey_invitations_expiring",
        table_name="survey_invitations",
        postgresql_where=sa.text("state IN ('queued', 'sent', 'delivered', 'opened', 'bounced')"),
    )
    op.drop_table("survey_invitations")
    op.drop_table("surveys")
    op.drop_table("survey_scopes")
    op.drop_table("survey_looks")
    op.drop_table("kept_secrets")
