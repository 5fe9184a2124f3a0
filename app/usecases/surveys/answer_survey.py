"""An answer comes over its link: stored once, changed for a day, and the invitation is done with."""

from datetime import datetime

import asyncpg

from app.domain.canonical import body_sha256
from app.domain.feedback.answers import SURVEY_SOURCE, answer_of
from app.domain.feedback.invitations import answered
from app.domain.feedback.links import Link
from app.domain.feedback.subjects import members
from app.domain.health.model import Model
from app.storage import invitations, surveys
from app.usecases.feedback.change_answer import Told
from app.usecases.feedback.record_answer import SaidAnswer, record_answer
from app.usecases.surveys.follow_link import answer_key, find_invitation, leads_nowhere, lock_recipient


async def answer_survey(
    connection: asyncpg.Connection,
    link: Link,
    *,
    rating: int | None,
    text: str | None,
    model: Model,
    now: datetime,
    default_owner: str | None = None,
) -> Told:
    """The answer as stored or changed. Two tabs that post at once are ordered by the customer's lock.

    After a merge it is the survivor's. Raises Gone `erased`, `link_expired` or `invitation_cancelled`, Conflict
    `answer_final`, NotFound `link_not_found`, Invalid as `answer_of` does.
    """
    locked = await lock_recipient(connection, link.customer_id)
    row = await find_invitation(connection, link, locked.customer_id)
    stored = await surveys.find(connection, row.survey)
    if stored is None:
        raise leads_nowhere()
    survey = stored.survey
    became = answered(row.invitation(), now).invitation
    scale = {"min": survey.scale.min, "max": survey.scale.max, "direction": survey.scale.direction}
    answer = answer_of(survey.kind, rating=rating, scale=scale, text=text, threshold=survey.threshold)
    digest, _ = body_sha256({"rating": answer.rating, "text": answer.text}, frozenset())
    told = await record_answer(
        connection,
        locked,
        SaidAnswer(
            key=answer_key(row),
            answer=answer,
            body_sha256=digest,
            by=SURVEY_SOURCE,
            occurred_at=now,
            channel=row.channel,
            about=members(row.about),
            survey=row.survey,
            invitation_id=row.id,
        ),
        model,
        now,
        default_owner=default_owner,
    )
    if became != row.invitation():
        await invitations.update(connection, row.with_(became, now))
    return told
