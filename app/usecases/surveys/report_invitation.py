"""The channel tells what became of an invitation."""

from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.domain.feedback.invitations import remind_at, reminded, reported
from app.domain.identifiers import Reference
from app.domain.problems import NotFound
from app.storage import invitations, surveys
from app.storage.invitations import StoredInvitation
from app.usecases.find_customer import find_customer
from app.usecases.lock_customer import lock_customer

REMINDED: Final = "reminded"


async def report_invitation(
    connection: asyncpg.Connection, customer_id: UUID, invitation_id: UUID, what: str, now: datetime
) -> StoredInvitation:
    """The invitation after the report; one that comes twice or late changes nothing, but for a second reminder.

    Raises NotFound `invitation_not_found`, Invalid `unknown_report`, Conflict `reminded_already` or `erased`.
    """
    try:
        locked = await lock_customer(connection, Reference(customer_id, ()))
    except NotFound:
        raise invitation_not_found() from None
    row = await invitations.find(connection, locked.customer_id, invitation_id)
    if row is None:
        raise invitation_not_found()
    was = row.invitation()
    became = reminded(was, now) if what == REMINDED else reported(was, what, now)
    if became == was:
        return row
    stored = await surveys.find(connection, row.survey)
    due = None if stored is None else remind_at(became, stored.survey.limits)
    changed = row.with_(became, now, remind_at=due)
    await invitations.update(connection, changed)
    return changed


def invitation_not_found() -> NotFound:
    """No such invitation."""
    return NotFound("invitation_not_found", "There is no such invitation.")


async def find_invitation_by_id(
    connection: asyncpg.Connection, customer_id: UUID, invitation_id: UUID
) -> StoredInvitation:
    """The invitation, wherever a merge has brought it. Raises NotFound `invitation_not_found`, Conflict `erased`."""
    try:
        identity = await find_customer(connection, Reference(customer_id, ()))
    except NotFound:
        raise invitation_not_found() from None
    row = await invitations.find(connection, identity.customer_id, invitation_id)
    if row is None:
        raise invitation_not_found()
    return row
