"""What customers agreed to: what they said last, all that they ever said, and what follows for surveys in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.consent import ANY, SURVEYS, Statement
from app.storage.touchpoints import standing

COLUMNS: Final = "purpose, channel, state, legal_basis, source, note, stated_at, expires_at, written_by"
"""By the names of Statement's members."""


MOST_UNSUBSCRIPTIONS: Final = 100
"""That the context reads; more of them say nothing else."""


def _about(alias: str, channel: str) -> str:
    channels = f"'{ANY}'" if channel == ANY else f"'{ANY}', {channel}"
    return f"{alias}.purpose IN ('{SURVEYS}', '{ANY}') AND {alias}.channel IN ({channels})"


def opted_out(customer: str = "$1", channel: str = ANY) -> str:
    """SQL: since when a customer does not want to be asked, NULL while they do (domain.consent.withdrawn_since).

    `channel` is SQL too; without it only what was said of all channels counts. What was unsubscribed and taken back
    by a void does not.
    """
    return f"""(
    SELECT min(said.at)
    FROM (
      SELECT t.occurred_at AS at
      FROM touchpoints t
      WHERE t.customer_id = {customer} AND t.kind = 'unsubscribed' AND {standing("t")}
      UNION ALL
      SELECT n.stated_at
      FROM consents n
      WHERE n.customer_id = {customer} AND n.state = 'withdrawn' AND {_about("n", channel)}
    ) said
    WHERE said.at >= coalesce((
      SELECT max(g.stated_at)
      FROM consents g
      WHERE g.customer_id = {customer} AND g.state = 'granted' AND {_about("g", channel)}
    ), '-infinity')
  )"""  # noqa: S608 - conditions of this package


def unsubscribed(customer: str) -> str:
    """SQL: when a customer wanted no messages at all, an array, the newest first; what was taken back is left out."""
    return f"""ARRAY(
    SELECT t.occurred_at
    FROM touchpoints t
    WHERE t.customer_id = {customer} AND t.kind = 'unsubscribed' AND {standing("t")}
    ORDER BY t.occurred_at DESC
    LIMIT {MOST_UNSUBSCRIPTIONS}
  )"""  # noqa: S608 - a condition of this package


def lapsed(customer: str, channel: str, now: str) -> str:
    """SQL: whether the last yes of a customer to surveys on this channel has ended (domain.consent.lapsed)."""
    return f"""coalesce((
    SELECT g.expires_at <= {now}
    FROM consents g
    WHERE g.customer_id = {customer} AND g.state = 'granted' AND {_about("g", channel)}
    ORDER BY g.stated_at DESC, g.expires_at DESC NULLS FIRST
    LIMIT 1
  ), false)"""  # noqa: S608 - conditions of this package


class Unsubscription(NamedTuple):
    """An `unsubscribed` touchpoint that stands: no messages at all."""

    at: datetime
    source: str
    id: str


class LoggedStatement(NamedTuple):
    """A statement as it was once said, and when it was written down."""

    id: UUID
    written_at: datetime
    statement: Statement


