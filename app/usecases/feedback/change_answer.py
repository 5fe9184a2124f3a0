"""An answer is changed within its 24 hours: the log is not, its old line is taken back and another one written."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Literal, NamedTuple

import asyncpg

from app.domain.feedback.answers import Answer, check_editable
from app.domain.feedback.sentiment import Sentiment
from app.domain.feedback.words import words_of
from app.domain.health.model import Model
from app.domain.health.score import Health, score
from app.domain.identifiers import Reference
from app.domain.ids import uuid7
from app.domain.recording import NEUTRAL
from app.domain.silence import SOURCE
from app.domain.touchpoints import seconds
from app.storage import feedback
from app.storage.feedback import Feedback
from app.storage.follow_ups import FollowUpRow
from app.storage.states import StateRow
from app.usecases.feedback.follow_answer import follow_answer
from app.usecases.feedback.log_answer import log_answer, touchpoint_id
from app.usecases.void_touchpoint import void_touchpoint


class Told(NamedTuple):
    """What became of an answer, and what is told of it.

    `outcome` is the health member of the answer on the wire, as JSON. A `duplicate` is told what the first was told:
    its sentiment and health may be older than `feedback`.
    """

    feedback: Feedback
    sentiment: Sentiment | None
    mixed: bool
    outcome: str
    follow_up: FollowUpRow | None
    status: Literal["stored", "changed", "duplicate"]


async def change_answer(
    connection: asyncpg.Connection,
    customer: StateRow,
    before: Feedback,
    answer: Answer,
    *,
    by: str,
    body_sha256: bytes | None,
    model: Model,
    now: datetime,
    default_owner: str | None,
) -> Told:
    """The answer with other contents. `customer` is locked; all is written in the caller's transaction.

    `body_sha256` is that of the post that brings the change, None for a PATCH. `default_owner`: of a follow-up that the
    change brings. Raises Conflict `answer_final` 24 hours
    after the answer came in.
    """
    check_editable(before.received_at, now)
    words = words_of(answer)
    after = replace(
        before,
        answer=answer,
        sentiment=words.sentiment,
        mixed=words.mixed,
        updated_at=now,
        revision=before.revision + 1,
    )
    was = score(customer.state, seconds(now), model.of(customer.state))
    await void_touchpoint(
        connection,
        Reference(before.customer_id, ()),
        touchpoint_id(before),
        SOURCE,
        by=by,
        reason="The answer was changed",
        model=model,
        now=now,
    )
    outcome = _since(was, await log_answer(connection, after, model))
    await feedback.save(connection, after)
    own_id = uuid7(int(now.timestamp() * 1000))
    await feedback.add_revision(connection, after, own_id, by=by, outcome=outcome, body_sha256=body_sha256)
    follow_up = await follow_answer(connection, after, words, now, default_owner=default_owner)
    return Told(after, after.sentiment, after.mixed, outcome, follow_up, "changed")


def _since(before: Health, outcome: str) -> str:
    """The health member with the distance from before the edit, where the log tells that from the voided state."""
    told = json.loads(outcome)
    now = told["score"]
    told |= {
        "before": before.score,
        "delta": 0 if now is None else now - (NEUTRAL if before.score is None else before.score),
        "band_changed": before.band != told["band"],
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
