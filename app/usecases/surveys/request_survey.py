"""A caller wants a customer asked a survey now."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg

from app.domain.admission import OPEN, Admission
from app.domain.feedback.subjects import subject_key
from app.domain.identifiers import Reference
from app.domain.ids import uuid7
from app.domain.problems import Conflict
from app.storage import surveys
from app.storage.invitations import StoredInvitation
from app.usecases.feedback.lock_recipient import lock_recipient
from app.usecases.surveys.define_survey import survey_not_found
from app.usecases.surveys.invite import invite


async def request_survey(
    connection: asyncpg.Connection,
    reference: Reference,
    code: str,
    about: str | Mapping[str, Any] | None,
    *,
    pepper: bytes,
    by: str,
    now: datetime,
    admission: Admission = OPEN,
) -> StoredInvitation:
    """The invitation, queued or suppressed. A customer whom nobody knows is created.

    Raises NotFound `survey_not_found` or `customer_not_found`, Conflict `survey_inactive` or `identity_conflict`, Gone
    `erased`, Invalid `invalid_about`.
    """
    stored = await surveys.find(connection, code)
    if stored is None:
        raise survey_not_found()
    if not stored.active:
        raise survey_inactive()

    locked = await lock_recipient(connection, reference, now, admission=admission)
    # Whoever asks twice without an Idempotency-Key asks twice; the quiet periods are there for that.
    occasion_key = f"{code}:asked:{uuid7(int(now.timestamp() * 1000))}"
    made = await invite(
        connection,
        locked,
        stored.survey,
        about=subject_key(about),
        occasion_key=occasion_key,
        send_at=now,
        pepper=pepper,
        by=by,
        now=now,
    )
    return made.row


def survey_inactive() -> Conflict:
    """PATCH with `active: true` begins it again."""
    return Conflict("survey_inactive", "This survey has ended; nobody is invited to it.")
