"""Reading the log: single touchpoints, one customer's timeline, the shop's newest, and what waits.

What was voided is shown with its marker where single rows are asked for, and is no part of anything else.

What one customer's reads cost is bounded by their page, never by the length of the log.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.descriptions import order_id_of
from app.domain.health.facts import Fact, fact_of
from app.domain.touchpoints import fact_key, seconds
from app.storage.touchpoints import standing


class Void(NamedTuple):
    """When, by whom and why a touchpoint was taken back. `outcome` is the health member of the answer to that."""

    at: datetime
    by: str
    reason: str | None
    outcome: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Logged:
    """A row of the log. `outcome` is the health member of the answer its caller was given, None when told nothing.

    `value_minor` is the amount in the shop's currency, `own` what a kind of the shop's own fed when it was written.
    """

    customer_id: UUID
    origin_customer_id: UUID
    source: str
    id: str
    kind: str
    occurred_at: datetime
    received_at: datetime
    channel: str | None
    amount_minor: int | None
    currency: str | None
    exchange_rate: Decimal | None
    value_minor: int | None
    thread: str | None
    description: str | None
    items: list[dict[str, Any]] | None
    properties: dict[str, Any]
    own: tuple[str, int] | None
    outcome: dict[str, Any] | None
    pending_match: bool
    void: Void | None

    @property
    def fact(self) -> Fact:
        """What it means to the score."""
        return fact_of(
            self.kind,
            seconds(self.occurred_at),
            fact_key(self.source, self.id),
            amount=self.value_minor or 0,
            order_id=order_id_of(self.thread),
            properties=self.properties,
            own=self.own,
        )


class Narrow(NamedTuple):
    """What narrows a timeline: `since` <= occurred_at < `until`."""

    kind: str | None = None
    channel: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class TimelinePlace(NamedTuple):
    """Where a row stands in a customer's timeline."""

    occurred_at: datetime
    source: str
    id: str
    origin_customer_id: UUID


class ArrivalPlace(NamedTuple):
    """Where a row stands in the list of the whole shop."""

    received_at: datetime
    customer_id: UUID
    source: str
    id: str
    origin_customer_id: UUID


ALL: Final = Narrow()

# --- what waits -----------------------------------------------------------------------------------------------------


# The order of domain.health.threads: whole seconds, then the fact's id compared by code points.
def _turn(alias: str) -> str:
    return (
        f"floor(extract(epoch FROM {alias}.occurred_at)), ({alias}.source || '/' || {alias}.id) COLLATE \"C\""
    )


# LIMIT and count() hold the planner to one look-up for each row: an EXISTS it may hash, and then it reads every
# purchase of the shop.
PENDING: Final = f"""
CASE
  WHEN t.thread IS NULL THEN false
  WHEN t.kind IN ('refund', 'order_cancelled') THEN (
    SELECT true
    FROM touchpoints m
    WHERE m.customer_id = t.customer_id AND m.thread = t.thread AND m.kind = 'purchase' AND {standing("m")}
    LIMIT 1
  ) IS NULL
  WHEN t.kind = 'complaint_resolved' THEN (
    SELECT count(*) FILTER (WHERE m.kind = 'complaint_opened')
      <= count(*) FILTER (WHERE m.kind = 'complaint_resolved' AND ({_turn("m")}) < ({_turn("t")}))
    FROM touchpoints m
    WHERE m.customer_id = t.customer_id AND m.thread = t.thread AND {standing("m")}
  )
  ELSE false
END"""  # noqa: S608 - constants of this module
"""Whether the row `t` waits: a refund for its purchase, a resolution for its opening (the k-th answers the k-th)."""


def openings(condition: str, known_until: str | None = None, customer: str = "$1") -> str:
    """A customer's openings that no resolution answers, the oldest first; `condition` says more about `t`."""
    return f"""
SELECT c.thread, c.source, c.id, c.occurred_at, coalesce(c.properties ->> 'severity', 'medium') AS severity,
  c.description
FROM (
  SELECT t.thread, t.kind, t.source, t.id, t.occurred_at, t.properties, t.description,
    row_number() OVER (PARTITION BY t.thread, t.kind ORDER BY {_turn("t")}) AS nth,
    count(*) FILTER (WHERE t.kind = 'complaint_resolved') OVER (PARTITION BY t.thread) AS resolved
  FROM touchpoints t
  WHERE t.customer_id = {customer} AND t.kind IN ('complaint_opened', 'complaint_resolved') AND {condition}
    AND {standing("t", known_until)}
) c
WHERE c.kind = 'complaint_opened' AND c.nth > c.resolved
ORDER BY c.occurred_at, c.source, c.id
LIMIT 50"""  # noqa: S608 - constants of this package


# --- touchpoints ----------------------------------------------------------------------------------------------------

# By the names of Logged's members. JSON as text, because SQLAlchemy's connections decode it and bare ones do not.
_COLUMNS: Final = """t.customer_id, t.origin_customer_id, t.source, t.id, t.kind, t.occurred_at, t.received_at,
  t.channel, t.amount_minor, t.currency, t.exchange_rate, t.value_minor, t.thread, t.description,
  t.items::text AS items, t.properties::text AS properties, t.own_component, t.own_weight,
  t.outcome::text AS outcome"""
