"""Complaints, their references, log and compensations, and calendars

Revision ID: 20261122e
Revises: 20261122d
"""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122e"
down_revision = "20261122d"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
WORKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
CUSTOMERS_OWN = ("complaints", "complaint_log", "compensations")


def upgrade() -> None:
    _create_complaints()
    _create_what_was_done()
    op.create_table(
        "calendars",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("hours", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("holidays", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_calendars")),
    )
    # Foreign keys come by ALTER, so that `rapport distribute` can place the tables first.
    for table in CUSTOMERS_OWN:
        op.create_foreign_key(
            f"fk_{table}_customer_id_customers", table, "customers", ["customer_id"], ["id"]
        )
    _insert_first_calendar()


def _create_complaints() -> None:
    op.create_table(
        "complaints",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("origin_customer_id", sa.UUID(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("remedy_sought", sa.Text(), nullable=True),
        sa.Column("about", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("calendar", sa.Text(), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("repeat", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("clocks", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("openings", sa.Integer(), nullable=False),
        sa.Column("resolved", sa.Boolean(), nullable=False),
        sa.Column("breaches", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("merged_into", sa.UUID(), nullable=True),
        sa.Column("next_due_at", TIME, nullable=True),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("compensations", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "id", name=op.f("pk_complaints")),
        sa.UniqueConstraint(
            "customer_id",
            "source",
            "source_id",
            "origin_customer_id",
            name="uq_complaints_natural_key",
        ),
    )
    op.create_index("ix_complaints_newest", "complaints", ["id"], unique=False)
    op.create_index("ix_complaints_state", "complaints", ["state", "id"], unique=False)
    op.create_index(
        "ix_complaints_owner",
        "complaints",
        ["owner", "id"],
        unique=False,
        postgresql_where=sa.text("owner IS NOT NULL"),
    )
    op.create_index(
        "ix_complaints_due",
        "complaints",
        ["next_due_at", "customer_id", "id"],
        unique=False,
        postgresql_where=sa.text("next_due_at IS NOT NULL"),
    )
    op.create_table(
        "complaint_references",
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("complaint_id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("reference", name=op.f("pk_complaint_references")),
    )


def _create_what_was_done() -> None:
    op.create_table(
        "complaint_log",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("complaint_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("written_at", TIME, nullable=False),
        sa.Column("written_by", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("visible_to_customer", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("touchpoint_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "complaint_id", "id", name=op.f("pk_complaint_log")),
        sa.UniqueConstraint("customer_id", "complaint_id", "seq", name="uq_complaint_log_seq"),
    )
    op.create_table(
        "compensations",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("complaint_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("points", sa.Integer(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("grant_id", sa.Text(), nullable=False),
        sa.Column("given_by", sa.Text(), nullable=False),
        sa.Column("given_at", TIME, nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_compensations_amount_minor")),
        sa.PrimaryKeyConstraint("customer_id", "complaint_id", "id", name=op.f("pk_compensations")),
        sa.UniqueConstraint("customer_id", "complaint_id", "number", name="uq_compensations_number"),
    )


def _insert_first_calendar() -> None:
    """Every shop begins with office hours in UTC: a promise must be countable before anybody configures one."""
    hours = json.dumps({day: [["09:00", "17:00"]] for day in WORKDAYS})
    op.execute(
        sa.text(
            "INSERT INTO calendars (code, time_zone, hours, holidays, revision, updated_at)"
            " VALUES ('default', 'UTC', CAST(:hours AS jsonb), CAST('[]' AS jsonb), 1, now())"
        ).bindparams(hours=hours)
    )


def downgrade() -> None:
    op.drop_table("calendars")
    op.drop_table("compensations")
    op.drop_table("complaint_log")
    op.drop_table("complaint_references")
    op.drop_table("complaints")
