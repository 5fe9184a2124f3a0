"""What the worker looks for, each in pages of an index: occasions in the log, periods, and what has come due."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.feedback.subjects import of_touchpoint
from app.storage.states import holds
from app.storage.touchpoints import standing

# --- occasions: what arrived since the last look ---------------------------------------------------------------------


class Place(NamedTuple):
    """Where in the log, by time of arrival, a page ends."""

    received_at: datetime
    customer_id: UUID
    source: str
    id: str


class Occasion(NamedTuple):
    """A touchpoint that may set off surveys; `origin` is whom it was told of, before any merge."""

    place: Place
    kind: str
    occurred_at: datetime
    thread: str | None
    origin: UUID

    @property
    def about(self) -> str:
        """The order that it names, else the touchpoint itself."""
        return of_touchpoint(self.place.source, self.place.id, self.thread)


class Look(NamedTuple):
    """One page of the log: its occasions, and where it ended; None when nothing is left."""

    occasions: list[Occasion]
    end: Place | None


# A page is so many rows of the log, whatever their kinds: a statement's time does not depend on what the shop posts.
_OCCASIONS: Final = f"""
WITH page AS MATERIALIZED (
  SELECT t.received_at, t.customer_id, t.source, t.id, t.kind, t.occurred_at, t.thread,
    t.origin_customer_id, {standing("t")} AS stands
  FROM touchpoints t
  WHERE t.received_at >= $1 AND (t.received_at, t.customer_id, t.source, t.id) > ($1, $2, $3, $4)
  ORDER BY t.received_at, t.customer_id, t.source, t.id
  LIMIT $5
), last AS (
  SELECT received_at, customer_id, source, id
  FROM page
  ORDER BY received_at DESC, customer_id DESC, source DESC, id DESC
  LIMIT 1
)
SELECT page.*, page.kind = ANY ($6::text[]) AND page.stands AS wanted, (SELECT count(*) FROM page) AS size
FROM page
WHERE page.kind = ANY ($6::text[])
  OR (page.received_at, page.customer_id, page.source, page.id) = (SELECT * FROM last)
ORDER BY page.received_at, page.customer_id, page.source, page.id
"""  # noqa: S608 - a condition of this package


async def occasions(connection: asyncpg.Connection, after: Place, kinds: Collection[str], page: int) -> Look:
    """The touchpoints of these kinds in the next `page` rows of the log; taken back ones are left out."""
    rows = await connection.fetch(_OCCASIONS, *after, page, list(kinds))
    found = [Occasion(Place(*row[:4]), *row[4:8]) for row in rows if row["wanted"]]
    full = bool(rows) and rows[-1]["size"] == page
    return Look(found, Place(*rows[-1][:4]) if full else None)


_LOOK_NAME: Final = "occasions"


async def read_until(connection: asyncpg.Connection) -> datetime | None:
    """How far the log was read by the last look; None before the first."""
    found: datetime | None = await connection.fetchval(
        "SELECT read_until FROM survey_looks WHERE name = $1", _LOOK_NAME
    )
    return found


async def remember_look(connection: asyncpg.Connection, until: datetime) -> None:
    """Note how far the log was read; of several workers the furthest counts."""
    await connection.execute(
        """
        INSERT INTO survey_looks AS l (name, read_until) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET read_until = greatest(l.read_until, excluded.read_until)
        """,
        _LOOK_NAME,
        until,
    )


async def invited_already(
    connection: asyncpg.Connection, keys: Collection[tuple[UUID, str]]
) -> set[tuple[UUID, str]]:
    """Which of these (customer, occasion key) have invited."""
    rows = await connection.fetch(
        """
        SELECT i.customer_id, i.occasion_key
        FROM unnest($1::uuid[], $2::text[]) AS wanted (customer_id, occasion_key)
        JOIN survey_invitations i USING (customer_id, occasion_key)
        WHERE i.customer_id = ANY ($1::uuid[])
        """,
        [customer_id for customer_id, _ in keys],
        [key for _, key in keys],
    )
    return {(row[0], row[1]) for row in rows}


# --- periods --------------------------------------------------------------------------------------------------------


class Period(NamedTuple):
    """When a customer is asked a periodic survey next."""

    due_at: datetime
    customer_id: UUID


async def begin_periods(connection: asyncpg.Connection, survey: str, periods: Sequence[Period]) -> None:
    """Note the first period of customers who have none yet."""
    ordered = sorted(periods, key=lambda one: one.customer_id)
    await connection.execute(
        """
        INSERT INTO survey_periods (customer_id, survey, due_at)
        SELECT customer_id, $1, due_at FROM unnest($2::uuid[], $3::timestamptz[]) AS new (customer_id, due_at)
        ON CONFLICT DO NOTHING
        """,
        survey,
        [one.customer_id for one in ordered],
        [one.due_at for one in ordered],
    )


async def due_periods(
    connection: asyncpg.Connection, survey: str, now: datetime, after: Period, limit: int
) -> list[Period]:
    """Who is due for a periodic survey."""
    rows = await connection.fetch(
        """
        SELECT due_at, customer_id
        FROM survey_periods
        WHERE survey = $1 AND due_at <= $2 AND (due_at, customer_id) > ($3, $4)
        ORDER BY due_at, customer_id
        LIMIT $5
        """,
        survey,
        now,
        after.due_at,
        after.customer_id,
        limit,
    )
    return [Period(*row) for row in rows]


async def still_due(connection: asyncpg.Connection, survey: str, period: Period) -> bool:
    """Whether nobody has dealt with the period since it was read; the customer is locked."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM survey_periods WHERE customer_id = $1 AND survey = $2 AND due_at = $3)",
        period.customer_id,
        survey,
        period.due_at,
    )
    return found


