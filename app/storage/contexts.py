"""What is known of one customer, in one statement: the support view is asked for with every call that comes in."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.domain.context import Answer, OpenComplaint, RecentTouchpoint, Remark
from app.domain.customers import HeldIdentifier, Profile
from app.domain.descriptions import complaint_id_of, describe, order_id_of
from app.domain.health.state import State
from app.domain.ids import opaque_id
from app.domain.opinions import Override, Sentiment
from app.storage.opinions import OPTED_OUT
from app.storage.timeline import OPEN_COMPLAINTS, PENDING
from app.storage.touchpoints import standing

NOTES: Final = 5

# Lists come as JSON arrays of arrays. Each is a range of one index of this customer's, so that what is read does not
# grow with the log. The answers' kinds are repeated as constants because only constants prove the partial index.
_CONTEXT: Final = f"""
SELECT c.name, c.language, c.timezone, c.preferred_channel, c.tags, c.owner, c.traits, c.created_at, c.updated_at,
  c.revision, s.state, s.merged_into, s.erased_at, (
    SELECT json_agg(json_build_array(i.type, i.value, i.created_at) ORDER BY i.created_at, i.type, i.value_key)
    FROM customer_identifiers i
    WHERE i.customer_id = $1
  ) AS identifiers, (
    SELECT json_agg(json_build_array(n.id, n.text, n.author, n.created_at))
    FROM (
      SELECT n.id, n.text, n.author, n.created_at
      FROM customer_notes n
      WHERE n.customer_id = $1
      ORDER BY n.id DESC
      LIMIT {NOTES}
    ) n
  ) AS notes, (
    SELECT json_agg(json_build_array(
      t.source, t.id, t.kind, t.occurred_at, t.channel, t.amount_minor, t.currency, t.thread, t.description,
      CASE WHEN t.description IS NULL THEN t.properties END, t.outcome -> 'delta', {PENDING}
    ))
    FROM (
      SELECT t.*
      FROM touchpoints t
      WHERE t.customer_id = $1 AND {standing("t")}
      ORDER BY t.occurred_at DESC, t.source DESC, t.id DESC, t.origin_customer_id DESC
      LIMIT $2
    ) t
  ) AS recent, (
    SELECT json_agg(json_build_array(o.thread, o.source, o.id, o.occurred_at, o.severity, o.description))
    FROM ({OPEN_COMPLAINTS}) o
  ) AS open_complaints, (
    SELECT json_agg(json_build_array(
      a.kind, a.source, a.id, a.occurred_at, a.properties -> 'rating', a.properties -> 'scale', a.properties -> 'text'
    ))
    FROM (VALUES ('nps'), ('csat'), ('ces'), ('review')) AS asked (kind)
    CROSS JOIN LATERAL (
      SELECT t.kind, t.source, t.id, t.occurred_at, t.properties
      FROM touchpoints t
      WHERE t.customer_id = $1 AND t.kind = asked.kind AND t.kind IN ('nps', 'csat', 'ces', 'review')
        AND {standing("t")}
      ORDER BY t.occurred_at DESC, t.source DESC, t.id DESC
      LIMIT 1
    ) a
  ) AS answers, (
    SELECT json_build_array(o.score, o.reason, o.until, o.set_by, o.set_at)
    FROM health_overrides o
    WHERE o.customer_id = $1
  ) AS override, (
    SELECT json_build_array(y.sentiment, y.note, y.set_by, y.set_at)
    FROM health_sentiments y
    WHERE y.customer_id = $1
  ) AS sentiment, {OPTED_OUT} IS NOT NULL AS opted_out
