"""Who did what as an admin, and how much of its rate each key has used."""

from sqlalchemy import Column, Double, Index, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from app.storage.tables.base import TIME, metadata

# Append-only. Holds neither secrets nor personal data (domain/audit.py), so it stays when somebody is erased.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("at", TIME, nullable=False),
    # The id of a key, `admin`, `oidc:<subject>` or `cli`.
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    # `<what>:<its id>`.
    Column("target", Text, nullable=False),
    Column("before", JSONB(none_as_null=True)),
    Column("after", JSONB(none_as_null=True)),
)
Index("ix_audit_log_actor", audit_log.c.actor, audit_log.c.id)
Index("ix_audit_log_target", audit_log.c.target, audit_log.c.id)

# How far ahead of the clock each key is (GCRA's theoretical arrival time, Unix seconds), summed over all processes.
# One row for each key; there is none for a key that has not been used for a while.
rate_usage = Table(
    "rate_usage",
    metadata,
    Column("api_key", Text, primary_key=True),
    Column("arrival", Double, nullable=False),
    Column("updated_at", TIME, nullable=False),
)
Index("ix_rate_usage_updated_at", rate_usage.c.updated_at)
