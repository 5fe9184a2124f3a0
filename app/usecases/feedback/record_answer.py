"""A customer answers: stored once, with its touchpoint and its follow-up, in one transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from app.domain.feedback.answers import Answer, NaturalKey, check_same, gone
from app.domain.feedback.words import words_of
from app.domain.health.model import Model
from app.domain.ids import uuid7
from app.storage import feedback, follow_ups
from app.storage.feedback import Feedback
from app.storage.recording import LostRace
from app.storage.states import StateRow
from app.usecases.feedback.change_answer import Told, change_answer
from app.usecases.feedback.follow_answer import follow_answer
from app.usecases.feedback.log_answer import log_answer


@dataclass(frozen=True, slots=True)
class SaidAnswer:
    """An answer as somebody sends it.

    `key` is that of `domain.feedback.answers.natural_key`: of an answer to an invitation the invitation, whose id is
    also `invitation_id`. `body_sha256` (32 bytes) tells a retry from another answer: of all that was sent. `by` is the
    source that is shown as its writer.
    """

    key: NaturalKey
    answer: Answer
    body_sha256: bytes
    by: str
    occurred_at: datetime
    channel: str | None = None
    about: dict[str, Any] | None = None
    attributed_to: str | None = None
    survey: str | None = None
    invitation_id: UUID | None = None


async def record_answer(
    connection: asyncpg.Connection,
    customer: StateRow,
    said: SaidAnswer,
    model: Model,
    now: datetime,
    *,
    default_owner: str | None = None,
) -> Told:
    """The answer as stored, changed, or known already (`Told.status`).

    Runs inside the caller's transaction, in which `customer` is locked (`lock_recipient`, or `lock_customer`). The same
    key with the same body is a duplicate and told what the first was told. With another body it changes the answer when
    it is to an invitation (two tabs), for 24 hours, and is refused otherwise. `default_owner` follows up on a bad
    answer of a customer whom nobody looks after.

    Raises Conflict `id_reused`, or `answer_final` after those 24 hours; Gone `erased`; Invalid `in_the_future`,
    `before_1970`; LostRace when somebody wrote without the lock.
    """
    if customer.erased_at is not None:
        raise gone()
    known = await feedback.by_key(connection, customer.customer_id, said.key, customer.origin)
    if known is None:
        return await _stored(connection, customer, said, model, now, default_owner)
    posted = await feedback.last_posted(connection, known)
    if posted.body_sha256 == said.body_sha256:
        follow_up = await follow_ups.of_answer(connection, known.customer_id, known.id)
        return Told(known, posted.sentiment, posted.mixed, posted.outcome, follow_up, "duplicate")
    if said.invitation_id is None:
        check_same(posted.body_sha256, said.body_sha256)
    return await change_answer(
        connection,
        customer,
        known,
        said.answer,
        by=said.by,
        body_sha256=said.body_sha256,
        model=model,
        now=now,
        default_owner=default_owner,
    )


async def _stored(
    connection: asyncpg.Connection,
    customer: StateRow,
    said: SaidAnswer,
    model: Model,
    now: datetime,
    default_owner: str | None,
) -> Told:
    words = words_of(said.answer)
    milliseconds = int(now.timestamp() * 1000)
    one = Feedback(
        customer_id=customer.customer_id,
        id=uuid7(milliseconds),
        origin_customer_id=customer.origin,
        key=said.key,
        answer=said.answer,
        channel=said.channel,
        about=said.about,
        attributed_to=said.attributed_to,
        survey=said.survey,
        invitation_id=said.invitation_id,
        sentiment=words.sentiment,
        mixed=words.mixed,
        occurred_at=said.occurred_at,
        received_at=now,
        updated_at=now,
    )
    outcome = await log_answer(connection, one, model)
    if not await feedback.add(connection, one):
        raise LostRace
    await feedback.add_revision(
        connection, one, uuid7(milliseconds), by=said.by, outcome=outcome, body_sha256=said.body_sha256
    )
    follow_up = await follow_answer(connection, one, words, now, default_owner=default_owner)
    return Told(one, one.sentiment, one.mixed, outcome, follow_up, "stored")
