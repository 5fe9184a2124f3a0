"""An answer's line in the customer's log, through the one door."""

from typing import Any

import asyncpg

from app.domain.canonical import body_sha256
from app.domain.feedback.answers import NaturalKey
from app.domain.health.model import Model
from app.domain.problems import Problem
from app.domain.recording import Recorded
from app.domain.silence import SOURCE
from app.domain.touchpoints import Touchpoint, propose
from app.storage.feedback import Feedback
from app.storage.recording import LostRace
from app.usecases.record_touchpoints import Entry, record_touchpoints


async def log_answer(connection: asyncpg.Connection, one: Feedback, model: Model) -> str:
    """Write the touchpoint of the answer's present revision; returns the health member (JSON) of its answer.

    Runs in the transaction that writes the answer, with the customer locked. Raises Invalid `in_the_future`,
    `before_1970`, and LostRace.
    """
    (outcome,) = await record_touchpoints(
        connection, [Entry(one.customer_id, _touchpoint(one).of(one.origin_customer_id))], model
    )
    if isinstance(outcome, Problem):
        raise outcome
    if not isinstance(outcome, Recorded):
        raise LostRace
    return outcome.stored.outcome


def touchpoint_id(one: Feedback) -> str:
    """The id of that touchpoint, of which the source is `rapport`: a retry writes it once."""
    return NaturalKey(SOURCE, one.public_id).touchpoint_id(one.revision)


def _touchpoint(one: Feedback) -> Touchpoint:
    said = _properties(one)
    digest, _ = body_sha256({"kind": one.answer.kind, "properties": said}, frozenset())
    return propose(
        source=SOURCE,
        id=touchpoint_id(one),
        kind=one.answer.kind,
        occurred_at=one.occurred_at,
        now=one.updated_at,
        body_sha256=digest,
        shop_currency="",  # an answer carries no money
        channel=one.channel,
        order_id=None if one.about is None else one.about.get("order_id"),
        properties=said,
    )


def _properties(one: Feedback) -> dict[str, Any]:
    answer, scale = one.answer, one.answer.scale
    said = {
        "rating": answer.rating,
        "scale": None
        if scale is None
        else {"min": scale.min, "max": scale.max, "direction": scale.direction},
        "text": answer.text,
        "public": answer.public or None,
        "survey": one.survey,
        "attributed_to": one.attributed_to,
    }
    return {name: value for name, value in said.items() if value is not None}
