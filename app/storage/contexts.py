"""What is known of customers, of many in one statement: the support view is asked for with every call that comes in."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import from_json

from app.domain.consent import Statement
from app.domain.context import Answer, OpenCase, OpenComplaint, OpenFollowUp, RecentTouchpoint, Remark
from app.domain.customers import HeldIdentifier, Profile
from app.domain.descriptions import complaint_id_of, describe, order_id_of
from app.domain.feedback.complaint_records import PREFIX
from app.domain.health.state import State
from app.domain.ids import opaque_id, parse_opaque_id
from app.domain.loyalty.membership import Known as Member
from app.domain.opinions import Override, Sentiment
from app.storage.complaints import clocks_of
from app.storage.consents import COLUMNS, unsubscribed
from app.storage.loyalty import memberships
from app.storage.loyalty.memberships import membership_of
from app.storage.states import holds
from app.storage.timeline import PENDING, openings
from app.storage.touchpoints import standing

NOTES: Final = 5
FOLLOW_UPS: Final = 20

# All that is not a column comes in one JSON array, `parts`, lists as arrays of arrays: parsed once, sealed once. Each
# is a range of one index of this customer's, so that what is read does not grow with the log, and what the state knows
# to be empty is not looked for. The answers' kinds are repeated as constants because only constants prove the partial
# index. OFFSET 0 keeps each look-up a look-up (touchpoints.py).
_CONTEXT: Final = f"""
SELECT asked.customer_id, asked.recent AS wanted, c.name, c.language, c.timezone, c.preferred_channel, c.tags, c.owner,
  c.traits, c.created_at, c.updated_at, c.revision, s.state, s.identity_revision, s.merged_into, s.erased_at,
  json_build_array((
    SELECT json_agg(json_build_array(i.type, i.value, i.created_at) ORDER BY i.created_at, i.type, i.value_key)
    FROM customer_identifiers i
    WHERE i.customer_id = c.id
  ), (
    SELECT json_agg(json_build_array(n.origin_customer_id, n.id, n.text, n.author, n.created_at))
    FROM (
      SELECT n.origin_customer_id, n.id, n.text, n.author, n.created_at
      FROM customer_notes n
      WHERE n.customer_id = c.id
      ORDER BY n.id DESC
      LIMIT {NOTES}
    ) n
  ), (
    SELECT json_agg(json_build_array(
      t.source, t.id, t.kind, t.occurred_at, t.channel, t.amount_minor, t.currency, t.thread, t.description,
      CASE WHEN t.description IS NULL THEN t.properties END, t.outcome -> 'delta', {PENDING}
    ))
    FROM (
      SELECT t.*
      FROM touchpoints t
      WHERE t.customer_id = c.id AND {standing("t")}
      ORDER BY t.occurred_at DESC, t.source DESC, t.id DESC, t.origin_customer_id DESC
      LIMIT asked.recent
    ) t
  ), CASE WHEN {holds("open_sev")} THEN (
    SELECT json_agg(json_build_array(o.thread, o.source, o.id, o.occurred_at, o.severity, o.description))
    FROM ({openings("true", customer="c.id")}) o
  ) END, CASE WHEN {holds("open_sev")} THEN (
    SELECT json_agg(json_build_array(k.id, k.reference, k.state, k.owner, k.clocks) ORDER BY k.id)
    FROM complaints k
    WHERE k.customer_id = c.id AND k.state NOT IN ('accepted', 'closed', 'merged', 'withdrawn')
  ) END, CASE WHEN {holds("sd180")} THEN (
    SELECT json_agg(json_build_array(
      a.kind, a.source, a.id, a.occurred_at, a.properties -> 'rating', a.properties -> 'scale', a.properties -> 'text'
    ))
    FROM (VALUES ('nps'), ('csat'), ('ces'), ('review')) AS answer (kind)
    CROSS JOIN LATERAL (
      SELECT t.kind, t.source, t.id, t.occurred_at, t.properties
      FROM touchpoints t
      WHERE t.customer_id = c.id AND t.kind = answer.kind AND t.kind IN ('nps', 'csat', 'ces', 'review')
        AND {standing("t")}
      ORDER BY t.occurred_at DESC, t.source DESC, t.id DESC
      LIMIT 1
    ) a
  ) END, (
    SELECT json_build_array(o.score, o.reason, o.until, o.set_by, o.set_at)
    FROM health_overrides o
    WHERE o.customer_id = c.id
  ), (
    SELECT json_build_array(y.sentiment, y.note, y.set_by, y.set_at)
    FROM health_sentiments y
    WHERE y.customer_id = c.id
  ), (
    SELECT json_agg(json_build_array(u.origin_customer_id, u.id, u.feedback_id, u.state, u.reason, u.owner, u.due_at))
    FROM (
      SELECT u.origin_customer_id, u.id, u.feedback_id, u.state, u.reason, u.owner, u.due_at
      FROM follow_ups u
      WHERE u.customer_id = c.id AND u.state <> 'closed'
      ORDER BY u.due_at
      LIMIT {FOLLOW_UPS}
    ) u
  ), (
    SELECT json_agg(json_build_array({COLUMNS}) ORDER BY purpose, channel)
    FROM consents n
    WHERE n.customer_id = c.id
  ), array_to_json(nullif({unsubscribed("c.id")}, ARRAY[]::timestamptz[])), LOYALTY) AS parts
