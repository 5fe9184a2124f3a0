"""What was done about complaints: rows that are only added, under the lock on the customer's state row."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from app.domain.feedback.complaint_records import Change, Complaint, Given, Step
from app.domain.ids import uuid7

_ADD_STEPS: Final = """
INSERT INTO complaint_log (
  customer_id, complaint_id, id, seq, what, at, written_at, written_by, state, version, reason, visible_to_customer,
  text, details, touchpoint_id
)
SELECT customer_id, complaint_id, id, seq, what, at, written_at, written_by, state, version, reason, visible, text,
  details, touchpoint_id
FROM json_to_recordset($1::text::json) AS new (
  customer_id uuid, complaint_id uuid, id uuid, seq integer, what text, at timestamptz, written_at timestamptz,
  written_by text, state text, version integer, reason text, visible boolean, text text, details jsonb,
  touchpoint_id text
)
ON CONFLICT DO NOTHING
"""


async def add_steps(connection: asyncpg.Connection, changes: Sequence[Change], now: datetime) -> bool:
    """Write the new lines of the logs; False when one stood there already: somebody wrote without the lock."""
    rows = [
        _step(change.complaint, number, step, now)
        for change in changes
        for number, step in enumerate(change.steps, change.complaint.entries - len(change.steps) + 1)
    ]
    status = await connection.execute(_ADD_STEPS, json.dumps(rows))
    return bool(status == f"INSERT 0 {len(rows)}")


def _step(complaint: Complaint, number: int, step: Step, now: datetime) -> dict[str, Any]:
    return {
        "customer_id": str(complaint.customer_id),
        "complaint_id": str(complaint.id),
        "id": str(uuid7(int(now.timestamp() * 1000))),
        "seq": number,
        "what": step.what,
        "at": step.at.isoformat(),
        "written_at": now.isoformat(),
        "written_by": step.by,
        "state": step.state,
        "version": step.version,
        "reason": step.reason,
        "visible": step.visible,
        "text": step.text,
        "details": dict(step.details),
        "touchpoint_id": step.touchpoint_id,
    }


async def add_compensation(connection: asyncpg.Connection, complaint: Complaint, given: Given) -> None:
    """Keep what was given."""
    await connection.execute(
        """
        INSERT INTO compensations (
          customer_id, complaint_id, id, number, form, amount_minor, currency, points, note, grant_id, given_by,
          given_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        """,
        complaint.customer_id,
        complaint.id,
        uuid7(int(given.at.timestamp() * 1000)),
        given.number,
        given.compensation.form,
        given.compensation.amount_minor,
        given.compensation.currency,
        given.compensation.points,
        given.note,
        given.grant_id,
        given.by,
        given.at,
    )


LINE_COLUMNS: Final = """seq, written_at, what, at, state, version, written_by, reason, visible_to_customer, text,
  details::text AS details, touchpoint_id"""


class Line(NamedTuple):
    """A line of the log, with its number and when it was written."""

    seq: int
    written_at: datetime
    step: Step


async def lines(
    connection: asyncpg.Connection,
    complaint: Complaint,
    limit: int,
    after: int = 0,
    *,
    visible_only: bool = False,
) -> list[Line]:
    """The log of a complaint from behind line `after` on."""
    rows = await connection.fetch(
        f"""
        SELECT {LINE_COLUMNS}
        FROM complaint_log
        WHERE customer_id = $1 AND complaint_id = $2 AND seq > $3 AND (visible_to_customer OR NOT $5)
        ORDER BY seq
        LIMIT $4
        """,  # noqa: S608 - our own columns
        complaint.customer_id,
        complaint.id,
        after,
        limit,
        visible_only,
    )
    return [line_of(row) for row in rows]


def line_of(row: asyncpg.Record) -> Line:
    """A row with `LINE_COLUMNS`."""
    step = Step(
        what=row["what"],
        at=row["at"],
        state=row["state"],
        version=row["version"],
        by=row["written_by"],
        reason=row["reason"],
        visible=row["visible_to_customer"],
        text=row["text"],
        details=json.loads(row["details"]),
        touchpoint_id=row["touchpoint_id"],
    )
    return Line(row["seq"], row["written_at"], step)
