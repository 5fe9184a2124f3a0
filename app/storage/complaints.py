"""Complaints and their log. Whoever writes here holds the lock on the customer's state row."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.feedback.clocks import Clock
from app.domain.feedback.complaint_records import Complaint, due_at
from app.domain.feedback.complaints import Case
from app.storage.touchpoints import standing

COLUMNS: Final = """k.customer_id, k.id, k.origin_customer_id, k.reference, k.source, k.source_id, k.body_sha256,
  k.subject, k.text, k.remedy_sought, k.about::text AS about, k.calendar, k.opened_at, k.repeat, k.owner, k.state,
  k.severity, k.since, k.version, k.clocks::text AS clocks, k.openings, k.resolved, k.breaches, k.merged_into,
  k.entries, k.compensations, k.revision, k.created_at, k.updated_at"""

_MICROSECOND: Final = timedelta(microseconds=1)
_SPANS: Final = ("target", "paused")


class Place(NamedTuple):
    """Where a due complaint stands in the workers' index."""

    due_at: datetime
    customer_id: UUID
    id: UUID


FIRST_PLACE: Final = Place(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0), UUID(int=0))


class Narrow(NamedTuple):
    """What narrows a list."""

    state: str | None = None
    owner: str | None = None
    customer_id: UUID | None = None


# --- clocks as JSON -------------------------------------------------------------------------------------------------


def clocks_json(clocks: Sequence[Clock]) -> str:
    """The clocks of a case: spans in microseconds, times in RFC 3339."""
    return json.dumps([{name: _plain(value) for name, value in asdict(clock).items()} for clock in clocks])


def clocks_of(told: Sequence[Mapping[str, Any]]) -> tuple[Clock, ...]:
    """What `clocks_json` wrote."""
    return tuple(Clock(**{name: _rich(name, value) for name, value in one.items()}) for one in told)


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return value // _MICROSECOND
    return value.isoformat() if isinstance(value, datetime) else value


def _rich(name: str, value: Any) -> Any:
    if name in _SPANS:
        return value * _MICROSECOND
    return value if name == "name" or value is None else datetime.fromisoformat(value)


# --- reading --------------------------------------------------------------------------------------------------------


def complaint_of(row: asyncpg.Record) -> Complaint:
    """A row with `COLUMNS`."""
    case = Case(
        row["state"],
        row["severity"],
        row["since"],
        row["version"],
        clocks_of(json.loads(row["clocks"])),
        row["openings"],
        row["resolved"],
        frozenset(row["breaches"]),
        None if row["merged_into"] is None else str(row["merged_into"]),
    )
    return Complaint(
        **{name: row[name] for name in _AS_THEY_ARE},
        about=json.loads(row["about"]),
        case=case,
    )


_AS_THEY_ARE: Final = (
    "customer_id",
    "id",
    "origin_customer_id",
    "reference",
    "source",
    "source_id",
    "body_sha256",
    "subject",
    "text",
    "remedy_sought",
    "calendar",
    "opened_at",
    "repeat",
    "owner",
    "entries",
    "compensations",
    "revision",
    "created_at",
    "updated_at",
)


async def find(
    connection: asyncpg.Connection, customer_ids: Collection[UUID], own_id: UUID
) -> Complaint | None:
    """The complaint with this id of one of these customers: of the one who told it, or who they were merged into."""
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM complaints k WHERE k.customer_id = ANY ($1::uuid[]) AND k.id = $2",  # noqa: S608 - our own columns
        list(customer_ids),
        own_id,
    )
    return None if row is None else complaint_of(row)


async def known(
    connection: asyncpg.Connection, customer_id: UUID, source: str, source_id: str, origin: UUID
) -> Complaint | None:
    """The complaint with this natural key; of several that a merge brought together that of `origin`, else one."""
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM complaints k WHERE k.customer_id = $1 AND k.source = $2 AND k.source_id = $3"  # noqa: S608 - our own columns
        " ORDER BY k.origin_customer_id = $4 DESC, k.id LIMIT 1",
        customer_id,
        source,
        source_id,
        origin,
    )
    return None if row is None else complaint_of(row)


async def holder(connection: asyncpg.Connection, reference: str) -> tuple[UUID, UUID] | None:
    """(customer, own id) of the complaint with this reference."""
    row = await connection.fetchrow(
        "SELECT customer_id, complaint_id FROM complaint_references WHERE reference = $1", reference
    )
    return None if row is None else (row[0], row[1])


