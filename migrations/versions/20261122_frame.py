"""The frame: customers and their identifiers, the log of touchpoints, keys

Revision ID: 20261122a
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122a"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("publishable", sa.Boolean(), nullable=False),
        sa.Column("preset", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("origins", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replaces", sa.UUID(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("sha256", name=op.f("uq_api_keys_sha256")),
    )
    op.create_table(
        "customers",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("preferred_channel", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column(
            "traits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
    )
    op.create_index(
        "ix_customers_name",
        "customers",
        [sa.literal_column("lower(name)").label("lower_name"), "id"],
        postgresql_ops={"lower_name": "text_pattern_ops"},
    )
    op.create_index("ix_customers_tags", "customers", ["tags"], postgresql_using="gin")
    op.create_table(
        "idempotency_keys",
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("api_key", "route", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "identifier_claims",
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value_key", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("value_key", "type", name=op.f("pk_identifier_claims")),
    )
    op.create_table(
        "customer_identifiers",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value_key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "type", "value_key", name=op.f("pk_customer_identifiers")),
    )
    op.create_table(
        "customer_notes",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "id", name=op.f("pk_customer_notes")),
    )
    op.create_table(
        "customer_states",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("band", sa.Text(), server_default=sa.text("'unknown'"), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("identity_revision", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("merged_into", sa.UUID(), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_states")),
        postgresql_with={"fillfactor": 60},
    )
    op.create_index("ix_customer_states_band", "customer_states", ["band", "customer_id"], unique=False)
    op.create_table(
        "touchpoints",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("origin_customer_id", sa.UUID(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("exchange_rate", sa.Numeric(), nullable=True),
        sa.Column("value_minor", sa.BigInteger(), nullable=True),
        sa.Column("thread", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("items", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("properties", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_touchpoints_amount_minor")),
        sa.CheckConstraint("octet_length(body_sha256) = 32", name=op.f("ck_touchpoints_body_sha256")),
        sa.PrimaryKeyConstraint(
            "customer_id", "source", "id", "origin_customer_id", name=op.f("pk_touchpoints")
        ),
    )
    op.create_index(
        "ix_touchpoints_answers",
        "touchpoints",
        ["customer_id", "kind", "occurred_at"],
        unique=False,
        postgresql_where=sa.text(
            "kind IN ('nps', 'csat', 'ces', 'review', 'complaint_opened', 'complaint_resolved')"
        ),
    )
    op.create_index("ix_touchpoints_received", "touchpoints", ["received_at"], unique=False)
    op.create_index(
        "ix_touchpoints_thread",
        "touchpoints",
        ["customer_id", "thread"],
        unique=False,
        postgresql_where=sa.text("thread IS NOT NULL"),
    )
    op.create_index("ix_touchpoints_timeline", "touchpoints", ["customer_id", "occurred_at"], unique=False)
    # Foreign keys come by ALTER, so that `rapport distribute` can place the tables first.
    for table in ("customer_states", "customer_identifiers", "customer_notes"):
        op.create_foreign_key(
            f"fk_{table}_customer_id_customers", table, "customers", ["customer_id"], ["id"]
        )


def downgrade() -> None:
    op.drop_index("ix_touchpoints_timeline", table_name="touchpoints")
    op.drop_index(
        "ix_touchpoints_thread", table_name="touchpoints", postgresql_where=sa.text("thread IS NOT NULL")
    )
    op.drop_index("ix_touchpoints_received", table_name="touchpoints")
    op.drop_index(
        "ix_touchpoints_answers",
        table_name="touchpoints",
        postgresql_where=sa.text(
            "kind IN ('nps', 'csat', 'ces', 'review', 'complaint_opened', 'complaint_resolved')"
        ),
    )
    op.drop_table("touchpoints")
    op.drop_index("ix_customer_states_band", table_name="customer_states")
    op.drop_table("customer_states")
    op.drop_table("customer_notes")
    op.drop_table("customer_identifiers")
    op.drop_table("identifier_claims")
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("ix_customers_tags", table_name="customers")
    op.drop_index("ix_customers_name", table_name="customers")
    op.drop_table("customers")
    op.drop_table("api_keys")
