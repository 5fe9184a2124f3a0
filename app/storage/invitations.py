"""Invitations to surveys, and what stands between a customer and the next one."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.feedback.invitations import Invitation
from app.domain.feedback.surveys import Asked
from app.storage.consents import lapsed, opted_out
from app.storage.states import holds

_COLUMNS: Final = """
  customer_id, id, survey, kind, channel, about, occasion_key, scope_key, state, suppressed_by, held_back,
  next_eligible_at, send_at, decided_at, expires_at, sent_at, remind_at, reminded_at, answered_at, created_by,
  created_at, updated_at, origin_customer_id
"""
PREFIX: Final = "inv"
"""Of ids on the wire."""
MOST_ASKED: Final = 1000
"""The newest invitations of a customer that a decision looks at: more than any limits let through in two years."""


class StoredInvitation(NamedTuple):
    """A row. `invitation()` is the part that is decided about; links and ids carry `origin_customer_id`."""

    customer_id: UUID
    id: UUID
    survey: str
    kind: str
    channel: str
    about: str | None
    occasion_key: str
    scope_key: str
    state: Any
    suppressed_by: str | None
    held_back: bool
    next_eligible_at: datetime | None
    send_at: datetime
    decided_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    remind_at: datetime | None
    reminded_at: datetime | None
    answered_at: datetime | None
    created_by: str
    created_at: datetime
    updated_at: datetime
    origin_customer_id: UUID

    def invitation(self) -> Invitation:
        """What a decision needs to know of it."""
        return Invitation(
            self.state,
            self.send_at,
            self.expires_at,
            self.sent_at,
            self.reminded_at,
            self.answered_at,
            self.suppressed_by,
            self.next_eligible_at,
        )

    def with_(self, invitation: Invitation, now: datetime, **others: Any) -> "StoredInvitation":
        """The row after a decision. A reminder that is not possible any more is not due either."""
        waiting = invitation.state in ("sent", "delivered", "opened") and invitation.reminded_at is None
        by = invitation.suppressed_by if invitation.state == "suppressed" else None
        members = {
            "state": invitation.state,
            "send_at": invitation.send_at,
            "expires_at": invitation.expires_at,
            "sent_at": invitation.sent_at,
            "reminded_at": invitation.reminded_at,
            "answered_at": invitation.answered_at,
            # The reason goes with the state.
            "suppressed_by": by,
            "held_back": by == "open_complaint",
            "next_eligible_at": None if by is None else invitation.next_eligible_at,
            "remind_at": self.remind_at if waiting else None,
            "updated_at": now,
        }
        return self._replace(**(members | others))


class Mark(NamedTuple):
    """A place in a list by time."""

    at: datetime
    id: UUID


# --- one customer ---------------------------------------------------------------------------------------------------


async def insert(connection: asyncpg.Connection, row: StoredInvitation) -> bool:
    """Add an invitation to a locked customer; False when its occasion has invited before."""
    numbers = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    status = await connection.execute(
        f"INSERT INTO survey_invitations ({_COLUMNS}) VALUES ({numbers}) ON CONFLICT DO NOTHING",  # noqa: S608 - columns
        *row,
    )
    return bool(status == "INSERT 0 1")


async def update(connection: asyncpg.Connection, row: StoredInvitation) -> None:
    """Write what changed of an invitation of a locked customer."""
    await connection.execute(
        """
        UPDATE survey_invitations
        SET state = $3, suppressed_by = $4, held_back = $5, next_eligible_at = $6, send_at = $7, decided_at = $8,
          expires_at = $9, sent_at = $10, remind_at = $11, reminded_at = $12, answered_at = $13, updated_at = $14
        WHERE customer_id = $1 AND id = $2
        """,
        row.customer_id,
        row.id,
        row.state,
        row.suppressed_by,
        row.held_back,
        row.next_eligible_at,
        row.send_at,
        row.decided_at,
        row.expires_at,
        row.sent_at,
        row.remind_at,
        row.reminded_at,
        row.answered_at,
        row.updated_at,
    )


async def find(
    connection: asyncpg.Connection, customer_id: UUID, invitation_id: UUID
) -> StoredInvitation | None:
    """One invitation of a customer."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM survey_invitations WHERE customer_id = $1 AND id = $2",  # noqa: S608 - columns
        customer_id,
        invitation_id,
    )
    return None if row is None else StoredInvitation(*row)