async def newest(connection: asyncpg.Connection, limit: int, narrow: Narrow, before: UUID) -> list[Complaint]:
    """Complaints, newest first, older than `before`."""
    conditions, arguments = ["k.id < $1"], list[object]([before, limit])
    for column, value in zip(Narrow._fields, narrow, strict=True):
        if value is not None:
            arguments.append(value)
            conditions.append(f"k.{column} = ${len(arguments)}")
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM complaints k WHERE {" AND ".join(conditions)} ORDER BY k.id DESC LIMIT $2
        """,  # noqa: S608 - our own columns and numbers of arguments
        *arguments,
    )
    return [complaint_of(row) for row in rows]


async def openings_between(
    connection: asyncpg.Connection, customer_id: UUID, since: datetime, until: datetime
) -> list[datetime]:
    """When this customer complained before, whoever wrote it down."""
    rows = await connection.fetch(
        f"""
        SELECT t.occurred_at
        FROM touchpoints t
        WHERE t.customer_id = $1 AND t.kind = 'complaint_opened' AND t.occurred_at BETWEEN $2 AND $3
          AND {standing("t")}
        ORDER BY t.occurred_at DESC
        LIMIT 1
        """,  # noqa: S608 - a condition of this package
        customer_id,
        since,
        until,
    )
    return [row[0] for row in rows]


# --- what is due ----------------------------------------------------------------------------------------------------


async def due(connection: asyncpg.Connection, now: datetime, limit: int, after: Place) -> list[Place]:
    """Complaints for which a worker has something to do, the longest waiting first."""
    rows = await connection.fetch(
        """
        SELECT next_due_at, customer_id, id
        FROM complaints
        WHERE next_due_at <= $1 AND (next_due_at, customer_id, id) > ($2, $3, $4)
        ORDER BY next_due_at, customer_id, id
        LIMIT $5
        """,
        now,
        *after,
        limit,
    )
    return [Place(*row) for row in rows]


async def still_due(
    connection: asyncpg.Connection, customer_ids: Collection[UUID], ids: Collection[UUID], now: datetime
) -> list[Complaint]:
    """Those of these complaints that are due now that their customers are locked."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS}
        FROM complaints k
        WHERE k.customer_id = ANY ($1::uuid[]) AND k.id = ANY ($2::uuid[]) AND k.next_due_at <= $3
        ORDER BY k.customer_id, k.id
        """,  # noqa: S608 - our own columns
        list(customer_ids),
        list(ids),
        now,
    )
    return [complaint_of(row) for row in rows]


async def forget_due(connection: asyncpg.Connection, customer_ids: Collection[UUID]) -> None:
    """Nobody looks at the complaints of these locked customers any more."""
    await connection.execute(
        """
        UPDATE complaints SET next_due_at = NULL
        WHERE customer_id = ANY ($1::uuid[]) AND next_due_at IS NOT NULL
        """,
        list(customer_ids),
    )


# --- writing --------------------------------------------------------------------------------------------------------


async def claim_reference(connection: asyncpg.Connection, complaint: Complaint) -> bool:
    """Take the complaint's reference; False when it is somebody's already.

    It leads to whom it was first told by, and from there on to the survivor of a merge.
    """
    status = await connection.execute(
        """
        INSERT INTO complaint_references (reference, customer_id, complaint_id) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING
        """,
        complaint.reference,
        complaint.origin_customer_id,
        complaint.id,
    )
    return bool(status == "INSERT 0 1")


_INSERT: Final = """
INSERT INTO complaints (
  customer_id, id, origin_customer_id, reference, source, source_id, body_sha256, subject, text, remedy_sought, about,
  calendar, opened_at, repeat, owner, state, severity, since, version, clocks, openings, resolved, breaches,
  next_due_at, entries, compensations, revision, created_at, updated_at
)
VALUES (
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb, $12, $13, $14, $15, $16, $17, $18, $19,
  $20::text::jsonb, $21, $22, $23, $24, $25, $26, $27, $28, $28
)
"""


async def insert(connection: asyncpg.Connection, complaint: Complaint) -> None:
    """Keep a new complaint."""
    case = complaint.case
    await connection.execute(
        _INSERT,
        complaint.customer_id,
        complaint.id,
        complaint.origin_customer_id,
        complaint.reference,
        complaint.source,
        complaint.source_id,
        complaint.body_sha256,
        complaint.subject,
        complaint.text,
        complaint.remedy_sought,
        json.dumps(dict(complaint.about)),
        complaint.calendar,
        complaint.opened_at,
        complaint.repeat,
        complaint.owner,
        case.state,
        case.severity,
        case.since,
        case.version,
        clocks_json(case.clocks),
        case.openings,
        case.resolved,
        sorted(case.breaches),
        due_at(complaint),
        complaint.entries,
        complaint.compensations,
        complaint.revision,
        complaint.created_at,
    )


_UPDATE: Final = """
UPDATE complaints k
SET owner = new.owner, state = new.state, severity = new.severity, since = new.since, version = new.version,
  clocks = new.clocks, openings = new.openings, resolved = new.resolved,
  breaches = ARRAY(SELECT jsonb_array_elements_text(new.breaches)), merged_into = new.merged_into,
  next_due_at = new.next_due_at, entries = new.entries, compensations = new.compensations, revision = new.revision,
  updated_at = new.updated_at
FROM json_to_recordset($1::text::json) AS new (
  customer_id uuid, id uuid, owner text, state text, severity text, since timestamptz, version integer, clocks jsonb,
  openings integer, resolved boolean, breaches jsonb, merged_into uuid, next_due_at timestamptz, entries integer,
  compensations integer, revision integer, updated_at timestamptz
)
WHERE k.customer_id = new.customer_id AND k.id = new.id AND k.customer_id = ANY ($2::uuid[])
"""


async def save(connection: asyncpg.Connection, complaints: Sequence[Complaint]) -> None:
    """Write what became of complaints of locked customers, in one statement."""
    rows = [_saved(complaint) for complaint in complaints]
    await connection.execute(_UPDATE, json.dumps(rows), [one.customer_id for one in complaints])


def _saved(complaint: Complaint) -> dict[str, Any]:
    case, due = complaint.case, due_at(complaint)
    return {
        "customer_id": str(complaint.customer_id),
        "id": str(complaint.id),
        "owner": complaint.owner,
        "state": case.state,
        "severity": case.severity,
        "since": case.since.isoformat(),
        "version": case.version,
        "clocks": json.loads(clocks_json(case.clocks)),
        "openings": case.openings,
        "resolved": case.resolved,
        "breaches": sorted(case.breaches),
        "merged_into": case.merged_into,
        "next_due_at": None if due is None else due.isoformat(),
        "entries": complaint.entries,
        "compensations": complaint.compensations,
        "revision": complaint.revision,
        "updated_at": complaint.updated_at.isoformat(),
    }
