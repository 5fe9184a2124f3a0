"""Models that go on scoring whose states have their half-lives, until a replay has reached everybody

Revision ID: 20261122_half_lives
Revises: 20261122_clock
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122_half_lives"
down_revision = "20261122_said_of"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scoring_models", sa.Column("draining_since", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_scoring_models_draining"), "scoring_models", "draining_since IS NULL OR status = 'active'"
    )
    op.drop_index(
        "ix_scoring_models_active", table_name="scoring_models", postgresql_where=sa.text("status = 'active'")
    )
    op.create_index(
        "ix_scoring_models_active",
        "scoring_models",
        ["status"],
        unique=True,
        postgresql_where=sa.text("status = 'active' AND draining_since IS NULL"),
    )


def downgrade() -> None:
    # States of other half-lives cannot be read by a release without them: while a model drains, this refuses.
    op.drop_index(
        "ix_scoring_models_active",
        table_name="scoring_models",
        postgresql_where=sa.text("status = 'active' AND draining_since IS NULL"),
    )
    op.create_index(
        "ix_scoring_models_active",
        "scoring_models",
        ["status"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.drop_constraint(op.f("ck_scoring_models_draining"), "scoring_models", type_="check")
    op.drop_column("scoring_models", "draining_since")