async def of_occasion(
    connection: asyncpg.Connection, customer_id: UUID, occasion_key: str
) -> StoredInvitation | None:
    """What an occasion has invited to."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM survey_invitations WHERE customer_id = $1 AND occasion_key = $2"  # noqa: S608 - as above
        " ORDER BY id LIMIT 1",
        customer_id,
        occasion_key,
    )
    return None if row is None else StoredInvitation(*row)


async def of_customer(
    connection: asyncpg.Connection, customer_id: UUID, states: Sequence[str]
) -> list[StoredInvitation]:
    """A customer's invitations in these states."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM survey_invitations"  # noqa: S608 - columns of this module
        " WHERE customer_id = $1 AND state = ANY ($2::text[]) ORDER BY id",
        customer_id,
        states,
    )
    return [StoredInvitation(*row) for row in rows]


# What a bounce kept from somebody disturbed nobody, and neither did what expired before it was sent.
_ASKED = f"""
SELECT coalesce(i.sent_at, i.send_at), i.kind, i.survey, i.about, i.id
FROM survey_invitations i
WHERE i.customer_id = $1
  AND (
    i.state IN ('queued', 'sent', 'delivered', 'opened', 'answered')
    OR i.state = 'expired' AND i.sent_at IS NOT NULL
  )
ORDER BY i.id DESC
LIMIT {MOST_ASKED}
"""  # noqa: S608 - a number

_CONTACT = f"""
SELECT c.traits ->> 'household' AS household, ARRAY(
  SELECT DISTINCT i.type FROM customer_identifiers i WHERE i.customer_id = c.id AND i.type IN ('email', 'phone')
) AS types, {opted_out("c.id", "$2::text")} IS NOT NULL OR {lapsed("c.id", "$2::text", "$3")} AS opted_out
FROM customers c
WHERE c.id = $1
"""  # noqa: S608 - a condition of this package


class Contact(NamedTuple):
    """How a customer can be reached, and whether they do not want to be, on one channel at one time."""

    household: str | None
    types: frozenset[str]
    opted_out: bool


async def contact(connection: asyncpg.Connection, customer_id: UUID, channel: str, at: datetime) -> Contact:
    """The contact of a customer who exists, for this channel at this time."""
    row = await connection.fetchrow(_CONTACT, customer_id, channel, at)
    return Contact(row["household"], frozenset(row["types"]), row["opted_out"])


async def asked(connection: asyncpg.Connection, customer_id: UUID) -> dict[UUID, Asked]:
    """What the customer was asked, or will be, by invitation."""
    rows = await connection.fetch(_ASKED, customer_id)
    return {row[4]: Asked(*row[:4]) for row in rows}


# --- households -----------------------------------------------------------------------------------------------------


async def lock_scope(connection: asyncpg.Connection, scope_key: str) -> dict[UUID, Asked]:
    """What the members of a household were asked; nobody else asks one of them until the transaction ends.

    Taken after the customer's own row, and one in a transaction: nobody waits in a circle.
    """
    await connection.execute(
        "INSERT INTO survey_scopes (scope_key) VALUES ($1) ON CONFLICT DO NOTHING", scope_key
    )
    text = await connection.fetchval(
        "SELECT asked::text FROM survey_scopes WHERE scope_key = $1 FOR UPDATE", scope_key
    )
    found: Mapping[str, Mapping[str, Any]] = json.loads(text)
    return {
        UUID(key): Asked(datetime.fromisoformat(one["at"]), one["kind"], one["survey"], one["about"])
        for key, one in found.items()
    }


