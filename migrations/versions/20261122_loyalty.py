"""Loyalty: programmes and their versions, the ledger, orders, referrals, coupons

Revision ID: 20261122_loyalty
Revises: 20261122s
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_loyalty"
down_revision = "20261122s"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = postgresql.JSONB()
CUSTOMERS_OWN = (
    "loyalty_accounts",
    "loyalty_entries",
    "loyalty_lots",
    "loyalty_holds",
    "loyalty_spends",
    "loyalty_earns",
    "loyalty_rule_points",
    "loyalty_adjustments",
    "orders",
    "loyalty_referrals",
    "loyalty_merges",
)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _whole(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _times(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, TIME, nullable=False) for name in names]


def _documents(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, JSON, nullable=False) for name in names]


def upgrade() -> None:
    _create_what_is_promised()
    _create_accounts()
    _create_what_goes_out()
    _create_what_comes_in()
    _create_orders_and_people()
    # Foreign keys come by ALTER, so that `rapport distribute` can place the tables first.
    for table in CUSTOMERS_OWN:
        op.create_foreign_key(
            f"fk_{table}_customer_id_customers", table, "customers", ["customer_id"], ["id"]
        )


def _create_what_is_promised() -> None:
    op.create_table(
        "loyalty_programs",
        *_texts("code", "name", "currency", "time_zone"),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("closed_at", TIME, nullable=True),
        sa.Column("ends_at", TIME, nullable=True),
        sa.Column("wound_up_at", TIME, nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("versions", sa.Integer(), nullable=False),
        sa.CheckConstraint("ends_at >= closed_at", name=op.f("ck_loyalty_programs_ends_at")),
        sa.CheckConstraint("revision > 0 AND versions >= 0", name=op.f("ck_loyalty_programs_counts")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_loyalty_programs")),
    )
    op.create_table(
        "loyalty_versions",
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("effective_from", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("published_at", TIME, nullable=True),
        sa.Column("published_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(status = 'published') = (effective_from IS NOT NULL AND published_at IS NOT NULL AND "
            "published_by IS NOT NULL)",
            name=op.f("ck_loyalty_versions_published"),
        ),
        sa.CheckConstraint("status IN ('draft', 'published')", name=op.f("ck_loyalty_versions_status")),
        sa.PrimaryKeyConstraint("program", "version", name=op.f("pk_loyalty_versions")),
    )
    op.create_table(
        "loyalty_rewards",
        *_texts("program", "code"),
        sa.Column("body", JSON, nullable=False),
        sa.Column("stock", sa.BigInteger(), nullable=True),
        sa.Column("coupons", sa.Text(), nullable=True),
        sa.Column("coupon_prefix", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        *_times("created_at", "updated_at"),
        sa.Column("retired_at", TIME, nullable=True),
        sa.CheckConstraint("coupons IN ('given', 'generated')", name=op.f("ck_loyalty_rewards_coupons")),
        sa.CheckConstraint("stock >= 0", name=op.f("ck_loyalty_rewards_stock")),
        sa.PrimaryKeyConstraint("program", "code", name=op.f("pk_loyalty_rewards")),
    )
    op.create_table(
        "loyalty_coupons",
        *_texts("program", "key", "reward", "code"),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("added_at", TIME, nullable=False),
        sa.Column("taken_by", sa.UUID(), nullable=True),
        sa.Column("taken_for", sa.Text(), nullable=True),
        sa.Column("taken_at", TIME, nullable=True),
        sa.CheckConstraint(
            "(taken_by IS NULL) = (taken_for IS NULL) AND (taken_by IS NULL) = (taken_at IS NULL)",
            name=op.f("ck_loyalty_coupons_taken"),
        ),
        sa.PrimaryKeyConstraint("program", "key", name=op.f("pk_loyalty_coupons")),
    )
    op.create_index(
        "ix_loyalty_coupons_free",
        "loyalty_coupons",
        ["program", "reward", "id"],
        unique=False,
        postgresql_where=sa.text("taken_by IS NULL"),
    )


def _create_accounts() -> None:
    op.create_table(
        "loyalty_accounts",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("last_at", TIME, nullable=True),
        *_whole("debt", "lifetime_earned", "lifetime_burned", "lifetime_expired"),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("tier_since", TIME, nullable=True),
        sa.Column("review_at", TIME, nullable=True),
        sa.Column("grace_until", TIME, nullable=True),
        sa.Column("due_at", TIME, nullable=True),
        sa.Column("warned_until", TIME, nullable=True),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("debt >= 0", name=op.f("ck_loyalty_accounts_debt")),
        sa.CheckConstraint("length(head) = 32", name=op.f("ck_loyalty_accounts_head")),
        sa.CheckConstraint(
            "seq >= 0 AND (seq = 0) = (last_at IS NULL)", name=op.f("ck_loyalty_accounts_seq")
        ),
        sa.PrimaryKeyConstraint("customer_id", "program", name=op.f("pk_loyalty_accounts")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_loyalty_accounts_due",
        "loyalty_accounts",
        ["due_at", "customer_id", "program"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "loyalty_entries",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        *_times("at", "effective_at"),
        sa.Column("movements", JSON, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        *_whole("debt_change", "forgiven", "qualifying"),
        sa.Column("qualified_at", TIME, nullable=True),
        sa.Column("activates_at", TIME, nullable=True),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.CheckConstraint("(kind = 'tier_move') = (tier IS NOT NULL)", name=op.f("ck_loyalty_entries_tier")),
        sa.CheckConstraint(
            "kind IN ('earn', 'opening', 'adjust', 'spend', 'restore', 'reinstate', 'clawback', "
            "'expire', 'absorb', 'transfer_in', 'transfer_out', 'tier_move')",
            name=op.f("ck_loyalty_entries_kind"),
        ),
        sa.CheckConstraint(
            "points <= 0 OR kind IN ('earn', 'opening', 'adjust', 'restore', 'reinstate', "
            "'transfer_in', 'transfer_out')",
            name=op.f("ck_loyalty_entries_created"),
        ),
        sa.CheckConstraint(
            "(qualifying = 0) OR qualified_at IS NOT NULL", name=op.f("ck_loyalty_entries_qualified_at")
        ),
        sa.CheckConstraint("length(hash) = 32", name=op.f("ck_loyalty_entries_hash")),
        sa.CheckConstraint("seq > 0", name=op.f("ck_loyalty_entries_seq")),
        sa.PrimaryKeyConstraint("customer_id", "program", "seq", name=op.f("pk_loyalty_entries")),
    )
    op.create_index(
        "ix_loyalty_entries_qualifying",
        "loyalty_entries",
        ["customer_id", "program", "qualified_at"],
        unique=False,
        postgresql_include=["qualifying"],
        postgresql_where=sa.text("qualifying != 0"),
    )
    op.create_index(
        "uq_loyalty_entries_natural_key",
        "loyalty_entries",
        ["customer_id", "program", "kind", "key"],
        unique=True,
        postgresql_where=sa.text("kind IN ('earn', 'opening', 'adjust', 'spend', 'tier_move')"),
    )
    op.create_table(
        "loyalty_lots",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("lot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("activates_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("earn_key", sa.Text(), nullable=True),
        *_whole(
            "granted", "drawn", "restored", "revoked", "expired", "absorbed", "moved", "held", "remaining"
        ),
        sa.CheckConstraint(
            "0 <= held AND held <= remaining AND remaining <= granted + restored",
            name=op.f("ck_loyalty_lots_held_and_remaining"),
        ),
        sa.CheckConstraint(
            "least(granted, drawn, restored, revoked, expired, absorbed, moved) >= 0",
            name=op.f("ck_loyalty_lots_counters"),
        ),
        sa.CheckConstraint("lot > 0", name=op.f("ck_loyalty_lots_lot")),
        sa.CheckConstraint(
            "remaining = granted + restored - drawn - revoked - expired - absorbed - moved",
            name=op.f("ck_loyalty_lots_remaining"),
        ),
        sa.CheckConstraint("restored <= drawn", name=op.f("ck_loyalty_lots_restored")),
        sa.PrimaryKeyConstraint("customer_id", "program", "lot", name=op.f("pk_loyalty_lots")),
    )
    op.create_index(
        "ix_loyalty_lots_liability",
        "loyalty_lots",
        ["program", "expires_at"],
        unique=False,
        postgresql_include=["remaining", "held"],
        postgresql_where=sa.text("remaining > 0"),
    )
    op.create_index(
        "ix_loyalty_lots_remaining",
        "loyalty_lots",
        ["customer_id", "program"],
        unique=False,
        postgresql_where=sa.text("remaining > 0"),
    )


def _create_what_goes_out() -> None:
    op.create_table(
        "loyalty_holds",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        *_texts("program", "hold_id"),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("locks", JSON, nullable=False),
        *_times("opened_at", "expires_at"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("captured", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at", TIME, nullable=True),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("reward", sa.Text(), nullable=True),
        *_documents("terms", "away"),
        sa.CheckConstraint(
            "(state = 'open') = (resolved_at IS NULL)", name=op.f("ck_loyalty_holds_resolved_at")
        ),
        sa.CheckConstraint(
            "state IN ('open', 'captured', 'released', 'expired', 'moved')",
            name=op.f("ck_loyalty_holds_state"),
        ),
        sa.CheckConstraint(
            "points > 0 AND 0 <= captured AND captured <= points", name=op.f("ck_loyalty_holds_points")
        ),
        sa.PrimaryKeyConstraint("customer_id", "program", "hold_id", name=op.f("pk_loyalty_holds")),
        sa.UniqueConstraint("customer_id", "id", name="uq_loyalty_holds_id"),
    )
    op.create_index(
        "ix_loyalty_holds_open",
        "loyalty_holds",
        ["customer_id", "program"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "loyalty_spends",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        *_texts("program", "spend_id"),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("draws", JSON, nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("reward", sa.Text(), nullable=True),
        sa.Column("refunds", JSON, nullable=False),
        sa.Column("refundable", sa.BigInteger(), nullable=False),
        sa.Column("coupon", sa.Text(), nullable=True),
        sa.Column("failed", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "0 <= refundable AND refundable <= points", name=op.f("ck_loyalty_spends_refundable")
        ),
        sa.PrimaryKeyConstraint("customer_id", "program", "spend_id", name=op.f("pk_loyalty_spends")),
        sa.UniqueConstraint("customer_id", "id", name="uq_loyalty_spends_id"),
    )
    op.create_index(
        "ix_loyalty_spends_reward",
        "loyalty_spends",
        ["customer_id", "program", "reward"],
        unique=False,
        postgresql_where=sa.text("reward IS NOT NULL"),
    )


def _create_what_comes_in() -> None:
    op.create_table(
        "loyalty_earns",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        *_texts("program", "key"),
        *_whole("points", "paid_minor"),
        sa.Column("occurred_at", TIME, nullable=False),
        sa.Column("lots", postgresql.ARRAY(sa.Integer()), nullable=False),
        *_whole(
            "qualifying",
            "refunded_minor",
            "clawed",
            "forgiven",
            "indebted",
            "lapsed",
            "recoverable",
            "disqualified",
        ),
        sa.Column("clawbacks", JSON, nullable=False),
        sa.Column("explain", JSON, nullable=True),
        sa.CheckConstraint("clawed + forgiven + indebted <= points", name=op.f("ck_loyalty_earns_settled")),
        sa.CheckConstraint("lapsed + recoverable <= forgiven", name=op.f("ck_loyalty_earns_forgiven")),
        sa.CheckConstraint(
            "least(points, paid_minor, refunded_minor, clawed, forgiven, indebted, lapsed, recoverable) >= 0",
            name=op.f("ck_loyalty_earns_counters"),
        ),
        sa.PrimaryKeyConstraint("customer_id", "program", "key", name=op.f("pk_loyalty_earns")),
    )
    op.create_index(
        "ix_loyalty_earns_recoverable",
        "loyalty_earns",
        ["customer_id", "program"],
        unique=False,
        postgresql_where=sa.text("recoverable > 0"),
    )
    op.create_table(
        "loyalty_rule_points",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        *_texts("program", "rule"),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("points >= 0", name=op.f("ck_loyalty_rule_points_points")),
        sa.PrimaryKeyConstraint("customer_id", "program", "rule", "day", name=op.f("pk_loyalty_rule_points")),
    )
    op.create_table(
        "loyalty_adjustments",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        *_texts("program", "key"),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("proposal_id", sa.Text(), nullable=True),
        *_texts("kind", "state"),
        sa.Column("points", sa.BigInteger(), nullable=False),
        *_texts("reason_code", "note"),
        sa.Column("about", sa.Text(), nullable=True),
        sa.Column("allow_debt", sa.Boolean(), nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("proposed_at", TIME, nullable=False),
        sa.Column("approver", sa.Text(), nullable=True),
        sa.Column("booked_at", TIME, nullable=True),
        sa.Column("debt", sa.BigInteger(), nullable=True),
        sa.Column("entry", sa.Integer(), nullable=True),
        sa.Column("terms", JSON, nullable=True),
        sa.CheckConstraint(
            "(state = 'booked') = (booked_at IS NOT NULL AND entry IS NOT NULL AND debt IS NOT NULL AND "
            "terms IS NOT NULL)",
            name=op.f("ck_loyalty_adjustments_booked"),
        ),
        sa.CheckConstraint(
            "kind IN ('adjust', 'opening', 'tier_move')", name=op.f("ck_loyalty_adjustments_kind")
        ),
        sa.CheckConstraint(
            "state IN ('proposed', 'booked', 'declined')", name=op.f("ck_loyalty_adjustments_state")
        ),
        sa.CheckConstraint("approver <> actor", name=op.f("ck_loyalty_adjustments_approver")),
        sa.PrimaryKeyConstraint("customer_id", "program", "key", name=op.f("pk_loyalty_adjustments")),
        sa.UniqueConstraint("customer_id", "id", name="uq_loyalty_adjustments_id"),
    )
    op.create_index("ix_loyalty_adjustments_state", "loyalty_adjustments", ["state", "id"], unique=False)


def _create_orders_and_people() -> None:
    op.create_table(
        "orders",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        *_texts("source", "order_id"),
        sa.Column("origin_customer_id", sa.UUID(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("state", JSON, nullable=True),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("is_paid", sa.Boolean(), nullable=False),
        sa.Column("chunks", JSON, nullable=False),
        sa.Column("adopted", sa.Text(), nullable=True),
        *_documents("parked", "effects"),
        sa.Column("revision", sa.Integer(), nullable=False),
        *_times("created_at", "updated_at"),
        sa.CheckConstraint("(version IS NULL) = (state IS NULL)", name=op.f("ck_orders_version")),
        sa.CheckConstraint("cycle >= 0", name=op.f("ck_orders_cycle")),
        sa.PrimaryKeyConstraint(
            "customer_id", "source", "order_id", "origin_customer_id", name=op.f("pk_orders")
        ),
    )
    # ### end Alembic commands ###
    op.create_table(
        "loyalty_referrals",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("other_customer_id", sa.UUID(), nullable=False),
        *_texts("code", "state"),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("order_id", sa.Text(), nullable=True),
        *_times("created_at", "at"),
        sa.Column("due_at", TIME, nullable=True),
        sa.CheckConstraint("side IN ('referrer', 'referee')", name=op.f("ck_loyalty_referrals_side")),
        sa.CheckConstraint(
            "state IN ('attributed', 'on_hold', 'qualified', 'pending', 'rewarded', 'rejected', 'reversed')",
            name=op.f("ck_loyalty_referrals_state"),
        ),
        sa.PrimaryKeyConstraint("customer_id", "program", "id", "side", name=op.f("pk_loyalty_referrals")),
    )
    op.create_index(
        "ix_loyalty_referrals_due",
        "loyalty_referrals",
        ["due_at", "customer_id"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "loyalty_merges",
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("source_customer_id", sa.UUID(), nullable=False),
        sa.Column("merge", JSON, nullable=False),
        sa.Column("merged_at", TIME, nullable=False),
        sa.Column("undone_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "program", "id", name=op.f("pk_loyalty_merges")),
    )
    op.create_table(
        "referral_codes",
        *_texts("code", "program"),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_referral_codes")),
    )
    op.create_index("ix_referral_codes_customer", "referral_codes", ["customer_id", "program"], unique=False)
    op.create_table(
        "referred_customers",
        *_texts("program", "key"),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("referral_id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("program", "key", name=op.f("pk_referred_customers")),
    )


def downgrade() -> None:
    op.drop_table("referred_customers")
    op.drop_table("referral_codes")
    op.drop_table("loyalty_merges")
    op.drop_table("loyalty_referrals")
    op.drop_table("orders")
    op.drop_table("loyalty_adjustments")
    op.drop_table("loyalty_rule_points")
    op.drop_table("loyalty_earns")
    op.drop_table("loyalty_spends")
    op.drop_table("loyalty_holds")
    op.drop_table("loyalty_lots")
    op.drop_table("loyalty_entries")
    op.drop_table("loyalty_accounts")
    op.drop_table("loyalty_coupons")
    op.drop_table("loyalty_rewards")
    op.drop_table("loyalty_versions")
    op.drop_table("loyalty_programs")