async def of_customer(connection: asyncpg.Connection, customer_id: UUID) -> list[Statement]:
    """What the customer said last of each purpose and channel."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM consents WHERE customer_id = $1 ORDER BY purpose, channel",  # noqa: S608 - a constant
        customer_id,
    )
    return [Statement(*row) for row in rows]


async def unsubscriptions(
    connection: asyncpg.Connection, customer_id: UUID, limit: int
) -> list[Unsubscription]:
    """When the customer wanted no more messages, the newest first."""
    rows = await connection.fetch(
        f"""
        SELECT t.occurred_at, t.source, t.id
        FROM touchpoints t
        WHERE t.customer_id = $1 AND t.kind = 'unsubscribed' AND {standing("t")}
        ORDER BY t.occurred_at DESC, t.source, t.id
        LIMIT $2
        """,  # noqa: S608 - a condition of this package
        customer_id,
        limit,
    )
    return [Unsubscription(*row) for row in rows]


async def history(connection: asyncpg.Connection, customer_id: UUID, limit: int) -> list[LoggedStatement]:
    """All that the customer ever said, what was written last first."""
    rows = await connection.fetch(
        f"SELECT id, written_at, {COLUMNS} FROM consent_log WHERE customer_id = $1 ORDER BY id DESC LIMIT $2",  # noqa: S608 - a constant
        customer_id,
        limit,
    )
    return [LoggedStatement(row[0], row[1], Statement(*tuple(row)[2:])) for row in rows]


async def opted_out_since(
    connection: asyncpg.Connection, customer_id: UUID, channel: str = ANY
) -> datetime | None:
    """Since when the customer does not want to be asked on this channel."""
    since: datetime | None = await connection.fetchval(
        f"SELECT {opted_out('$1', '$2::text')}",
        customer_id,
        channel,
    )
    return since


async def add(
    connection: asyncpg.Connection,
    customer_id: UUID,
    origin: UUID,
    own_id: UUID,
    said: Statement,
    now: datetime,
) -> None:
    """Write a statement of a locked customer down; it counts unless something later was said of the same.

    `origin`: the alias by whose name the customer was meant, else the customer.
    """
    await connection.execute(
        f"""
        INSERT INTO consent_log (customer_id, origin_customer_id, id, written_at, {COLUMNS})
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        """,  # noqa: S608 - a constant
        customer_id,
        origin,
        own_id,
        now,
        *said,
    )
    await connection.execute(
        f"""
        INSERT INTO consents AS held (customer_id, {COLUMNS})
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (customer_id, purpose, channel) DO UPDATE
        SET state = excluded.state, legal_basis = excluded.legal_basis, source = excluded.source,
          note = excluded.note, stated_at = excluded.stated_at, expires_at = excluded.expires_at,
          written_by = excluded.written_by
        WHERE held.stated_at <= excluded.stated_at
        """,  # noqa: S608 - a constant
        customer_id,
        *said,
    )


async def is_known(connection: asyncpg.Connection, customer_id: UUID, said: Statement) -> bool:
    """Whether the very same was written down before: a retry of what was said at a time that the caller named."""
    known: bool = await connection.fetchval(
        """
        SELECT EXISTS (
          SELECT FROM consent_log
          WHERE customer_id = $1 AND purpose = $2 AND channel = $3 AND state = $4 AND source = $5 AND stated_at = $6
            AND legal_basis IS NOT DISTINCT FROM $7 AND expires_at IS NOT DISTINCT FROM $8
        )
        """,
        customer_id,
        said.purpose,
        said.channel,
        said.state,
        said.source,
        said.stated_at,
        said.legal_basis,
        said.expires_at,
    )
    return known


async def refused_channels(connection: asyncpg.Connection, customer_id: UUID, at: datetime) -> frozenset[str]:
    """The channels of queued invitations on which the customer does not want to be asked at that time."""
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT i.channel
        FROM survey_invitations i
        WHERE i.customer_id = $1 AND i.state = 'queued'
          AND ({opted_out("$1", "i.channel")} IS NOT NULL OR {lapsed("$1", "i.channel", "$2")})
        """,  # noqa: S608 - conditions of this package
        customer_id,
        at,
    )
    return frozenset(row[0] for row in rows)


async def draw_anew(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> None:
    """Let what these locked customers said last be what their logs say: after logs went over to others.

    Of two statements of one instant the later written counts; of those of one moment the no.
    """
    await connection.execute("DELETE FROM consents WHERE customer_id = ANY ($1::uuid[])", customer_ids)
    await connection.execute(
        f"""
        INSERT INTO consents (customer_id, {COLUMNS})
        SELECT DISTINCT ON (customer_id, purpose, channel) customer_id, {COLUMNS}
        FROM consent_log
        WHERE customer_id = ANY ($1::uuid[])
        ORDER BY customer_id, purpose, channel, stated_at DESC, written_at DESC, state = 'withdrawn' DESC, id DESC
        ON CONFLICT DO NOTHING
        """,  # noqa: S608 - a constant
        customer_ids,
    )
