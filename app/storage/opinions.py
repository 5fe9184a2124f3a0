"""Overrides of health and agents' sentiments: one row each for a customer who has one."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.opinions import Override, Sentiment
from app.storage import merged_opinions
from app.storage.consents import opted_out
from app.storage.touchpoints import standing

_BESIDE = f"""
SELECT o.score, o.reason, o.until, o.set_by, o.set_at, s.sentiment, s.note, s.set_by AS said_by, s.set_at AS said_at,
  EXISTS (
    SELECT FROM touchpoints t
    WHERE t.customer_id = $1 AND t.amount_minor IS NOT NULL AND t.value_minor IS NULL AND {standing("t")}
  ) AS without_value,
  {opted_out()} AS opted_out_at
FROM customer_states c
LEFT JOIN health_overrides o ON o.customer_id = c.customer_id
LEFT JOIN health_sentiments s ON s.customer_id = c.customer_id
WHERE c.customer_id = $1
"""  # noqa: S608 - a condition of this package


class Beside(NamedTuple):
    """What stands beside a customer's score. `without_value`: they have touchpoints whose money has no rate.

    `opted_out_at`: since then they do not want to be written to.
    """

    override: Override | None
    sentiment: Sentiment | None
    without_value: bool
    opted_out_at: datetime | None

    def at(self, moment: datetime) -> "Beside":
        """What of it was there at that time."""
        override, sentiment = self.override, self.sentiment
        return Beside(
            override if override is not None and override.holds_at(moment) else None,
            sentiment if sentiment is not None and sentiment.set_at <= moment else None,
            self.without_value,
            self.opted_out_at if self.opted_out_at is not None and self.opted_out_at <= moment else None,
        )


async def beside(connection: asyncpg.Connection, customer_id: UUID) -> Beside:
    """What people said of this customer, expired or not, and whether money is missing."""
    row = await connection.fetchrow(_BESIDE, customer_id)
    if row is None:
        return Beside(None, None, without_value=False, opted_out_at=None)
    override = None if row["score"] is None else Override(*row[:5])
    sentiment = None if row["sentiment"] is None else Sentiment(*row[5:9])
    return Beside(override, sentiment, row["without_value"], row["opted_out_at"])


async def set_override(
    connection: asyncpg.Connection, customer_id: UUID, override: Override, said_of: UUID
) -> None:
    """Put it in the place of the one that is there. The customer's state row is locked.

    `said_of` is who was named: the customer, or somebody who was merged into them.
    """
    covered = await merged_opinions.covering(connection, "health_overrides", customer_id, said_of)
    await connection.execute(
        """
        INSERT INTO health_overrides (customer_id, score, reason, until, set_by, set_at, said_of, covered)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb)
        ON CONFLICT (customer_id) DO UPDATE
        SET score = excluded.score, reason = excluded.reason, until = excluded.until, set_by = excluded.set_by,
          set_at = excluded.set_at, said_of = excluded.said_of, covered = excluded.covered
        """,
        customer_id,
        override.score,
        override.reason,
        override.until,
        override.set_by,
        override.set_at,
        said_of,
        covered,
    )


async def lift_override(connection: asyncpg.Connection, customer_id: UUID) -> None:
    """Take it away, if there is one."""
    await connection.execute("DELETE FROM health_overrides WHERE customer_id = $1", customer_id)


async def set_sentiment(
    connection: asyncpg.Connection, customer_id: UUID, sentiment: Sentiment, said_of: UUID
) -> None:
    """Put it in the place of the one that is there. The customer's state row is locked. `said_of`: as above."""
    covered = await merged_opinions.covering(connection, "health_sentiments", customer_id, said_of)
    await connection.execute(
        """
        INSERT INTO health_sentiments (customer_id, sentiment, note, set_by, set_at, said_of, covered)
        VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)
        ON CONFLICT (customer_id) DO UPDATE
        SET sentiment = excluded.sentiment, note = excluded.note, set_by = excluded.set_by, set_at = excluded.set_at,
          said_of = excluded.said_of, covered = excluded.covered
        """,
        customer_id,
        sentiment.sentiment,
        sentiment.note,
        sentiment.set_by,
        sentiment.set_at,
        said_of,
        covered,
    )


async def forget_sentiment(connection: asyncpg.Connection, customer_id: UUID) -> None:
    """Take it away, if there is one."""
    await connection.execute("DELETE FROM health_sentiments WHERE customer_id = $1", customer_id)