async def move_period(
    connection: asyncpg.Connection, survey: str, customer_id: UUID, due_at: datetime | None
) -> None:
    """When a locked customer is asked next; None: never again."""
    if due_at is None:
        await connection.execute(
            "DELETE FROM survey_periods WHERE customer_id = $1 AND survey = $2", customer_id, survey
        )
        return
    await connection.execute(
        "UPDATE survey_periods SET due_at = $3 WHERE customer_id = $1 AND survey = $2",
        customer_id,
        survey,
        due_at,
    )


# --- invitations that something is due for --------------------------------------------------------------------------


class Waiting(NamedTuple):
    """An invitation or follow-up that a sweep has to look at, and the time by which it was found."""

    at: datetime
    id: UUID
    customer_id: UUID


async def undecided(
    connection: asyncpg.Connection, now: datetime, after: Waiting, limit: int
) -> list[Waiting]:
    """What was planned ahead, and whose time has come."""
    rows = await connection.fetch(
        """
        SELECT send_at, id, customer_id
        FROM survey_invitations
        WHERE state = 'queued' AND send_at <= $1 AND decided_at < send_at AND (send_at, id) > ($2, $3)
        ORDER BY send_at, id
        LIMIT $4
        """,
        now,
        after.at,
        after.id,
        limit,
    )
    return [Waiting(*row) for row in rows]


async def overdue(connection: asyncpg.Connection, now: datetime, after: Waiting, limit: int) -> list[Waiting]:
    """What has expired."""
    rows = await connection.fetch(
        """
        SELECT expires_at, id, customer_id
        FROM survey_invitations
        WHERE state IN ('queued', 'sent', 'delivered', 'opened', 'bounced') AND expires_at <= $1
          AND (expires_at, id) > ($2, $3)
        ORDER BY expires_at, id
        LIMIT $4
        """,
        now,
        after.at,
        after.id,
        limit,
    )
    return [Waiting(*row) for row in rows]


async def to_ask_again(
    connection: asyncpg.Connection, now: datetime, after: Waiting, limit: int
) -> list[Waiting]:
    """The follow-ups after which somebody may be asked once more."""
    rows = await connection.fetch(
        """
        SELECT ask_due_at, id, customer_id
        FROM follow_ups
        WHERE ask_due_at IS NOT NULL AND ask_due_at <= $1 AND (ask_due_at, id) > ($2, $3)
        ORDER BY ask_due_at, id
        LIMIT $4
        """,
        now,
        after.at,
        after.id,
        limit,
    )
    return [Waiting(*row) for row in rows]


_SETTLED: Final = f"""
SELECT DISTINCT i.customer_id
FROM survey_invitations i
JOIN customer_states s USING (customer_id)
WHERE i.held_back AND i.customer_id > $1 AND NOT ({holds("open_sev")})
ORDER BY i.customer_id
LIMIT $2
"""  # noqa: S608 - a condition of this package


async def settled(connection: asyncpg.Connection, after: UUID, limit: int) -> list[UUID]:
    """Whose open complaint held back invitations, and who has none any more."""
    return [row[0] for row in await connection.fetch(_SETTLED, after, limit)]


async def let_go(connection: asyncpg.Connection, customer_id: UUID) -> None:
    """Nothing of a locked customer waits for the end of a complaint any more."""
    await connection.execute(
        "UPDATE survey_invitations SET held_back = false WHERE customer_id = $1 AND held_back", customer_id
    )
