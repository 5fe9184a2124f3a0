"""Scoring models, own kinds, voids, overrides and sentiments

Revision ID: 20261122c
Revises: 20261122b
"""

import json
import uuid
from importlib.resources import files

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122c"
down_revision = "20261122b"
branch_labels = None
depends_on = None

# The model that every shop begins with. A version's numbers never change, so this file is as good as a copy of it.
FIRST_MODEL = "2026.1"


def upgrade() -> None:
    op.add_column("touchpoints", sa.Column("own_component", sa.Text(), nullable=True))
    op.add_column("touchpoints", sa.Column("own_weight", sa.Integer(), nullable=True))
    op.create_check_constraint(
        op.f("ck_touchpoints_own_kind"), "touchpoints", "(own_component IS NULL) = (own_weight IS NULL)"
    )
    op.create_index(
        "ix_touchpoints_without_value",
        "touchpoints",
        ["customer_id"],
        unique=False,
        postgresql_where=sa.text("amount_minor IS NOT NULL AND value_minor IS NULL"),
    )
    op.create_table(
        "touchpoint_voids",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("origin_customer_id", sa.UUID(), nullable=False),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("voided_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("outcome", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint(
            "customer_id", "source", "id", "origin_customer_id", name=op.f("pk_touchpoint_voids")
        ),
    )
    op.create_table(
        "health_overrides",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name=op.f("ck_health_overrides_score")),
        sa.CheckConstraint("until > set_at", name=op.f("ck_health_overrides_until")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_health_overrides")),
    )
    op.create_table(
        "health_sentiments",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("sentiment", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "sentiment IN ('happy', 'neutral', 'unhappy')", name=op.f("ck_health_sentiments_sentiment")
        ),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_health_sentiments")),
    )
    op.create_table(
        "scoring_models",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("priors", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("windows", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("row_counts", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("data_hash", sa.Text(), nullable=True),
        sa.Column("backtest", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("gate", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("forced_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('draft', 'shadow', 'active', 'retired')", name=op.f("ck_scoring_models_status")
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_scoring_models")),
    )
    op.create_index(
        "ix_scoring_models_active",
        "scoring_models",
        ["status"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "scoring_model_publications",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("forced_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scoring_model_publications")),
    )
    op.create_table(
        "touchpoint_kinds",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("component", sa.Text(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_touchpoint_kinds")),
    )
    op.create_table(
        "state_replays",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("after_id", sa.UUID(), nullable=False),
        sa.Column("replayed", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_state_replays")),
    )
    # Foreign keys come by ALTER, so that `rapport distribute` can place the tables first.
    for table in ("touchpoint_voids", "health_overrides", "health_sentiments"):
        op.create_foreign_key(
            f"fk_{table}_customer_id_customers", table, "customers", ["customer_id"], ["id"]
        )
    _insert_first_model()


def _insert_first_model() -> None:
    path = files("app.domain.health").joinpath("models", f"{FIRST_MODEL}.json")
    parameters = json.dumps(json.loads(path.read_text("utf-8")))
    op.execute(
        sa.text(
            "INSERT INTO scoring_models"
            " (version, status, parameters, created_at, created_by, published_at, approved_by)"
            " VALUES (:version, 'active', CAST(:parameters AS jsonb), now(), 'rapport', now(), 'rapport')"
        ).bindparams(version=FIRST_MODEL, parameters=parameters)
    )
    op.execute(
        sa.text(
            "INSERT INTO scoring_model_publications (id, version, published_at, approved_by)"
            " VALUES (CAST(:id AS uuid), :version, now(), 'rapport')"
        ).bindparams(id=str(uuid.UUID(int=0)), version=FIRST_MODEL)
    )


def downgrade() -> None:
    op.drop_table("state_replays")
    op.drop_table("touchpoint_kinds")
    op.drop_table("scoring_model_publications")
    op.drop_index(
        "ix_scoring_models_active", table_name="scoring_models", postgresql_where=sa.text("status = 'active'")
    )
    op.drop_table("scoring_models")
    op.drop_table("health_sentiments")
    op.drop_table("health_overrides")
    op.drop_table("touchpoint_voids")
    op.drop_index(
        "ix_touchpoints_without_value",
        table_name="touchpoints",
        postgresql_where=sa.text("amount_minor IS NOT NULL AND value_minor IS NULL"),
    )
    op.drop_constraint(op.f("ck_touchpoints_own_kind"), "touchpoints", type_="check")
    op.drop_column("touchpoints", "own_weight")
    op.drop_column("touchpoints", "own_component")
