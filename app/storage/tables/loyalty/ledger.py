"""The ledger: entries that are never changed, and the rows that are what these entries come to.

Entries, lots, earns and the points of rules have no foreign key, for the reason touchpoints have none: they are written
under the lock of a state row with each purchase, and beside an account, which has one. `rapport verify` looks for
orphans. Everything but the entries can be rebuilt from them (domain.loyalty.balances.rebuilt); the CHECKs hold whatever
the code does.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from app.storage.tables.base import TIME, metadata

loyalty_accounts = Table(
    "loyalty_accounts",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("program", Text, nullable=False),
    # The chain starts from it, so it is never made anew.
    Column("account_id", UUID, nullable=False),
    # Of the last entry; 0 and NULL before the first.
    Column("seq", Integer, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("last_at", TIME),
    Column("debt", BigInteger, nullable=False),
    Column("lifetime_earned", BigInteger, nullable=False),
    Column("lifetime_burned", BigInteger, nullable=False),
    Column("lifetime_expired", BigInteger, nullable=False),
    # domain.loyalty.tiers.Standing; NULL before the first entry.
    Column("tier", Text),
    Column("tier_since", TIME),
    Column("review_at", TIME),
    Column("grace_until", TIME),
    # When the account next has clock work (points, holds, tier); NULL: never.
    Column("due_at", TIME),
    # Of what customers were warned already: everything that lapses before.
    Column("warned_until", TIME),
    # The number of the version whose tiers the standing was last drawn by; 0: of none. A worker finds the others.
    Column("ruled_by", Integer, nullable=False, server_default=text("0")),
    Column("opened_at", TIME, nullable=False),
    # Counts writes of this row: one who saves says which one was read.
    Column("revision", BigInteger, nullable=False),
    PrimaryKeyConstraint("customer_id", "program"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("seq >= 0 AND (seq = 0) = (last_at IS NULL)", name="seq"),
    CheckConstraint("debt >= 0", name="debt"),
    CheckConstraint("length(head) = 32", name="head"),
    # Every purchase rewrites its row: room on the page keeps the rewrite off the indexes (HOT).
    postgresql_with={"fillfactor": 70},
)
Index(
    "ix_loyalty_accounts_due",
    loyalty_accounts.c.due_at,
    loyalty_accounts.c.customer_id,
    loyalty_accounts.c.program,
    postgresql_where=loyalty_accounts.c.due_at.is_not(None),
)
# Without the customer, so that nobody looks for a customer's account in it.
Index("ix_loyalty_accounts_ruled", loyalty_accounts.c.program, loyalty_accounts.c.ruled_by)
# Lists of customers by their tier, newest first.
Index(
    "ix_loyalty_accounts_tier",
    loyalty_accounts.c.program,
    loyalty_accounts.c.tier,
    loyalty_accounts.c.customer_id,
    postgresql_where=loyalty_accounts.c.tier.is_not(None),
)

# domain.loyalty.account.Entry, append-only.
loyalty_entries = Table(
    "loyalty_entries",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("program", Text, nullable=False),
    Column("seq", Integer, nullable=False, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("at", TIME, nullable=False),
    Column("effective_at", TIME, nullable=False),
    # [[lot, what, points]], in their order.
    Column("movements", JSONB, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    # The natural key. Not part of the hash: it may hold an id that is about a person.
    Column("key", Text, nullable=False),
    Column("debt_change", BigInteger, nullable=False),
    Column("forgiven", BigInteger, nullable=False),
    Column("qualifying", BigInteger, nullable=False),
    Column("qualified_at", TIME),
    Column("activates_at", TIME),
    Column("expires_at", TIME),
    Column("tier", Text),
    PrimaryKeyConstraint("customer_id", "program", "seq"),
    CheckConstraint("seq > 0", name="seq"),
    CheckConstraint("length(hash) = 32", name="hash"),
    CheckConstraint(
        "kind IN ('earn', 'opening', 'adjust', 'spend', 'restore', 'reinstate', 'clawback', 'expire', 'absorb',"
        " 'transfer_in', 'transfer_out', 'tier_move')",
        name="kind",
    ),
    # Only these make points (a transfer out when it is a debt that leaves).
    CheckConstraint(
        "points <= 0 OR kind IN ('earn', 'opening', 'adjust', 'restore', 'reinstate', 'transfer_in', 'transfer_out')",
        name="created",
    ),
    CheckConstraint("(qualifying = 0) OR qualified_at IS NOT NULL", name="qualified_at"),
    CheckConstraint("(kind = 'tier_move') = (tier IS NOT NULL)", name="tier"),
)
# Nothing is earned, given or spent twice, whatever the code does.
Index(
    "uq_loyalty_entries_natural_key",
    loyalty_entries.c.customer_id,
    loyalty_entries.c.program,
    loyalty_entries.c.kind,
    loyalty_entries.c.key,
    unique=True,
    postgresql_where=loyalty_entries.c.kind.in_(("earn", "opening", "adjust", "spend", "tier_move")),
)
# What counts towards a tier, by when it counts; the sum is read from the index alone.
Index(
    "ix_loyalty_entries_qualifying",
    loyalty_entries.c.customer_id,
    loyalty_entries.c.program,
    loyalty_entries.c.qualified_at,
    postgresql_include=["qualifying"],
    postgresql_where=loyalty_entries.c.qualifying != 0,
)

# What was written after a time in the past. Entries come in order of time: a few kilobytes tell which pages hold them.
Index("ix_loyalty_entries_at", loyalty_entries.c.at, postgresql_using="brin")

# domain.loyalty.account.Lot. `lot` is the number of the entry that made it.
loyalty_lots = Table(
    "loyalty_lots",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("program", Text, nullable=False),
    Column("lot", Integer, nullable=False, autoincrement=False),
    Column("activates_at", TIME, nullable=False),
    Column("expires_at", TIME),
    Column("earn_key", Text),
    Column("granted", BigInteger, nullable=False),
    Column("drawn", BigInteger, nullable=False),
    Column("restored", BigInteger, nullable=False),
    Column("revoked", BigInteger, nullable=False),
    Column("expired", BigInteger, nullable=False),
    Column("absorbed", BigInteger, nullable=False),
    Column("moved", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    PrimaryKeyConstraint("customer_id", "program", "lot"),
    CheckConstraint(
        "0 <= held AND held <= remaining AND remaining <= granted + restored", name="held_and_remaining"
    ),
    CheckConstraint(
        "remaining = granted + restored - drawn - revoked - expired - absorbed - moved", name="remaining"
    ),
    CheckConstraint("restored <= drawn", name="restored"),
    CheckConstraint(
        "least(granted, drawn, restored, revoked, expired, absorbed, moved) >= 0", name="counters"
    ),
    CheckConstraint("lot > 0", name="lot"),
)
Index(
    "ix_loyalty_lots_remaining",
    loyalty_lots.c.customer_id,
    loyalty_lots.c.program,
    postgresql_where=loyalty_lots.c.remaining > 0,
)
# What the shop owes, by month of expiry: read from the index alone.
Index(
    "ix_loyalty_lots_liability",
    loyalty_lots.c.program,
    loyalty_lots.c.expires_at,
    postgresql_include=["remaining", "held"],
    postgresql_where=loyalty_lots.c.remaining > 0,
)

# domain.loyalty.account.Hold. `hold_id` is the shop's; `id` is what the public id carries.
loyalty_holds = Table(
    "loyalty_holds",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("program", Text, nullable=False),
    Column("hold_id", Text, nullable=False),
    Column("id", UUID, nullable=False),
    Column("points", BigInteger, nullable=False),
    # [[lot, points]].
    Column("locks", JSONB, nullable=False),
    Column("opened_at", TIME, nullable=False),
    Column("expires_at", TIME, nullable=False),
    Column("state", Text, nullable=False),
    Column("captured", BigInteger, nullable=False),
    Column("resolved_at", TIME),
    Column("order_id", Text),
    Column("reward", Text),
    Column("terms", JSONB, nullable=False),
    # [[since, until]].
    Column("away", JSONB, nullable=False),
    PrimaryKeyConstraint("customer_id", "program", "hold_id"),
    UniqueConstraint("customer_id", "id", name="uq_loyalty_holds_id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("state IN ('open', 'captured', 'released', 'expired', 'moved')", name="state"),
    CheckConstraint("(state = 'open') = (resolved_at IS NULL)", name="resolved_at"),
    CheckConstraint("points > 0 AND 0 <= captured AND captured <= points", name="points"),
)
Index(
    "ix_loyalty_holds_open",
    loyalty_holds.c.customer_id,
    loyalty_holds.c.program,
    postgresql_where=loyalty_holds.c.state == "open",
)

# domain.loyalty.account.Spend, with its refunds.
loyalty_spends = Table(
    "loyalty_spends",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("program", Text, nullable=False),
    Column("spend_id", Text, nullable=False),
    Column("id", UUID, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("at", TIME, nullable=False),
    # [[lot, points, restored]].
    Column("draws", JSONB, nullable=False),
    Column("order_id", Text),
    Column("reward", Text),
    # [[id, points, restored, lapsed, reinstated, reinstated_until]].
    Column("refunds", JSONB, nullable=False),
    Column("refundable", BigInteger, nullable=False),
    # {refund id: why}; written by whoever refunds.
    Column("reasons", JSONB, nullable=False, server_default=text("'{}'")),
    # What was handed out for it, and why nothing was: written by whoever redeems.
    Column("coupon", Text),
    Column("failed", Text),
    PrimaryKeyConstraint("customer_id", "program", "spend_id"),
    UniqueConstraint("customer_id", "id", name="uq_loyalty_spends_id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("0 <= refundable AND refundable <= points", name="refundable"),
)
# How often a customer has had a reward.
Index(
    "ix_loyalty_spends_reward",
    loyalty_spends.c.customer_id,
    loyalty_spends.c.program,
    loyalty_spends.c.reward,
    postgresql_where=loyalty_spends.c.reward.is_not(None),
)

# domain.loyalty.account.Earn: once for its key, for ever. `explain` says why, also where nothing was earned.
loyalty_earns = Table(
    "loyalty_earns",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("program", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("paid_minor", BigInteger, nullable=False),
    Column("occurred_at", TIME, nullable=False),
    Column("lots", ARRAY(Integer), nullable=False),
    Column("qualifying", BigInteger, nullable=False),
    Column("refunded_minor", BigInteger, nullable=False),
    Column("clawed", BigInteger, nullable=False),
    Column("forgiven", BigInteger, nullable=False),
    Column("indebted", BigInteger, nullable=False),
    Column("lapsed", BigInteger, nullable=False),
    Column("recoverable", BigInteger, nullable=False),
    Column("disqualified", BigInteger, nullable=False),
    # [[id, asked, amount_minor, due, taken, forgiven, indebted]].
    Column("clawbacks", JSONB, nullable=False),
    # domain.loyalty.explain.explained; NULL where another account told it (a merge).
    Column("explain", JSONB),
    PrimaryKeyConstraint("customer_id", "program", "key"),
    CheckConstraint("clawed + forgiven + indebted <= points", name="settled"),
    CheckConstraint(
        "least(points, paid_minor, refunded_minor, clawed, forgiven, indebted, lapsed, recoverable) >= 0",
        name="counters",
    ),
    CheckConstraint("lapsed + recoverable <= forgiven", name="forgiven"),
)
Index(
    "ix_loyalty_earns_recoverable",
    loyalty_earns.c.customer_id,
    loyalty_earns.c.program,
    postgresql_where=loyalty_earns.c.recoverable > 0,
)

# What each capped rule gave on each local day: the caps of a period are sums of these.
loyalty_rule_points = Table(
    "loyalty_rule_points",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("program", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("points", BigInteger, nullable=False),
    PrimaryKeyConstraint("customer_id", "program", "rule", "day"),
    CheckConstraint("points >= 0", name="points"),
)

# What people gave and took, brought along or moved (domain.loyalty.account.Adjusted), and what they propose
# (domain.loyalty.approvals.Proposal). `key` is the natural key: a gift is once for what it is about.
loyalty_adjustments = Table(
    "loyalty_adjustments",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("program", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("id", UUID, nullable=False),
    # As the caller named it; NULL for an opening balance or a tier move.
    Column("proposal_id", Text),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("reason_code", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("about", Text),
    Column("allow_debt", Boolean, nullable=False),
    Column("expires_at", TIME),
    Column("actor", Text, nullable=False),
    Column("proposed_at", TIME, nullable=False),
    Column("approver", Text),
    # Once booked: the part no points were there for, the number of the entry, and what it is once for.
    Column("booked_at", TIME),
    Column("debt", BigInteger),
    Column("entry", Integer),
    Column("terms", JSONB),
    PrimaryKeyConstraint("customer_id", "program", "key"),
    UniqueConstraint("customer_id", "id", name="uq_loyalty_adjustments_id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("state IN ('proposed', 'booked', 'declined')", name="state"),
    CheckConstraint("kind IN ('adjust', 'opening', 'tier_move')", name="kind"),
    CheckConstraint(
        "(state = 'booked') = (booked_at IS NOT NULL AND entry IS NOT NULL AND debt IS NOT NULL"
        " AND terms IS NOT NULL)",
        name="booked",
    ),
    # The second pair of eyes is not the first one.
    CheckConstraint("approver <> actor", name="approver"),
)
# Lists of what waits for a second person, newest first.
Index(
    "ix_loyalty_adjustments_state",
    loyalty_adjustments.c.state,
    loyalty_adjustments.c.id,
)
