"""From a link to what it shows: reads alone, because scanners of mail follow every link."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.feedback.answers import SURVEY_SOURCE, NaturalKey, check_editable, natural_key, recipient
from app.domain.feedback.invitations import check_open
from app.domain.feedback.links import Link
from app.domain.feedback.surveys import Survey
from app.domain.ids import opaque_id
from app.domain.problems import NotFound
from app.storage import consents, customers, feedback, invitations, states, surveys
from app.storage.invitations import PREFIX, StoredInvitation
from app.storage.states import StateRow
from app.usecases.resolve_customers import Raced, until_settled


class Shown(NamedTuple):
    """What an answer page is made of. `customer_id`: whose answer it will be; `rating` and `text`: what they gave."""

    customer_id: UUID
    survey: Survey
    row: StoredInvitation
    rating: int | None
    text: str | None


async def show_invitation(connection: asyncpg.Connection, link: Link, now: datetime) -> Shown:
    """What the link leads to, while it can be answered or its answer changed. Writes nothing.

    Raises Gone `erased`, `link_expired` or `invitation_cancelled`, Conflict `answer_final`, NotFound `link_not_found`.
    """
    found = await customers.identities(connection, [link.customer_id])
    if link.customer_id not in found:
        raise leads_nowhere()
    identity = found[link.customer_id]
    customer_id = recipient(
        identity.customer_id, merged_into=identity.merged_into, erased=identity.erased_at is not None
    )
    row = await find_invitation(connection, link, customer_id)
    stored = await surveys.find(connection, row.survey)
    if stored is None:
        raise leads_nowhere()
    if row.answered_at is None:
        check_open(row.invitation(), now)
        return Shown(customer_id, stored.survey, row, None, None)
    check_editable(row.answered_at, now)
    known = await feedback.by_key(connection, customer_id, answer_key(row))
    answer = None if known is None else known.answer
    return Shown(
        customer_id,
        stored.survey,
        row,
        None if answer is None else answer.rating,
        None if answer is None else answer.text,
    )


def answer_key(row: StoredInvitation) -> NaturalKey:
    """The natural key of the answer to an invitation, whoever passes it on."""
    own_id = opaque_id(PREFIX, row.origin_customer_id, row.id)
    return natural_key(source=SURVEY_SOURCE, source_id=None, invitation_id=own_id, fresh_id="")


async def show_unsubscription(connection: asyncpg.Connection, link: Link) -> bool:
    """Whether whom the link belongs to is unsubscribed already. Writes nothing. Raises Gone `erased`, NotFound."""
    identity = (await customers.identities(connection, [link.customer_id])).get(link.customer_id)
    if identity is None:
        raise leads_nowhere()
    customer_id = recipient(
        identity.customer_id, merged_into=identity.merged_into, erased=identity.erased_at is not None
    )
    return await consents.opted_out_since(connection, customer_id) is not None


async def find_invitation(connection: asyncpg.Connection, link: Link, customer_id: UUID) -> StoredInvitation:
    """The invitation of a link: the customer's of the link, or the survivor's after a merge. Raises NotFound."""
    row = await invitations.find(connection, link.customer_id, link.resource_id)
    if row is None and customer_id != link.customer_id:
        row = await invitations.find(connection, customer_id, link.resource_id)
    if row is None:
        raise leads_nowhere()
    return row


async def lock_recipient(connection: asyncpg.Connection, customer_id: UUID) -> StateRow:
    """The state row of whose answer it is, locked: the customer's, or the survivor's after a merge.

    Raises Gone `erased`, NotFound `link_not_found`.
    """

    async def found_and_locked() -> StateRow:
        found = (await customers.identities(connection, [customer_id])).get(customer_id)
        if found is None:
            raise leads_nowhere()
        wanted = {customer_id, found.merged_into or customer_id}
        locked = await states.lock(connection, sorted(wanted))
        row = locked[customer_id]
        if row.merged_into != found.merged_into:
            raise Raced
        survivor = locked[row.merged_into or customer_id]
        gone = row.erased_at is not None or survivor.erased_at is not None
        recipient(customer_id, merged_into=row.merged_into, erased=gone)
        return survivor if row.merged_into is None else survivor._replace(named_as=customer_id)

    return await until_settled(connection, found_and_locked)


def leads_nowhere() -> NotFound:
    """The same as for a token that is not ours."""
    return NotFound("link_not_found", "This link does not lead anywhere.")
