"""Whom somebody must call after a bad answer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.feedback.follow_ups import FollowUp, State

COLUMNS: Final = (
    "customer_id",
    "id",
    "feedback_id",
    "state",
    "reason",
    "due_at",
    "owner",
    "version",
    "closed_at",
    "outcome",
    "note",
    "ask_again_at",
    "ask_due_at",
    "invitation_id",
    "created_at",
    "updated_at",
    "origin_customer_id",
)
_KEPT: Final = (
    "customer_id",
    "id",
    "feedback_id",
    "note",
    "ask_again_at",
    "ask_due_at",
    "invitation_id",
    "created_at",
    "updated_at",
    "origin_customer_id",
)
_SELECT: Final = f"SELECT {', '.join(f'u.{name}' for name in COLUMNS)} FROM follow_ups u"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class FollowUpRow:
    """A follow-up, of which answer it is, and what was written down when it was closed.

    `ask_due_at` is when the worker sees whether the customer may be asked again: None when it has nothing to do;
    `invitation_id` what they were then invited with, or would have been.
    """

    customer_id: UUID
    id: UUID
    feedback_id: UUID
    one: FollowUp
    created_at: datetime
    updated_at: datetime
    origin_customer_id: UUID
    note: str | None = None
    ask_again_at: datetime | None = None
    ask_due_at: datetime | None = None
    invitation_id: UUID | None = None


class Narrow(NamedTuple):
    """What narrows the list. Without a state: all that is not closed."""

    state: State | None = None
    owner: str | None = None
    customer_id: UUID | None = None
    due_before: datetime | None = None


class Place(NamedTuple):
    """Where a row stands in the list: what is due first comes first."""

    due_at: datetime
    customer_id: UUID
    id: UUID


def read_row(row: Any, prefix: str = "") -> FollowUpRow:
    """A row with the columns of `COLUMNS`, each behind `prefix`."""
    found = {name: row[prefix + name] for name in COLUMNS}
    one = FollowUp(
        found["state"],
        found["reason"],
        found["due_at"],
        found["owner"],
        found["version"],
        found["closed_at"],
        found["outcome"],
    )
    return FollowUpRow(one=one, **{name: found[name] for name in _KEPT})


async def get(connection: asyncpg.Connection, customer_id: UUID, own_id: UUID) -> FollowUpRow | None:
    """One follow-up."""
    row = await connection.fetchrow(f"{_SELECT} WHERE u.customer_id = $1 AND u.id = $2", customer_id, own_id)
    return None if row is None else read_row(row)


async def of_answer(
    connection: asyncpg.Connection, customer_id: UUID, feedback_id: UUID
) -> FollowUpRow | None:
    """The follow-up of an answer, if it ever had one."""
    row = await connection.fetchrow(
        f"{_SELECT} WHERE u.customer_id = $1 AND u.feedback_id = $2", customer_id, feedback_id
    )
    return None if row is None else read_row(row)


async def put(connection: asyncpg.Connection, row: FollowUpRow) -> None:
    """Add it, or write it anew. The customer's state row is locked."""
    one = row.one
    await connection.execute(
        """
        INSERT INTO follow_ups AS u (
          customer_id, id, feedback_id, state, reason, due_at, owner, version, closed_at, outcome, note, ask_again_at,
          ask_due_at, invitation_id, created_at, updated_at, origin_customer_id
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        ON CONFLICT (customer_id, id) DO UPDATE
        SET state = excluded.state, reason = excluded.reason, due_at = excluded.due_at, owner = excluded.owner,
          version = excluded.version, closed_at = excluded.closed_at, outcome = excluded.outcome,
          note = excluded.note, ask_again_at = excluded.ask_again_at, ask_due_at = excluded.ask_due_at,
          invitation_id = excluded.invitation_id, updated_at = excluded.updated_at
        """,
        row.customer_id,
        row.id,
        row.feedback_id,
        one.state,
        one.reason,
        one.due_at,
        one.owner,
        one.version,
        one.closed_at,
        one.outcome,
        row.note,
        row.ask_again_at,
        row.ask_due_at,
        row.invitation_id,
        row.created_at,
        row.updated_at,
        row.origin_customer_id,
    )


async def due_first(
    connection: asyncpg.Connection, limit: int, narrow: Narrow, after: Place | None = None
) -> list[FollowUpRow]:
    """The follow-ups, what is due first comes first.

    Conditions are written as they are asked for instead of as `$1 IS NULL OR ...`, which would hide the indexes.
    """
    arguments: list[object] = [limit]
    conditions = ["u.state <> 'closed'"] if narrow.state is None else []
    for condition, value in (
        ("u.state = $", narrow.state),
        ("u.owner = $", narrow.owner),
        ("u.customer_id = $", narrow.customer_id),
        ("u.due_at < $", narrow.due_before),
    ):
        if value is not None:
            arguments.append(value)
            conditions.append(f"{condition}{len(arguments)}")
    if narrow.state in ("open", "assigned"):
        # Implied, and what the partial indexes of owners and customers ask for.
        conditions.append("u.state <> 'closed'")
    if after is not None:
        places = ", ".join(f"${len(arguments) + number}" for number in (1, 2, 3))
        arguments += after
        conditions.append(f"(u.due_at, u.customer_id, u.id) > ({places})")
    rows = await connection.fetch(
        f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY u.due_at, u.customer_id, u.id LIMIT $1",
        *arguments,
    )
    return [read_row(row) for row in rows]
