"""The facts behind a customer's score, and the state that they make.

What was voided is no part of them. What reads cost is bounded, but for `facts`, which reads a whole log.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.health.facts import Fact
from app.domain.health.state import State
from app.domain.kinds import KINDS
from app.storage.timeline import PENDING, openings
from app.storage.touchpoints import TIED, fact_of_row, standing

END_OF_TIME: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""No bound."""

_CHUNK: Final = 1000

# Properties may be 32 KB; only these kinds say something in them that the score reads.
_SPEAKING: Final = ", ".join(
    f"'{kind.name}'" for kind in KINDS.values() if kind.component in ("complaints", "satisfaction")
)
_STORED: Final = """t.source, t.id, t.kind, t.occurred_at, t.value_minor, t.thread, t.own_component, t.own_weight,
  t.properties"""
_FACT: Final = f"""t.source, t.id, t.kind, t.occurred_at, t.value_minor, t.thread, t.own_component, t.own_weight,
  CASE WHEN t.kind IN ({_SPEAKING}) THEN t.properties END AS properties"""


class LoggedFact(NamedTuple):
    """A fact and the names of the touchpoint it came from."""

    source: str
    id: str
    occurred_at: datetime
    fact: Fact


async def state(connection: asyncpg.Connection, customer_id: UUID) -> State:
    """The fold of a customer's log as the last write left it; the caller has just seen that they exist."""
    return State.decode(
        await connection.fetchval("SELECT state FROM customer_states WHERE customer_id = $1", customer_id)
    )


def _logged_fact(row: asyncpg.Record) -> LoggedFact:
    return LoggedFact(row["source"], row["id"], row["occurred_at"], fact_of_row(row))


async def facts(
    connection: asyncpg.Connection, customer_id: UUID, until: datetime, known_until: datetime
) -> AsyncIterator[LoggedFact]:
    """Everything that happened to a customer up to `until`, as far as it had been received by `known_until`.

    Needs a transaction: it reads in chunks, so that a long log does not stop the process meanwhile.
    """
    statement = f"""
        SELECT {_FACT}
        FROM touchpoints t
        WHERE t.customer_id = $1 AND t.occurred_at <= $2 AND t.received_at <= $3 AND {standing("t", "$3")}
        """  # noqa: S608 - constants of this module
    async for row in connection.cursor(statement, customer_id, until, known_until, prefetch=_CHUNK):
        yield _logged_fact(row)


async def latest_facts(
    connection: asyncpg.Connection,
    customer_id: UUID,
    limit: int,
    until: datetime = END_OF_TIME,
    known_until: datetime = END_OF_TIME,
) -> list[LoggedFact]:
    """The facts among a customer's newest touchpoints that do not wait for another one."""
    rows = await connection.fetch(
        f"""
        SELECT {_FACT}
        FROM (
          SELECT t.customer_id, {_STORED}
          FROM touchpoints t
          WHERE t.customer_id = $1 AND t.occurred_at <= $2 AND t.received_at <= $3 AND {standing("t", "$3")}
          ORDER BY t.occurred_at DESC
          LIMIT $4
        ) t
        WHERE NOT {PENDING}
        """,  # noqa: S608 - constants of this module
        customer_id,
        until,
        known_until,
        limit,
    )
    return [_logged_fact(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Recent:
    """What happened to a customer after some time, and what was there before of the same threads.

    `last_purchase` is the last one before, told only when there is one after: else the state knows it.
    """

    after: list[Fact]
    before: list[Fact]
    last_purchase: Fact | None


async def recent_facts(
    connection: asyncpg.Connection, customer_id: UUID, then: datetime, limit: int
) -> Recent | None:
    """What a state must lose to be as it was at `then`; None when more than `limit` things happened since.

    The look for the last purchase before ends at the first one that it meets.
    """
    rows = await connection.fetch(
        f"""
        WITH after AS MATERIALIZED (
          SELECT {_STORED}
          FROM touchpoints t
          WHERE t.customer_id = $1 AND t.occurred_at > $2 AND {standing("t")}
          LIMIT $3
        )
        SELECT 'after' AS part, {_FACT} FROM after t
        UNION ALL
        SELECT 'before', {_FACT}
        FROM touchpoints t
        WHERE t.customer_id = $1 AND t.occurred_at <= $2 AND {TIED}
          AND t.thread = ANY (ARRAY(SELECT DISTINCT t.thread FROM after t WHERE t.thread IS NOT NULL AND {TIED}))
          AND {standing("t")}
        UNION ALL (
          SELECT 'purchase', {_FACT}
          FROM touchpoints t
          WHERE t.customer_id = $1 AND t.occurred_at <= $2 AND t.kind = 'purchase'
            AND EXISTS (SELECT FROM after WHERE kind = 'purchase') AND {standing("t")}
          ORDER BY t.occurred_at DESC
          LIMIT 1
        )
        """,  # noqa: S608 - constants of this module
        customer_id,
        then,
        limit + 1,
    )
    parts: dict[str, list[Fact]] = {"after": [], "before": [], "purchase": []}
    for row in rows:
        parts[row["part"]].append(fact_of_row(row))
    if len(parts["after"]) > limit:
        return None
    return Recent(parts["after"], parts["before"], next(iter(parts["purchase"]), None))


class OpenComplaint(NamedTuple):
    """An opening that no resolution answers yet."""

    thread: str
    source: str
    id: str
    opened_at: datetime
    severity: str
    description: str | None


_OPEN_COMPLAINTS_AS_OF: Final = openings("t.occurred_at <= $2 AND t.received_at <= $3", "$3")


async def open_complaints(
    connection: asyncpg.Connection,
    customer_id: UUID,
    until: datetime = END_OF_TIME,
    known_until: datetime = END_OF_TIME,
) -> list[OpenComplaint]:
    """A customer's open complaints, the oldest first, at most 50."""
    rows = await connection.fetch(_OPEN_COMPLAINTS_AS_OF, customer_id, until, known_until)
    return [OpenComplaint(*row) for row in rows]
