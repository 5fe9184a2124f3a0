"""Customers, their log, their health, and what the shop configures about them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, UUID

from app.storage.tables.base import TIME, metadata

# --- customers: who somebody is -----------------------------------------------------------------------------------

customers = Table(
    "customers",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("name", Text),
    Column("language", Text),
    Column("timezone", Text),
    Column("preferred_channel", Text),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("owner", Text),
    Column("traits", JSONB, nullable=False, server_default=text("'{}'")),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    Column("revision", Integer, nullable=False, server_default=text("1")),
)
# text_pattern_ops: a prefix search must use the index whatever the database's collation is.
Index(
    "ix_customers_name",
    func.lower(customers.c.name).label("lower_name"),
    customers.c.id,
    postgresql_ops={"lower_name": "text_pattern_ops"},
)
Index("ix_customers_tags", customers.c.tags, postgresql_using="gin")
# Whose birthday is on a day: the month and the day that the trait ends with.
Index(
    "ix_customers_birthday",
    func.right(customers.c.traits["birthday"].astext, text("5")),
    customers.c.id,
    postgresql_where=customers.c.traits["birthday"].astext.is_not(None),
)

customer_states = Table(
    "customer_states",
    metadata,
    Column("customer_id", UUID, nullable=False),
    # The integers of domain.health.state.State, encoded; the other columns are drawn from them for lists.
    Column("state", LargeBinary, nullable=False),
    Column("band", Text, nullable=False, server_default=text("'unknown'")),
    Column("score", Double),
    Column("scored_at", TIME),
    # The version of the model that scored, and until when the band surely holds if nothing happens (NULL: for ever, or
    # nothing is known). A time that still holds is kept by a write, so that most writes stay off the index (HOT).
    Column("scored_by", Text),
    Column("band_until", TIME),
    # Goes up when an identifier leaves the customer, so that caches of identifiers can be checked under the row lock.
    Column("identity_revision", Integer, nullable=False, server_default=text("0")),
    Column("merged_into", UUID),
    Column("erased_at", TIME),
    PrimaryKeyConstraint("customer_id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    # Every event rewrites its row: room on the page keeps the rewrite off the indexes (HOT).
    postgresql_with={"fillfactor": 60},
)
Index("ix_customer_states_band", customer_states.c.band, customer_states.c.customer_id)
# Who was merged into somebody: they leave together.
Index(
    "ix_customer_states_merged_into",
    customer_states.c.merged_into,
    postgresql_where=customer_states.c.merged_into.is_not(None),
)
# What a sweep looks for: who is due, and who was scored by another model.
Index(
    "ix_customer_states_due",
    customer_states.c.scored_by,
    customer_states.c.band_until,
    customer_states.c.customer_id,
    postgresql_where=customer_states.c.scored_by.is_not(None),
)

customer_identifiers = Table(
    "customer_identifiers",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("type", Text, nullable=False),
    Column("value_key", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("created_at", TIME, nullable=False),
    # Whose it is but for merges: the customer who claims it.
    Column("origin_customer_id", UUID, nullable=False),
    PrimaryKeyConstraint("customer_id", "type", "value_key"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
)

# Who holds an identifier. Global uniqueness needs a key of its own (schema rule 4): no customer_id in it, no join. A
# merge leaves the claim where it is: the customer it names leads on to the survivor, and gets it back by an undo.
identifier_claims = Table(
    "identifier_claims",
    metadata,
    Column("type", Text, nullable=False),
    Column("value_key", Text, nullable=False),
    Column("customer_id", UUID, nullable=False),
    # The value leads: a search for a bare value knows no type.
    PrimaryKeyConstraint("value_key", "type"),
)

customer_notes = Table(
    "customer_notes",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    Column("text", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("origin_customer_id", UUID, nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
)

# --- touchpoints: the log (append-only; the service's role may not UPDATE or DELETE) --------------------------------

touchpoints = Table(
    "touchpoints",
    metadata,
    Column("customer_id", UUID, nullable=False),
    # The customer it was first written for: a merge copies rows, and their natural keys must not collide.
    Column("origin_customer_id", UUID, nullable=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("occurred_at", TIME, nullable=False),
    Column("received_at", TIME, nullable=False),
    Column("channel", Text),
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("exchange_rate", Numeric),
    # amount_minor in the shop's currency at the time of writing; NULL: no amount, or no rate to it.
    Column("value_minor", BigInteger),
    # `complaint:<complaint_id>`, or `order:<order_id>` of any kind that names an order. Rows of the kinds that change
    # each other's meaning (domain.health.facts.THREADED) are tied by it; to the others it is what they are about.
    Column("thread", Text),
    Column("description", Text),
    Column("items", JSONB),
    Column("properties", JSONB),
    # Of a kind the shop defined itself: what it fed, and with which weight (thousandths), when the row was written. A
    # kind may be changed later, and what has counted must go on counting the same.
    Column("own_component", Text),
    Column("own_weight", Integer),
    Column("body_sha256", LargeBinary, nullable=False),
    # The health member of the answer the caller was given; a retry gets it again, the timeline shows its delta.
    # JSON and not JSONB: a retry gets the very same text.
    Column("outcome", JSON, nullable=False),
    # Since when nothing is left of it but its natural key and the hash of its body (opening_states).
    Column("purged_at", TIME),
    # The loyalty member of that answer; NULL where no programme was published or nothing was bought or given back.
    Column("loyalty", JSON),
    # The origin comes last: "is this id known?" is one look-up by prefix, also after a merge.
    PrimaryKeyConstraint("customer_id", "source", "id", "origin_customer_id"),
    # No foreign key: rows are only added under the lock of their customer_states row, which has one, and a check per
    # row would lock and dirty the customers row on every event. `rapport verify` looks for orphans.
    CheckConstraint("amount_minor >= 0", name="amount_minor"),
    CheckConstraint("octet_length(body_sha256) = 32", name="body_sha256"),
    CheckConstraint("(own_component IS NULL) = (own_weight IS NULL)", name="own_kind"),
)
Index("ix_touchpoints_timeline", touchpoints.c.customer_id, touchpoints.c.occurred_at)
Index(
    "ix_touchpoints_thread",
    touchpoints.c.customer_id,
    touchpoints.c.thread,
    postgresql_where=touchpoints.c.thread.is_not(None),
)
# What a customer said, newest first by kind: the latest answers and the open complaints of the context, whatever else
# the log holds. By kind, because a range of threads ("complaint:" to "complaint;") depends on the database's collation.
Index(
    "ix_touchpoints_answers",
    touchpoints.c.customer_id,
    touchpoints.c.kind,
    touchpoints.c.occurred_at,
    postgresql_where=text(
        "kind IN ('nps', 'csat', 'ces', 'review', 'complaint_opened', 'complaint_resolved')"
    ),
)
# The shop-wide list by time of arrival; new rows always land at its right edge.
Index("ix_touchpoints_received", touchpoints.c.received_at)
# Money that nobody knew a rate for: few rows or none, and each customer's health says whether there are any.
Index(
    "ix_touchpoints_without_value",
    touchpoints.c.customer_id,
    postgresql_where=text("amount_minor IS NOT NULL AND value_minor IS NULL"),
)
# Who does not want to be written to: a red flag, asked for with every context.
Index(
    "ix_touchpoints_unsubscribed",
    touchpoints.c.customer_id,
    postgresql_where=text("kind = 'unsubscribed'"),
)

# What was taken back. The row of the log stays as it is; this marker beside it says that it no longer counts.
touchpoint_voids = Table(
    "touchpoint_voids",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("origin_customer_id", UUID, nullable=False),
    Column("voided_at", TIME, nullable=False),
    Column("voided_by", Text, nullable=False),
    Column("reason", Text),
    # What the caller was told; voiding again is answered with the same.
    Column("outcome", JSON, nullable=False),
    PrimaryKeyConstraint("customer_id", "source", "id", "origin_customer_id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
)

# --- health: what people say beside the score -----------------------------------------------------------------------

health_overrides = Table(
    "health_overrides",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("score", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("until", TIME, nullable=False),
    Column("set_by", Text, nullable=False),
    Column("set_at", TIME, nullable=False),
    # Under which name of a merged customer it was said (NULL: their own), and what it covered, by name.
    Column("said_of", UUID),
    Column("covered", JSONB, nullable=False, server_default=text("'{}'")),
    PrimaryKeyConstraint("customer_id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("score BETWEEN 0 AND 100", name="score"),
    CheckConstraint("until > set_at", name="until"),
)

health_sentiments = Table(
    "health_sentiments",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("sentiment", Text, nullable=False),
    Column("note", Text),
    Column("set_by", Text, nullable=False),
    Column("set_at", TIME, nullable=False),
    # Under which name of a merged customer it was said (NULL: their own), and what it covered, by name.
    Column("said_of", UUID),
    Column("covered", JSONB, nullable=False, server_default=text("'{}'")),
    PrimaryKeyConstraint("customer_id"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint("sentiment IN ('happy', 'neutral', 'unhappy')", name="sentiment"),
)

# --- configuration: small reference tables -------------------------------------------------------------------------

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("last_four", Text, nullable=False),
    Column("publishable", Boolean, nullable=False),
    Column("preset", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("source", Text, nullable=False),
    Column("origins", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("created_at", TIME, nullable=False),
    Column("expires_at", TIME),
    Column("revoked_at", TIME),
    Column("last_used_at", TIME),
    # A rotated key stays alive until its own expires_at beside the one that replaces it.
    Column("replaces", UUID),
    # From where it may be used, as networks; none: from everywhere.
    Column("networks", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    # NULL: the default of the settings; 0: no limit.
    Column("rate_per_minute", Integer),
    # What people call it.
    Column("name", Text),
    # One more with each change, for ETag.
    Column("revision", Integer, nullable=False, server_default=text("0")),
)

# Scoring models. Their numbers never change once written: another number is another version.
scoring_models = Table(
    "scoring_models",
    metadata,
    Column("version", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    # How the numbers were found: None of it for a model that somebody wrote by hand.
    Column("priors", JSONB),
    Column("windows", JSONB),
    Column("row_counts", JSONB),
    Column("data_hash", Text),
    Column("backtest", JSONB),
    # {"passed": bool, "reasons": [...]} of the promotion gate; NULL until it was tried.
    Column("gate", JSONB),
    Column("created_at", TIME, nullable=False),
    Column("created_by", Text, nullable=False),
    # Of the last publication: an older version may be published again.
    Column("published_at", TIME),
    Column("approved_by", Text),
    Column("forced_reason", Text),
    # Since when another one is active, while this one still scores those whose states have its half-lives.
    Column("draining_since", TIME),
    # What the last daily look found, and when somebody began the next one.
    Column("drift", JSONB),
    Column("drift_claimed_at", TIME),
    CheckConstraint("status IN ('draft', 'shadow', 'active', 'retired')", name="status"),
    CheckConstraint("draining_since IS NULL OR status = 'active'", name="draining"),
)
Index(
    "ix_scoring_models_active",
    scoring_models.c.status,
    unique=True,
    postgresql_where=text("status = 'active' AND draining_since IS NULL"),
)

# Which model scored from when on: the marks in a customer's history.
scoring_model_publications = Table(
    "scoring_model_publications",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("version", Text, nullable=False),
    Column("published_at", TIME, nullable=False),
    Column("approved_by", Text, nullable=False),
    Column("forced_reason", Text),
)

# The shop's own kinds of touchpoint, as they are for what arrives from now on.
touchpoint_kinds = Table(
    "touchpoint_kinds",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("component", Text, nullable=False),
    # In thousandths.
    Column("weight", Integer, nullable=False),
    Column("label", Text, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
)

# How far a replay of all states has come; there is no row while none is under way.
state_replays = Table(
    "state_replays",
    metadata,
    Column("name", Text, primary_key=True),
    Column("after_id", UUID, nullable=False),
    Column("replayed", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("started_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
)

# Answers kept for retries of POSTs that have no natural key of their own; 24 hours.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("api_key", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("status", Integer),
    Column("answer", JSONB),
    # The ids in the answer, those of customers among them: a copy of what a customer told us must go with them.
    Column("about", ARRAY(UUID)),
    Column("created_at", TIME, nullable=False),
    PrimaryKeyConstraint("api_key", "route", "key"),
)
Index("ix_idempotency_keys_about", idempotency_keys.c.about, postgresql_using="gin")
Index("ix_idempotency_keys_created_at", idempotency_keys.c.created_at)
