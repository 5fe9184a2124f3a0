"""After a bad answer somebody calls: the follow-up that an answer, or its edit, asks for."""

from dataclasses import replace
from datetime import datetime

import asyncpg

from app.domain.feedback.follow_ups import FollowUp, after_edit, follow_up, owner_of
from app.domain.feedback.words import Words, reason_to_call
from app.domain.ids import uuid7
from app.storage import customers, follow_ups
from app.storage.feedback import Feedback
from app.storage.follow_ups import FollowUpRow


async def follow_answer(
    connection: asyncpg.Connection, one: Feedback, words: Words, now: datetime, *, default_owner: str | None
) -> FollowUpRow | None:
    """The follow-up of this answer as it is now, None when it never had one. The customer is locked.

    `default_owner` is whose it is when nobody looks after the customer.
    """
    reason = reason_to_call(one.answer, words, one.occurred_at, one.received_at)
    before = None if one.revision == 1 else await follow_ups.of_answer(connection, one.customer_id, one.id)
    if before is None:
        if reason is None:
            return None
        row = _new(one, follow_up(reason, one.occurred_at, await _owner(connection, one, default_owner)), now)
        await follow_ups.put(connection, row)
        return row
    after = after_edit(before.one, reason, at=now, owner=None)
    if after is None or after == before.one:
        return before
    row = replace(before, one=after, updated_at=now)
    await follow_ups.put(connection, row)
    return row


async def _owner(connection: asyncpg.Connection, one: Feedback, default_owner: str | None) -> str | None:
    customer = await customers.existing(connection, one.customer_id)
    return owner_of(
        customer_owner=customer.profile.owner, default_owner=default_owner, attributed_to=one.attributed_to
    )


def _new(one: Feedback, what: FollowUp, now: datetime) -> FollowUpRow:
    own_id = uuid7(int(now.timestamp() * 1000))
    return FollowUpRow(
        one.customer_id,
        own_id,
        one.id,
        what,
        created_at=now,
        updated_at=now,
        origin_customer_id=one.origin_customer_id,
    )
