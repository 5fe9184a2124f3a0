"""Surveys: what is asked, who was invited, and whose quiet periods are shared."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
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
from sqlalchemy.dialects.postgresql import JSONB, UUID

from app.storage.tables.base import TIME, metadata

surveys = Table(
    "surveys",
    metadata,
    Column("code", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("scale", JSONB, nullable=False),
    Column("channel", Text, nullable=False),
    # As the shop wrote them; NULL is not the same as {}.
    Column("trigger", JSONB(none_as_null=True)),
    Column("limits", JSONB(none_as_null=True)),
    Column("active", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    # Only what arrives from then on sets it off; NULL without a trigger.
    Column("triggered_since", TIME),
    # Of a periodic survey: how far the customers were gone through who had bought before; NULL once it is done.
    Column("seeded_after", UUID),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
)

survey_invitations = Table(
    "survey_invitations",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    Column("survey", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("about", Text),
    Column("occasion_key", Text, nullable=False),
    Column("scope_key", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("suppressed_by", Text),
    # Waits for the end of an open complaint, to be decided once more.
    Column("held_back", Boolean, nullable=False),
    Column("next_eligible_at", TIME),
    Column("send_at", TIME, nullable=False),
    # An invitation is decided when it is made and, if that was before send_at, once more when it is due.
    Column("decided_at", TIME, nullable=False),
    Column("expires_at", TIME, nullable=False),
    Column("sent_at", TIME),
    # When its one reminder is due; NULL: none is, or not any more.
    Column("remind_at", TIME),
    Column("reminded_at", TIME),
    Column("answered_at", TIME),
    Column("created_by", Text, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    # Whom it was made for: links and ids carry that customer, also after a merge.
    Column("origin_customer_id", UUID, nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
    # One occasion invites once, however often it is reported or swept.
    UniqueConstraint(
        "customer_id", "occasion_key", "origin_customer_id", name="uq_survey_invitations_occasion"
    ),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
    CheckConstraint(
        "state IN ('queued', 'suppressed', 'sent', 'delivered', 'opened', 'bounced', 'answered', 'expired',"
        " 'cancelled')",
        name="state",
    ),
    CheckConstraint("(state = 'suppressed') = (suppressed_by IS NOT NULL)", name="suppressed_by"),
)
_invitations = survey_invitations.c
# The shop-wide list, newest first: ids are ordered by time.
Index("ix_survey_invitations_id", _invitations.id)
Index("ix_survey_invitations_state", _invitations.state, _invitations.id)
Index("ix_survey_invitations_survey", _invitations.survey, _invitations.id)
# What waits for its time: to be decided once more, and to be sent.
Index(
    "ix_survey_invitations_queued",
    _invitations.send_at,
    _invitations.id,
    postgresql_where=text("state = 'queued'"),
)
Index(
    "ix_survey_invitations_remind",
    _invitations.remind_at,
    _invitations.id,
    postgresql_where=text("remind_at IS NOT NULL"),
)
Index(
    "ix_survey_invitations_expiring",
    _invitations.expires_at,
    _invitations.id,
    postgresql_where=text("state IN ('queued', 'sent', 'delivered', 'opened', 'bounced')"),
)
# Response rates and what was suppressed, for the figures of a period.
Index("ix_survey_invitations_figures", _invitations.kind, _invitations.created_at)
# What an open complaint holds back.
Index(
    "ix_survey_invitations_held_back",
    _invitations.customer_id,
    _invitations.id,
    postgresql_where=text("held_back"),
)

# When somebody is asked a periodic survey next.
survey_periods = Table(
    "survey_periods",
    metadata,
    Column("customer_id", UUID, nullable=False),
    Column("survey", Text, nullable=False),
    Column("due_at", TIME, nullable=False),
    PrimaryKeyConstraint("customer_id", "survey"),
    ForeignKeyConstraint(["customer_id"], ["customers.id"]),
)
Index("ix_survey_periods_due", survey_periods.c.survey, survey_periods.c.due_at, survey_periods.c.customer_id)

# What the members of a household were asked: one row, so that its lock orders two who are asked at once.
survey_scopes = Table(
    "survey_scopes",
    metadata,
    Column("scope_key", Text, primary_key=True),
    # {invitation id: {"at", "kind", "survey", "about"}}
    Column("asked", JSONB, nullable=False, server_default=text("'{}'")),
)

# How far the log was read for occasions.
survey_looks = Table(
    "survey_looks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("read_until", TIME, nullable=False),
)

# Secrets that the service made for itself because none were set.
kept_secrets = Table(
    "kept_secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", TIME, nullable=False),
    CheckConstraint("octet_length(secret) >= 32", name="secret"),
)
