"""After somebody spoke with a customer about a bad answer, the same survey asks them once more."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

import asyncpg

from app.domain.feedback.follow_ups import look_again_at
from app.domain.feedback.surveys import WORTH_ASKING, Survey
from app.storage import feedback, follow_ups, surveys
from app.storage.follow_ups import FollowUpRow
from app.storage.invitations import StoredInvitation
from app.storage.states import StateRow
from app.usecases.surveys.invite import decide_again, invite, is_gone


async def ask_again(
    connection: asyncpg.Connection, locked: StateRow, own_id: UUID, *, pepper: bytes, by: str, now: datetime
) -> StoredInvitation | None:
    """The invitation of a locked customer after this follow-up, as it was decided just now; None: nothing was.

    A follow-up invites once, by its occasion. While something passing holds the invitation back, the follow-up stays
    due; what nobody asked (an answer without a survey) or what has ended is not asked again.
    """
    row = await follow_ups.get(connection, locked.customer_id, own_id)
    if row is None or row.ask_again_at is None or row.ask_due_at is None or row.ask_due_at > now:
        return None
    too_late = row.ask_due_at < now - WORTH_ASKING
    survey = None if too_late or is_gone(locked) else await _survey(connection, row)
    if survey is None:
        await follow_ups.put(connection, replace(row, ask_due_at=None))
        return None
    made, is_decided = await _invitation(connection, locked, survey, row, pepper, by, now)
    is_first = row.invitation_id is None
    await follow_ups.put(
        connection,
        replace(
            row,
            # Seen on the wire, so it is a change; later looks at the same invitation are not.
            one=replace(row.one, version=row.one.version + 1) if is_first else row.one,
            ask_due_at=look_again_at(row.ask_again_at, made.suppressed_by, made.next_eligible_at, now),
            invitation_id=made.id,
            updated_at=now if is_first else row.updated_at,
        ),
    )
    return made if is_decided else None


async def _survey(connection: asyncpg.Connection, row: FollowUpRow) -> Survey | None:
    """What the customer had answered, while the shop still asks it."""
    shown = await feedback.get(connection, row.customer_id, row.feedback_id)
    code = None if shown is None else shown.feedback.survey
    stored = None if code is None else await surveys.find(connection, code)
    return stored.survey if stored is not None and stored.active else None


async def _invitation(
    connection: asyncpg.Connection,
    locked: StateRow,
    survey: Survey,
    row: FollowUpRow,
    pepper: bytes,
    by: str,
    now: datetime,
) -> tuple[StoredInvitation, bool]:
    """The one invitation of this follow-up, and whether it was decided here: the end of a complaint does that too."""
    made = await invite(
        connection,
        locked,
        survey,
        # Not what the first was about: the same survey asks about the same thing once for ever.
        about=None,
        occasion_key=f"{survey.code}:follow_up:{row.id}",
        send_at=now,
        pepper=pepper,
        by=by,
        now=now,
    )
    if made.is_new or made.row.state != "suppressed":
        return made.row, made.is_new
    return await decide_again(connection, locked, survey, made.row, pepper, now), True
