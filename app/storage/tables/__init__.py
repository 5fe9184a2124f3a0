"""The whole schema. The rules it keeps (docs: CONTRIBUTING.md, test: tests/storage/test_schema_rules.py) let the
same tables run on plain PostgreSQL and, co-located by customer_id, on Citus. One module per subject.
"""

from app.storage.tables import complaints, loyalty
from app.storage.tables.base import metadata
from app.storage.tables.core import api_keys
from app.storage.tables.feedback import feedback
from app.storage.tables.merges import merges
from app.storage.tables.privacy import erasures
from app.storage.tables.surveys import survey_invitations
from app.storage.tables.trust import audit_log

__all__ = [
    "APPEND_ONLY",
    "APP_ROLE",
    "PRIVACY_ROLE",
    "api_keys",
    "audit_log",
    "complaints",
    "erasures",
    "feedback",
    "loyalty",
    "merges",
    "metadata",
    "survey_invitations",
]

APPEND_ONLY = (
    "touchpoints",
    "touchpoint_voids",
    "scoring_model_publications",
    "feedback_revisions",
    "complaint_log",
    "compensations",
    "loyalty_entries",
    "consent_log",
    "erasures",
    "audit_log",
)
"""Tables that the service's role may only read and add to."""

APP_ROLE = "rapport_app"
"""What the service runs as: may add to the log, never change it."""

PRIVACY_ROLE = "rapport_privacy"
"""Taken by SET LOCAL ROLE where the log must change: erase, merge, purge."""
