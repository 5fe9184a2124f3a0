"""Answers as they stand, and every form that each has had."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.feedback.answers import Answer, NaturalKey
from app.domain.feedback.scales import Scale
from app.domain.feedback.sentiment import Sentiment
from app.domain.ids import opaque_id
from app.storage import follow_ups
from app.storage.customers import LAST_ID
from app.storage.follow_ups import FollowUpRow

PREFIX: Final = "fb"

_COLUMNS: Final = """f.customer_id, f.id, f.origin_customer_id, f.source, f.source_id, f.kind, f.rating, f.scale_min,
  f.scale_max, f.direction, f.threshold, f.text, f.public, f.channel, f.about::text AS about, f.attributed_to, f.survey,
  f.invitation_id, f.sentiment::text AS sentiment, f.mixed, f.occurred_at, f.received_at, f.updated_at, f.revision"""
_FOLLOW_UP: Final = ", ".join(f"u.{name} AS u_{name}" for name in follow_ups.COLUMNS)


@dataclass(frozen=True, slots=True)
class Feedback:
    """An answer of a customer. `sentiment` is None without words, `survey` when nobody asked.

    `origin_customer_id` is the customer whom it was first written for: its id stays the same after a merge.
    """

    customer_id: UUID
    id: UUID
    origin_customer_id: UUID
    key: NaturalKey
    answer: Answer
    channel: str | None
    about: dict[str, Any] | None
    attributed_to: str | None
    survey: str | None
    invitation_id: UUID | None
    sentiment: Sentiment | None
    mixed: bool
    occurred_at: datetime
    received_at: datetime
    updated_at: datetime
    revision: int = 1

    @property
    def public_id(self) -> str:
        """The id on the wire."""
        return opaque_id(PREFIX, self.origin_customer_id, self.id)


class Shown(NamedTuple):
    """An answer with what belongs to it: its follow-up, and the health member (JSON) that was told with it last."""

    feedback: Feedback
    follow_up: FollowUpRow | None
    outcome: str


class Posted(NamedTuple):
    """The form of an answer that a post gave it last: what a retry of that post is told."""

    body_sha256: bytes
    sentiment: Sentiment | None
    mixed: bool
    outcome: str


class Narrow(NamedTuple):
    """What narrows the list."""

    customer_id: UUID | None = None
    kind: str | None = None
    survey: str | None = None
    attributed_to: str | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None


ALL: Final = Narrow()

# --- one answer -----------------------------------------------------------------------------------------------------


async def add(connection: asyncpg.Connection, one: Feedback) -> bool:
    """Add an answer; False when its natural key or its invitation has one already. The state row is locked."""
    answer, scale = one.answer, one.answer.scale
    status: str = await connection.execute(
        """
        INSERT INTO feedback (
          customer_id, id, origin_customer_id, source, source_id, kind, rating, scale_min, scale_max, direction,
          threshold, text, public, channel, about, attributed_to, survey, invitation_id, sentiment, mixed, occurred_at,
          received_at, updated_at, revision
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::text::jsonb, $16, $17, $18,
          $19::text::jsonb, $20, $21, $22, $23, $24)
        ON CONFLICT DO NOTHING
        """,
        one.customer_id,
        one.id,
        one.origin_customer_id,
        one.key.source,
        one.key.source_id,
        answer.kind,
        answer.rating,
        None if scale is None else scale.min,
        None if scale is None else scale.max,
        None if scale is None else scale.direction,
        answer.threshold,
        answer.text,
        answer.public,
        one.channel,
        _json(one.about),
        one.attributed_to,
        one.survey,
        one.invitation_id,
        _json(sentiment_members(one.sentiment)),
        one.mixed,
        one.occurred_at,
        one.received_at,
        one.updated_at,
        one.revision,
    )
    return status == "INSERT 0 1"


async def save(connection: asyncpg.Connection, one: Feedback) -> None:
    """Write what an edit may change. The customer's state row is locked."""
    await connection.execute(
        """
        UPDATE feedback
        SET rating = $3, text = $4, public = $5, sentiment = $6::text::jsonb, mixed = $7, updated_at = $8, revision = $9
        WHERE customer_id = $1 AND id = $2
        """,
        one.customer_id,
        one.id,
        one.answer.rating,
        one.answer.text,
        one.answer.public,
        _json(sentiment_members(one.sentiment)),
        one.mixed,
        one.updated_at,
        one.revision,
    )


async def add_revision(
    connection: asyncpg.Connection,
    one: Feedback,
    own_id: UUID,
    *,
    by: str,
    outcome: str,
    body_sha256: bytes | None,
) -> None:
    """Keep the form that the answer has now, and the health member (JSON) that is told with it."""
    await connection.execute(
        """
        INSERT INTO feedback_revisions (
          customer_id, id, feedback_id, revision, rating, text, public, sentiment, mixed, written_at, written_by,
          outcome, body_sha256
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9, $10, $11, $12::text::json, $13)
        """,
        one.customer_id,
        own_id,
        one.id,
        one.revision,
        one.answer.rating,
        one.answer.text,
        one.answer.public,
        _json(sentiment_members(one.sentiment)),
        one.mixed,
        one.updated_at,
        by,
        outcome,
        body_sha256,
    )