FROM customers c JOIN customer_states s ON s.customer_id = c.id
WHERE c.id = $1 AND s.customer_id = $1
"""  # noqa: S608 - constants of this package


@dataclass(frozen=True, slots=True)
class Known:
    """What the tables hold about one customer. `seal` changes when any of it does."""

    customer_id: UUID
    merged_into: UUID | None
    erased_at: datetime | None
    profile: Profile
    identifiers: tuple[HeldIdentifier, ...]
    created_at: datetime
    updated_at: datetime
    revision: int
    state: State
    open_complaints: list[OpenComplaint]
    answers: Mapping[str, Answer]
    recent: list[RecentTouchpoint]
    notes: list[Remark]
    override: Override | None
    sentiment: Sentiment | None
    opted_out: bool
    seal: bytes


async def load(
    connection: asyncpg.Connection,
    customer_id: UUID,
    touchpoints: int,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Known | None:
    """What is known of a customer, with so many of their newest touchpoints; None when there is no such customer.

    `labels` are those of the shop's own kinds.
    """
    row = await connection.fetchrow(_CONTEXT, customer_id, touchpoints)
    if row is None:
        return None
    return Known(
        customer_id=customer_id,
        merged_into=row["merged_into"],
        erased_at=row["erased_at"],
        profile=Profile(
            row["name"],
            row["language"],
            row["timezone"],
            row["preferred_channel"],
            tuple(row["tags"]),
            row["owner"],
            json.loads(row["traits"]),
        ),
        identifiers=tuple(
            [HeldIdentifier(kind, value, _utc(since)) for kind, value, since in _list(row["identifiers"])]
        ),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        revision=row["revision"],
        state=State.decode(row["state"]),
        open_complaints=[_complaint(*complaint) for complaint in _list(row["open_complaints"])],
        answers={answer[0]: _answer(*answer) for answer in _list(row["answers"])},
        recent=[_recent(labels, *touchpoint) for touchpoint in _list(row["recent"])],
        notes=[_remark(customer_id, *note) for note in _list(row["notes"])],
        override=_override(*_list(row["override"])) if row["override"] else None,
        sentiment=_sentiment(*_list(row["sentiment"])) if row["sentiment"] else None,
        opted_out=row["opted_out"],
        seal=_seal(row),
    )


def _seal(row: asyncpg.Record) -> bytes:
    """A digest of the row: of its state, its revision (which stands for the profile), and the lists as they came."""
    names = ("identifiers", "notes", "recent", "open_complaints", "answers", "override", "sentiment")
    lists = [row[name] for name in names]
    said = "\0".join([f"{row['revision']} {row['opted_out']}", *[text or "" for text in lists]])
    return hashlib.blake2b(row["state"] + said.encode(), digest_size=16).digest()


def _list(text: str | None) -> list[Any]:
    parsed: list[Any] = json.loads(text) if text else []
    return parsed


def _utc(text: str) -> datetime:
    # JSON shows times in the session's zone, whatever that is.
    return datetime.fromisoformat(text).astimezone(UTC)


def _complaint(
    thread: str,
    source: str,
    id: str,  # noqa: A002 - a column's name
    opened_at: str,
    severity: str,
    description: str | None,
) -> OpenComplaint:
    told = description or describe("complaint_opened", properties={"severity": severity})
    return OpenComplaint(complaint_id_of(thread) or "", severity, _utc(opened_at), source, id, told)


def _answer(
    kind: str,
    source: str,
    id: str,  # noqa: A002 - a column's name
    at: str,
    rating: Any,
    scale: Any,
    text: Any,
) -> Answer:
    # A text is whatever its sender put there; only words are worth repeating.
    words = text if isinstance(text, str) else None
    return Answer(kind, source, id, _utc(at), {"rating": rating, "scale": scale}, words)


def _recent(
    labels: Mapping[str, str],
    source: str,
    id: str,  # noqa: A002 - a column's name
    kind: str,
    occurred_at: str,
    channel: str | None,
    amount_minor: int | None,
    currency: str | None,
    thread: str | None,
    description: str | None,
    properties: dict[str, Any] | None,
    delta: int | None,
    pending_match: bool,  # noqa: FBT001 - a column
) -> RecentTouchpoint:
    order_id = order_id_of(thread)
    told = description or describe(
        kind,
        amount_minor=amount_minor,
        currency=currency,
        order_id=order_id,
        properties=properties or {},
        label=labels.get(kind),
    )
    return RecentTouchpoint(
        source,
        id,
        kind,
        _utc(occurred_at),
        channel,
        amount_minor,
        currency,
        order_id,
        told,
        delta,
        pending_match,
    )


def _override(score: int, reason: str, until: str, set_by: str, set_at: str) -> Override:
    return Override(score, reason, _utc(until), set_by, _utc(set_at))


def _sentiment(sentiment: str, note: str | None, set_by: str, set_at: str) -> Sentiment:
    return Sentiment(sentiment, note, set_by, _utc(set_at))


def _remark(customer_id: UUID, note_id: str, text: str, author: str, created_at: str) -> Remark:
    return Remark(opaque_id("note", customer_id, UUID(note_id)), text, author, _utc(created_at))