_VOID: Final = "w.voided_at, w.voided_by, w.reason AS void_reason, w.outcome::text AS void_outcome"
_WITH_VOID: Final = """LEFT JOIN touchpoint_voids w
          ON w.customer_id = t.customer_id AND w.source = t.source AND w.id = t.id
          AND w.origin_customer_id = t.origin_customer_id"""


def _logged(row: asyncpg.Record) -> Logged:
    void = None
    if row["voided_at"] is not None:
        void = Void(row["voided_at"], row["voided_by"], row["void_reason"], json.loads(row["void_outcome"]))
    return Logged(
        customer_id=row["customer_id"],
        origin_customer_id=row["origin_customer_id"],
        source=row["source"],
        id=row["id"],
        kind=row["kind"],
        occurred_at=row["occurred_at"],
        received_at=row["received_at"],
        channel=row["channel"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        exchange_rate=row["exchange_rate"],
        value_minor=row["value_minor"],
        thread=row["thread"],
        description=row["description"],
        items=json.loads(row["items"]) if row["items"] else None,
        properties=json.loads(row["properties"]) if row["properties"] else {},
        own=None if row["own_component"] is None else (row["own_component"], row["own_weight"]),
        outcome=json.loads(row["outcome"]),
        pending_match=row["pending_match"] and void is None,
        void=void,
    )


async def find(
    connection: asyncpg.Connection,
    customer_id: UUID,
    id: str,  # noqa: A002 - the wire's own name
    source: str | None,
    own_source: str,
    origin: UUID | None = None,
) -> Logged | None:
    """The touchpoint with this id from `source`; from any source, `own_source` comes first, then the earliest.

    Of several that a merge brought together, that of `origin` comes first: of the customer who was named.
    """
    row = await connection.fetchrow(
        f"""
        SELECT {_COLUMNS}, {_VOID}, {PENDING} AS pending_match
        FROM touchpoints t {_WITH_VOID}
        WHERE t.customer_id = $1 AND t.id = $2 AND t.purged_at IS NULL AND ($3::text IS NULL OR t.source = $3)
        ORDER BY t.origin_customer_id = $5 DESC, t.source = $4 DESC, t.received_at, t.source
        LIMIT 1
        """,  # noqa: S608 - constants of this module
        customer_id,
        id,
        source,
        own_source,
        customer_id if origin is None else origin,
    )
    return None if row is None else _logged(row)


async def newest(
    connection: asyncpg.Connection,
    customer_id: UUID,
    limit: int,
    narrow: Narrow = ALL,
    before: TimelinePlace | None = None,
) -> list[Logged]:
    """A customer's touchpoints, what happened last first; the voided ones are left out."""
    arguments: list[object] = [customer_id, limit]
    conditions = ["t.customer_id = $1", standing("t")]
    for condition, value in (
        ("t.kind =", narrow.kind),
        ("t.channel =", narrow.channel),
        ("t.occurred_at >=", narrow.since),
        ("t.occurred_at <", narrow.until),
    ):
        if value is not None:
            arguments.append(value)
            conditions.append(f"{condition} ${len(arguments)}")
    order = ("t.occurred_at", "t.source", "t.id", "t.origin_customer_id")
    return await _page(connection, order, conditions, arguments, before)


async def newest_arrivals(
    connection: asyncpg.Connection,
    limit: int,
    *,
    kind: str | None = None,
    since: datetime | None = None,
    before: ArrivalPlace | None = None,
) -> list[Logged]:
    """The touchpoints of all customers that were received at or after `since`, what came last first.

    Voided ones are among them, with their markers.
    """
    arguments: list[object] = [limit]
    conditions = ["t.purged_at IS NULL"]
    for condition, value in (("t.kind =", kind), ("t.received_at >=", since)):
        if value is not None:
            arguments.append(value)
            conditions.append(f"{condition} ${len(arguments)}")
    order = ("t.received_at", "t.customer_id", "t.source", "t.id", "t.origin_customer_id")
    return await _page(connection, order, conditions, arguments, before, limit="$1")


async def _page(
    connection: asyncpg.Connection,
    order: tuple[str, ...],
    conditions: list[str],
    arguments: list[object],
    before: tuple[object, ...] | None,
    *,
    limit: str = "$2",
) -> list[Logged]:
    """The rows before a place, in descending order. What waits is asked of the page's rows alone."""
    if before is not None:
        places = ", ".join(f"${len(arguments) + number}" for number in range(1, len(before) + 1))
        arguments += before
        conditions.append(f"({', '.join(order)}) < ({places})")
    descending = ", ".join(f"{column} DESC" for column in order)
    rows = await connection.fetch(
        f"""
        SELECT t.*, {_VOID}, {PENDING} AS pending_match
        FROM (
          SELECT {_COLUMNS}
          FROM touchpoints t
          WHERE {" AND ".join(conditions)}
          ORDER BY {descending}
          LIMIT {limit}
        ) t {_WITH_VOID}
        ORDER BY {descending}
        """,  # noqa: S608 - constants of this module and numbers of arguments
        *arguments,
    )
    return [_logged(row) for row in rows]