async def by_key(
    connection: asyncpg.Connection, customer_id: UUID, key: NaturalKey, origin: UUID | None = None
) -> Feedback | None:
    """The answer with this natural key; of several that a merge brought together that of `origin`, else the first."""
    row = await connection.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM feedback f
        WHERE f.customer_id = $1 AND f.source = $2 AND f.source_id = $3
        ORDER BY f.origin_customer_id = $4 DESC, f.id
        LIMIT 1
        """,  # noqa: S608 - constants of this module
        customer_id,
        *key,
        customer_id if origin is None else origin,
    )
    return None if row is None else _feedback(row)


async def last_posted(connection: asyncpg.Connection, one: Feedback) -> Posted:
    """What a post said of this answer last, and what it was told."""
    row = await connection.fetchrow(
        """
        SELECT body_sha256, sentiment::text AS sentiment, mixed, outcome::text AS outcome
        FROM feedback_revisions
        WHERE customer_id = $1 AND feedback_id = $2 AND body_sha256 IS NOT NULL
        ORDER BY revision DESC
        LIMIT 1
        """,
        one.customer_id,
        one.id,
    )
    return Posted(row["body_sha256"], _sentiment(row["sentiment"]), row["mixed"], row["outcome"])


# --- with what belongs to it ----------------------------------------------------------------------------------------


def _shown_where(conditions: str, page: str = "") -> str:
    """The follow-up and the revision are looked up for the rows of the page alone."""
    return f"""
    SELECT f.*, {_FOLLOW_UP}, r.outcome::text AS outcome
    FROM (SELECT {_COLUMNS} FROM feedback f WHERE {conditions} {page}) f
    JOIN feedback_revisions r
      ON r.customer_id = f.customer_id AND r.feedback_id = f.id AND r.revision = f.revision
    LEFT JOIN follow_ups u ON u.customer_id = f.customer_id AND u.feedback_id = f.id
    ORDER BY f.id DESC
    """  # noqa: S608 - constants of this package and numbers of arguments


_ONE: Final = _shown_where("f.customer_id = $1 AND f.id = $2")


async def get(connection: asyncpg.Connection, customer_id: UUID, own_id: UUID) -> Shown | None:
    """One answer."""
    row = await connection.fetchrow(_ONE, customer_id, own_id)
    return None if row is None else _shown(row)


async def newest(
    connection: asyncpg.Connection, limit: int, narrow: Narrow = ALL, before: UUID = LAST_ID
) -> list[Shown]:
    """The answers that came last, newest first, older than `before`."""
    arguments: list[object] = [limit, before]
    conditions = ["f.id < $2"]
    for condition, value in (
        ("f.customer_id =", narrow.customer_id),
        ("f.kind =", narrow.kind),
        ("f.survey =", narrow.survey),
        ("f.attributed_to =", narrow.attributed_to),
        ("f.source =", narrow.source),
        ("f.occurred_at >=", narrow.since),
        ("f.occurred_at <", narrow.until),
    ):
        if value is not None:
            arguments.append(value)
            conditions.append(f"{condition} ${len(arguments)}")
    statement = _shown_where(" AND ".join(conditions), "ORDER BY f.id DESC LIMIT $1")
    return [_shown(row) for row in await connection.fetch(statement, *arguments)]


# --- columns --------------------------------------------------------------------------------------------------------


def sentiment_members(sentiment: Sentiment | None) -> dict[str, Any] | None:
    """A sentiment as JSON values, as it is stored and shown."""
    if sentiment is None:
        return None
    return {
        "label": sentiment.label,
        "score": sentiment.score,
        "confidence": sentiment.confidence,
        "method": sentiment.method,
        "lexicon_version": sentiment.lexicon_version,
        "evidence": list(sentiment.evidence),
        "doubt": sentiment.doubt,
    }


def _sentiment(stored: str | None) -> Sentiment | None:
    if stored is None:
        return None
    members = json.loads(stored)
    return Sentiment(**members | {"evidence": tuple(members["evidence"])})


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _feedback(row: asyncpg.Record) -> Feedback:
    scale = None if row["direction"] is None else Scale(row["scale_min"], row["scale_max"], row["direction"])
    kept = (
        "customer_id",
        "id",
        "origin_customer_id",
        "channel",
        "attributed_to",
        "survey",
        "invitation_id",
        "mixed",
    )
    times = ("occurred_at", "received_at", "updated_at", "revision")
    return Feedback(
        key=NaturalKey(row["source"], row["source_id"]),
        answer=Answer(row["kind"], row["rating"], scale, row["text"], row["public"], row["threshold"]),
        about=None if row["about"] is None else json.loads(row["about"]),
        sentiment=_sentiment(row["sentiment"]),
        **{name: row[name] for name in (*kept, *times)},
    )


def _shown(row: asyncpg.Record) -> Shown:
    follow_up = None if row["u_id"] is None else follow_ups.read_row(row, "u_")
    return Shown(_feedback(row), follow_up, row["outcome"])
