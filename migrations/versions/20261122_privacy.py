"""Consents, erasures, tombstones, and what purges leave

Revision ID: 20261122_privacy
Revises: 20261122_merges
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_privacy"
down_revision = "20261122_merges"
branch_labels = None
depends_on = None

_STATES = "state IN ('granted', 'withdrawn')"


def upgrade() -> None:
    op.add_column("touchpoints", sa.Column("purged_at", sa.DateTime(timezone=True), nullable=True))
    # Whom a kept answer is about; of those that are there already nobody knows, and they are gone within a day.
    op.add_column("idempotency_keys", sa.Column("about", postgresql.ARRAY(sa.UUID()), nullable=True))
    op.create_index(
        "ix_idempotency_keys_about", "idempotency_keys", ["about"], unique=False, postgresql_using="gin"
    )
    op.create_index(
        "ix_customer_states_merged_into",
        "customer_states",
        ["merged_into"],
        unique=False,
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )
    _consents()
    _erasures()
    _retention()


def _consents() -> None:
    said = (
        ("purpose", sa.Text(), False),
        ("channel", sa.Text(), False),
        ("state", sa.Text(), False),
        ("legal_basis", sa.Text(), True),
        ("source", sa.Text(), False),
        ("note", sa.Text(), True),
        ("stated_at", sa.DateTime(timezone=True), False),
        ("expires_at", sa.DateTime(timezone=True), True),
        ("written_by", sa.Text(), False),
    )
    op.create_table(
        "consents",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        *[sa.Column(name, kind, nullable=nullable) for name, kind, nullable in said],
        sa.CheckConstraint(_STATES, name=op.f("ck_consents_state")),
        sa.PrimaryKeyConstraint("customer_id", "purpose", "channel", name=op.f("pk_consents")),
    )
    op.create_table(
        "consent_log",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        *[sa.Column(name, kind, nullable=nullable) for name, kind, nullable in said],
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(_STATES, name=op.f("ck_consent_log_state")),
        sa.PrimaryKeyConstraint("customer_id", "id", name=op.f("pk_consent_log")),
    )
    # Foreign keys come by ALTER, so that `rapport distribute` can place the tables first.
    for table in ("consents", "consent_log"):
        op.create_foreign_key(
            f"fk_{table}_customer_id_customers", table, "customers", ["customer_id"], ["id"]
        )


def _erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_by", sa.Text(), nullable=False),
        sa.Column("aliases", postgresql.ARRAY(sa.UUID()), nullable=False),
        sa.Column("rows", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("tombstones", sa.Integer(), nullable=False),
        sa.CheckConstraint("mode IN ('erase', 'anonymise')", name=op.f("ck_erasures_mode")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_erasures")),
    )
    op.create_foreign_key(
        "fk_erasures_customer_id_customers", "erasures", "customers", ["customer_id"], ["id"]
    )
    op.create_index("ix_erasures_erased_at", "erasures", ["erased_at", "customer_id"], unique=False)
    op.create_table(
        "erased_identifiers",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("ck_erased_identifiers_digest")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_erased_identifiers")),
    )


def _retention() -> None:
    op.create_table(
        "opening_states",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("known_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("touchpoints", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_opening_states")),
    )
    op.create_foreign_key(
        "fk_opening_states_customer_id_customers", "opening_states", "customers", ["customer_id"], ["id"]
    )
    op.create_table(
        "retention_runs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("after_id", sa.UUID(), nullable=False),
        sa.Column("purged", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_retention_runs")),
    )


def downgrade() -> None:
    for table in ("retention_runs", "opening_states", "erased_identifiers"):
        op.drop_table(table)
    op.drop_index("ix_erasures_erased_at", table_name="erasures")
    for table in ("erasures", "consent_log", "consents"):
        op.drop_table(table)
    op.drop_index(
        "ix_customer_states_merged_into",
        table_name="customer_states",
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )
    op.drop_index("ix_idempotency_keys_about", table_name="idempotency_keys", postgresql_using="gin")
    op.drop_column("idempotency_keys", "about")
    op.drop_column("touchpoints", "purged_at")
