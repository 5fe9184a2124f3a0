"""Somebody is asked a survey, or left in peace; either way it is written down."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.feedback import surveys as rules
from app.domain.feedback.invitations import invited, requeued
from app.domain.feedback.surveys import Asked, Decision, Standing, Survey
from app.domain.ids import uuid7
from app.storage import invitations
from app.storage.invitations import Contact, StoredInvitation
from app.storage.states import StateRow

# Where the shop itself speaks to the customer it needs no address of ours.
_ALWAYS: Final = frozenset(("web", "app", "post"))
_BY_IDENTIFIER: Final = {
    "email": frozenset(("email",)),
    "phone": frozenset(("sms", "whatsapp", "phone")),
}


class Invited(NamedTuple):
    """The invitation, and whether it is new: an occasion invites once."""

    row: StoredInvitation
    is_new: bool


class _Judged(NamedTuple):
    decision: Decision
    scope_key: str
    household: dict[UUID, Asked] | None


def is_gone(row: StateRow) -> bool:
    """Whether this customer is nobody to ask any more: another one by now, or erased."""
    return row.merged_into is not None or row.erased_at is not None


async def invite(
    connection: asyncpg.Connection,
    locked: StateRow,
    survey: Survey,
    *,
    about: str | None,
    occasion_key: str,
    send_at: datetime,
    pepper: bytes,
    by: str,
    now: datetime,
) -> Invited:
    """Invite a locked customer for `send_at`, or write down why not. The same occasion is answered with what it did."""
    known = await invitations.of_occasion(connection, locked.customer_id, occasion_key)
    if known is not None:
        return Invited(known, is_new=False)
    invitation_id = uuid7(int(now.timestamp() * 1000))
    judged = await _judge(connection, locked, survey, about, send_at, invitation_id, pepper)
    made = invited(judged.decision, send_at, survey.limits)
    row = StoredInvitation(
        customer_id=locked.customer_id,
        id=invitation_id,
        survey=survey.code,
        kind=survey.kind,
        channel=survey.channel,
        about=about,
        occasion_key=occasion_key,
        scope_key=judged.scope_key,
        state=made.state,
        suppressed_by=made.suppressed_by,
        held_back=made.suppressed_by == "open_complaint",
        next_eligible_at=made.next_eligible_at,
        send_at=send_at,
        decided_at=now,
        expires_at=made.expires_at,
        sent_at=None,
        remind_at=None,
        reminded_at=None,
        answered_at=None,
        created_by=by,
        created_at=now,
        updated_at=now,
        origin_customer_id=locked.origin,
    )
    await invitations.insert(connection, row)
    await _remember(connection, judged, row)
    return Invited(row, is_new=True)


async def decide_again(
    connection: asyncpg.Connection,
    locked: StateRow,
    survey: Survey,
    row: StoredInvitation,
    pepper: bytes,
    now: datetime,
) -> StoredInvitation:
    """The invitation of a locked customer as it is decided now, when it is due or what held it back is over."""
    judged = await _judge(connection, locked, survey, row.about, now, row.id, pepper)
    decided = requeued(row.invitation(), judged.decision, now, survey.limits)
    changed = row.with_(decided, now, decided_at=now, scope_key=judged.scope_key)
    await invitations.update(connection, changed)
    await _remember(connection, judged, changed)
    return changed


async def withdraw(connection: asyncpg.Connection, rows: Sequence[StoredInvitation], now: datetime) -> None:
    """Cancel what was queued for a locked customer."""
    for row in rows:
        await invitations.update(
            connection, row.with_(row.invitation(), now, state="cancelled", remind_at=None)
        )
        if row.scope_key.startswith("household:"):
            household = await invitations.lock_scope(connection, row.scope_key)
            if household.pop(row.id, None) is not None:
                await invitations.save_scope(connection, row.scope_key, household)


async def _judge(
    connection: asyncpg.Connection,
    locked: StateRow,
    survey: Survey,
    about: str | None,
    at: datetime,
    invitation_id: UUID,
    pepper: bytes,
) -> _Judged:
    contact = await invitations.contact(connection, locked.customer_id, survey.channel, at)
    asked = await invitations.asked(connection, locked.customer_id)
    scope_key = rules.scope_key(survey.limits.scope, locked.customer_id, contact.household, pepper)
    household = None
    if scope_key.startswith("household:"):
        household = await invitations.lock_scope(connection, scope_key)
        asked = household | asked
    others = [one for key, one in asked.items() if key != invitation_id]
    standing = Standing(contact.opted_out, _channels(contact), locked.state.open_sev != 0, others)
    return _Judged(rules.decide(survey, about, standing, at), scope_key, household)


def _channels(contact: Contact) -> frozenset[str]:
    return _ALWAYS.union(*[_BY_IDENTIFIER[kind] for kind in contact.types])


async def _remember(connection: asyncpg.Connection, judged: _Judged, row: StoredInvitation) -> None:
    """Tell the household, whose row is locked."""
    if judged.household is None:
        return
    members = {
        key: one
        for key, one in judged.household.items()
        if key != row.id and one.at > row.updated_at - invitations.SCOPE_KEEPS
    }
    if row.state == "queued":
        members[row.id] = Asked(row.send_at, row.kind, row.survey, row.about)
    if members != judged.household:
        await invitations.save_scope(connection, judged.scope_key, members)