async def save_scope(connection: asyncpg.Connection, scope_key: str, members: Mapping[UUID, Asked]) -> None:
    """Write what the members of a locked household were asked."""
    said = {
        str(key): {"at": one.at.isoformat(), "kind": one.kind, "survey": one.survey, "about": one.about}
        for key, one in members.items()
    }
    await connection.execute(
        "UPDATE survey_scopes SET asked = $2::text::jsonb WHERE scope_key = $1", scope_key, json.dumps(said)
    )


SCOPE_KEEPS: Final = timedelta(days=3650)
"""Longer than any quiet period: what is older holds nobody back."""


# --- lists ----------------------------------------------------------------------------------------------------------


class Filters(NamedTuple):
    """Which invitations a list shows."""

    customer_id: UUID | None = None
    survey: str | None = None
    state: str | None = None


async def newest(
    connection: asyncpg.Connection, filters: Filters, before: UUID, limit: int
) -> list[StoredInvitation]:
    """The newest first; with a customer that customer's alone."""
    arguments: list[object] = [before, limit]
    conditions = "id < $1"
    for column, value in filters._asdict().items():
        if value is not None:
            arguments.append(value)
            conditions += f" AND {column} = ${len(arguments)}"
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM survey_invitations WHERE {conditions} ORDER BY id DESC LIMIT $2",  # noqa: S608 - names of columns
        *arguments,
    )
    return [StoredInvitation(*row) for row in rows]


# Whoever complains or unsubscribes between the decision and the mail is left in peace too.
_LEFT_IN_PEACE: Final = f"""
  AND NOT EXISTS (
    SELECT FROM customer_states s
    WHERE s.customer_id = i.customer_id
      AND ({holds("open_sev")} OR s.merged_into IS NOT NULL OR s.erased_at IS NOT NULL)
  )
  AND {opted_out("i.customer_id", "i.channel")} IS NULL AND NOT {lapsed("i.customer_id", "i.channel", "$1")}
"""

_TO_SEND: Final = f"""
SELECT {_COLUMNS}
FROM survey_invitations i
WHERE i.state = 'queued' AND i.send_at <= $1 AND (i.send_at, i.id) > ($2, $3) AND i.decided_at >= i.send_at
  AND i.expires_at > $1
  {_LEFT_IN_PEACE}
ORDER BY i.send_at, i.id
LIMIT $4
"""  # noqa: S608 - constants of this package

_TO_REMIND: Final = f"""
SELECT {_COLUMNS}
FROM survey_invitations i
WHERE i.remind_at IS NOT NULL AND i.remind_at <= $1 AND (i.remind_at, i.id) > ($2, $3) AND i.expires_at > $1
  {_LEFT_IN_PEACE}
ORDER BY i.remind_at, i.id
LIMIT $4
"""  # noqa: S608 - constants of this package


async def to_send(
    connection: asyncpg.Connection, now: datetime, after: Mark, limit: int
) -> list[StoredInvitation]:
    """What is queued and due, the longest due first."""
    rows = await connection.fetch(_TO_SEND, now, after.at, after.id, limit)
    return [StoredInvitation(*row) for row in rows]


async def to_remind(
    connection: asyncpg.Connection, now: datetime, after: Mark, limit: int
) -> list[StoredInvitation]:
    """What was sent and not answered, and whose one reminder is due."""
    rows = await connection.fetch(_TO_REMIND, now, after.at, after.id, limit)
    return [StoredInvitation(*row) for row in rows]


FIRST: Final = Mark(datetime.fromisoformat("1970-01-01T00:00:00+00:00"), UUID(int=0))
"""Before everything."""


# --- links ----------------------------------------------------------------------------------------------------------


async def unsubscribed_before(connection: asyncpg.Connection, customer_id: UUID) -> int:
    """How often a customer unsubscribed, taken back or not."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM touchpoints WHERE customer_id = $1 AND kind = 'unsubscribed'", customer_id
    )
    return found
