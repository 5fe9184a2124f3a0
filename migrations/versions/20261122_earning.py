"""Points in the write path: what a touchpoint's caller was told of them, orders found by their id alone

Revision ID: 20261122_earning
Revises: 20261122_loyalty
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_earning"
down_revision = "20261122_loyalty"
branch_labels = None
depends_on = None


# Written with each purchase: a check of the customer per row would lock and dirty the customers row on every event.
HOT = ("loyalty_entries", "loyalty_lots", "loyalty_earns", "loyalty_rule_points", "orders")


def upgrade() -> None:
    for table in HOT:
        op.drop_constraint(f"fk_{table}_customer_id_customers", table, type_="foreignkey")
    # Without a default, so nothing is rewritten and the log is locked for an instant.
    op.add_column("touchpoints", sa.Column("loyalty", postgresql.JSON(), nullable=True))
    op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))
    op.add_column("orders", sa.Column("answer", postgresql.JSON(), nullable=True))
    op.drop_constraint(op.f("pk_orders"), "orders", type_="primary")
    op.create_primary_key(
        op.f("pk_orders"), "orders", ["customer_id", "order_id", "source", "origin_customer_id"]
    )


def downgrade() -> None:
    for table in HOT:
        op.create_foreign_key(
            f"fk_{table}_customer_id_customers", table, "customers", ["customer_id"], ["id"]
        )
    op.drop_constraint(op.f("pk_orders"), "orders", type_="primary")
    op.create_primary_key(
        op.f("pk_orders"), "orders", ["customer_id", "source", "order_id", "origin_customer_id"]
    )
    op.drop_column("orders", "answer")
    op.drop_column("orders", "currency")
    op.drop_column("touchpoints", "loyalty")