FROM unnest($1::uuid[], $2::bigint[]) AS asked (customer_id, recent)
CROSS JOIN LATERAL (SELECT * FROM customers c WHERE c.id = asked.customer_id OFFSET 0) c
CROSS JOIN LATERAL (SELECT * FROM customer_states s WHERE s.customer_id = asked.customer_id OFFSET 0) s
WHERE c.id = ANY ($1::uuid[]) AND s.customer_id = ANY ($1::uuid[])
"""  # noqa: S608 - constants of this package

# Where there is no programme, nobody's account is looked for.
_LOYALTY: Final = membership_of("c.id", "$3::text", "$4::text", "$5::timestamptz")
_CONTEXTS: Final = _CONTEXT.replace("LOYALTY", "NULL::json")
_CONTEXTS_OF_MEMBERS: Final = _CONTEXT.replace("LOYALTY", _LOYALTY)

_NO_TRAITS: Final[Mapping[str, Any]] = {}


class Asked(NamedTuple):
    """One customer, and how many of their newest touchpoints."""

    customer_id: UUID
    touchpoints: int


class Club(NamedTuple):
    """In which programme members are looked for: its code, its zone, and since when its tiers count."""

    program: str
    zone: str
    since: datetime


class Known(NamedTuple):
    """What the tables hold about one customer. `seal`, a few kilobytes, changes when any of it does."""

    customer_id: UUID
    identity_revision: int
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
    unsubscribed: list[datetime]
    consents: list[Statement]
    follow_ups: list[OpenFollowUp]
    member: Member | None
    seal: bytes


async def load(
    connection: asyncpg.Connection, asked: Collection[Asked], club: Club | None = None
) -> dict[Asked, asyncpg.Record]:
    """A row of each, for `known`; who does not exist is missing."""
    if not asked:
        return {}
    names = [one.customer_id for one in asked], [one.touchpoints for one in asked]
    if club is None:
        rows = await connection.fetch(_CONTEXTS, *names)
    else:
        rows = await connection.fetch(_CONTEXTS_OF_MEMBERS, *names, *club)
    return {Asked(row["customer_id"], row["wanted"]): row for row in rows}


def known(row: asyncpg.Record, labels: Mapping[str, str] = MappingProxyType({})) -> Known:
    """What a row says. `labels` are those of the shop's own kinds."""
    # In the order of _CONTEXT: sixteen look-ups by name take longer than all else that is done with most of them.
    customer_id, _, name, language, timezone, channel, tags, owner, traits, *rest = row
    created_at, updated_at, revision, state, identity_revision, merged_into, erased_at, parts = rest
    said = from_json(parts)
    identifiers, notes, recent, complaints, cases, answers, override, sentiment, follow_ups = said[:9]
    consents, unsubscribed_at, member = said[9:]
    return Known(
        customer_id=customer_id,
        identity_revision=identity_revision,
        merged_into=merged_into,
        erased_at=erased_at,
        profile=Profile(
            name,
            language,
            timezone,
            channel,
            tuple(tags),
            owner,
            _NO_TRAITS if traits == "{}" else from_json(traits),
        ),
        identifiers=tuple(
            [HeldIdentifier(kind, value, _utc(since)) for kind, value, since in identifiers or ()]
        ),
        created_at=created_at,
        updated_at=updated_at,
        revision=revision,
        state=State.decode(state),
        open_complaints=_complaints(complaints, cases or ()) if complaints else [],
        answers={answer[0]: _answer(*answer) for answer in answers} if answers else {},
        recent=[_recent(labels, *touchpoint) for touchpoint in recent or ()],
        notes=[_remark(*note) for note in notes] if notes else [],
        override=_override(*override) if override else None,
        sentiment=_sentiment(*sentiment) if sentiment else None,
        unsubscribed=[_utc(at) for at in unsubscribed_at] if unsubscribed_at else [],
        consents=[_consent(*one) for one in consents] if consents else [],
        follow_ups=[_follow_up(*one) for one in follow_ups] if follow_ups else [],
        member=memberships.known(member),
        # The revision stands for the profile.
        seal=state + f"{revision} {parts}".encode(),
    )


