"""A caller wants a customer asked a survey now."""

from datetime import datetime

import asyncpg

from app.domain.identifiers import Reference
from app.domain.ids import uuid7
from app.domain.problems import Conflict, Problem
from app.storage import states, surveys
from app.storage.invitations import StoredInvitation
from app.storage.states import StateRow
from app.usecases.resolve_customers import Raced, resolve_customers, until_settled
from app.usecases.surveys.define_survey import survey_not_found
from app.usecases.surveys.invite import invite


async def request_survey(
    connection: asyncpg.Connection,
    reference: Reference,
    code: str,
    about: str | None,
    *,
    pepper: bytes,
    by: str,
    now: datetime,
) -> StoredInvitation:
    """The invitation, queued or suppressed. A customer whom nobody knows is created.

    Raises NotFound `survey_not_found` or `customer_not_found`, Conflict `survey_inactive`, `identity_conflict` or
    `erased`.
    """
    stored = await surveys.find(connection, code)
    if stored is None:
        raise survey_not_found()
    if not stored.active:
        raise survey_inactive()

    async def resolved_and_locked() -> StateRow:
        (found,) = await resolve_customers(connection, [reference], now)
        if isinstance(found, Problem):
            raise found
        row = (await states.lock(connection, [found.customer_id])).get(found.customer_id)
        changed = row is None or row.merged_into is not None or row.erased_at is not None
        if row is None or changed or row.identity_revision != found.identity_revision:
            raise Raced
        return row

    locked = await until_settled(connection, resolved_and_locked)
    # Whoever asks twice without an Idempotency-Key asks twice; the quiet periods are there for that.
    occasion_key = f"{code}:asked:{uuid7(int(now.timestamp() * 1000))}"
    made = await invite(
        connection,
        locked,
        stored.survey,
        about=about,
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