def _utc(text: str) -> datetime:
    # JSON shows times in the session's zone, which is UTC (database.py).
    return datetime.fromisoformat(text)


def _complaints(told: list[Any], cases: Sequence[Any]) -> list[OpenComplaint]:
    worked_on = {
        UUID(own_id): OpenCase(reference, state, owner, clocks_of(clocks))
        for own_id, reference, state, owner, clocks in cases
    }
    return [_complaint(worked_on, *complaint) for complaint in told]


def _complaint(
    cases: Mapping[UUID, OpenCase],
    thread: str,
    source: str,
    id: str,  # noqa: A002 - a column's name
    opened_at: str,
    severity: str,
    description: str | None,
) -> OpenComplaint:
    told = description or describe("complaint_opened", properties={"severity": severity})
    complaint_id = complaint_id_of(thread) or ""
    # A complaint that was only posted as a touchpoint has a name of its poster's, and no row.
    ids = parse_opaque_id(PREFIX, complaint_id)
    case = None if ids is None else cases.get(ids[1])
    return OpenComplaint(complaint_id, severity, _utc(opened_at), source, id, told, case)


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


def _consent(
    purpose: str,
    channel: str,
    state: str,
    legal_basis: str | None,
    source: str,
    note: str | None,
    stated_at: str,
    expires_at: str | None,
    written_by: str,
) -> Statement:
    ends = None if expires_at is None else _utc(expires_at)
    return Statement(purpose, channel, state, legal_basis, source, note, _utc(stated_at), ends, written_by)


def _override(score: int, reason: str, until: str, set_by: str, set_at: str) -> Override:
    return Override(score, reason, _utc(until), set_by, _utc(set_at))


def _sentiment(sentiment: str, note: str | None, set_by: str, set_at: str) -> Sentiment:
    return Sentiment(sentiment, note, set_by, _utc(set_at))


def _remark(origin: str, note_id: str, text: str, author: str, created_at: str) -> Remark:
    return Remark(opaque_id("note", UUID(origin), UUID(note_id)), text, author, _utc(created_at))


def _follow_up(
    origin: str,
    own_id: str,
    feedback_id: str,
    state: str,
    reason: str,
    owner: str | None,
    due_at: str,
) -> OpenFollowUp:
    return OpenFollowUp(
        opaque_id("fu", UUID(origin), UUID(own_id)),
        opaque_id("fb", UUID(origin), UUID(feedback_id)),
        state,
        reason,
        owner,
        _utc(due_at),
    )
