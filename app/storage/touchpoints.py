"""The log. What the write path asks of it is said on a bare connection; lists and single reads on a session."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.domain.health.facts import THREADED, Fact, fact_of
from app.domain.recording import Stored
from app.domain.touchpoints import Touchpoint, fact_key, seconds

TIED = "t.kind IN ('" + "', '".join(THREADED) + "')"
"""Whether the row `t` is one of those that change each other's meaning; others only name an order they are about."""


def standing(alias: str, known_until: str | None = None) -> str:
    """The condition that the row `alias` of the log was not taken back, or not yet at `known_until` (a parameter).

    LIMIT keeps it a look-up for each row that is left: a NOT EXISTS becomes a join, before which whole logs are read.
    """
    known = "" if known_until is None else f" AND v.voided_at <= {known_until}"
    return (
        f"(SELECT true FROM touchpoint_voids v WHERE v.customer_id = {alias}.customer_id"  # noqa: S608 - our own names
        f" AND v.source = {alias}.source AND v.id = {alias}.id"
        f" AND v.origin_customer_id = {alias}.origin_customer_id{known} LIMIT 1) IS NULL"
    )


_FACT_COLUMNS = (
    "t.source, t.id, t.kind, t.occurred_at, t.value_minor, t.thread, t.own_component, t.own_weight,"
    " t.properties::text AS properties"
)

# Two look-ups in one statement: rows that have one of these ids, and rows that are tied to one of the group.
# What was voided is no part of its thread any more; its id stays taken.
# OFFSET 0 keeps each look-up a look-up: flattened into a join, the planner prefers to read every row that these
# customers ever had, and the cost of a write would grow with their history.
KNOWN: Final = f"""
SELECT t.customer_id, true AS by_id, {_FACT_COLUMNS}, t.received_at, t.body_sha256,
  t.outcome::text AS outcome
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS wanted (customer_id, source, id)
CROSS JOIN LATERAL (
  SELECT * FROM touchpoints t
  WHERE t.customer_id = wanted.customer_id AND t.source = wanted.source AND t.id = wanted.id
  OFFSET 0
) t
WHERE t.customer_id = ANY ($1::uuid[])
UNION ALL
SELECT t.customer_id, false, {_FACT_COLUMNS}, NULL, NULL, NULL
FROM unnest($4::uuid[], $5::text[]) AS wanted (customer_id, thread)
CROSS JOIN LATERAL (
  SELECT * FROM touchpoints t
  WHERE t.customer_id = wanted.customer_id AND t.thread = wanted.thread AND {TIED} AND {standing("t")}
  OFFSET 0
) t
WHERE t.customer_id = ANY ($4::uuid[])
"""  # noqa: S608 - only this module's constants go in

INSERT: Final = """
INSERT INTO touchpoints (
  customer_id, origin_customer_id, source, id, kind, occurred_at, received_at, channel, amount_minor, currency,
  exchange_rate, value_minor, thread, description, items, properties, body_sha256, outcome, own_component, own_weight
)
SELECT customer_id, customer_id, source, id, kind, occurred_at, received_at, channel, amount_minor, currency,
  exchange_rate, value_minor, thread, description, items::jsonb, properties::jsonb, body_sha256, outcome::json,
  own_component, own_weight
FROM unnest(
  $1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::bigint[],
  $9::text[], $10::numeric[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bytea[],
  $17::text[], $18::text[], $19::int[]
) AS new (
  customer_id, source, id, kind, occurred_at, received_at, channel, amount_minor, currency, exchange_rate,
  value_minor, thread, description, items, properties, body_sha256, outcome, own_component, own_weight
)
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A row that concerns a group: found by its id (then with what a retry needs), or as a member of a thread."""

    customer_id: UUID
    source: str
    id: str
    fact: Fact
    stored: Stored | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a group asks of the log: (customer_id, source, id) of its touchpoints, (customer_id, thread) of some."""

    keys: Sequence[tuple[UUID, str, str]]
    threads: Sequence[tuple[UUID, str]]

    def customer_ids(self) -> list[UUID]:
        """Each customer once, in the order in which their rows are locked."""
        return sorted({customer_id for customer_id, _, _ in self.keys})

    def arguments(self) -> tuple[list[Any], ...]:
        """The five arguments of KNOWN."""
        ids, sources, names = zip(*self.keys, strict=True) if self.keys else ((), (), ())
        owners, threads = zip(*self.threads, strict=True) if self.threads else ((), ())
        return list(ids), list(sources), list(names), list(owners), list(threads)


async def load_known(connection: asyncpg.Connection, wanted: Wanted) -> list[KnownRow]:
    """The rows of the log that concern a group, as of now."""
    return [known_row(row) for row in await connection.fetch(KNOWN, *wanted.arguments())]


async def insert(connection: asyncpg.Connection, rows: Sequence[tuple[UUID, Touchpoint, str]]) -> int:
    """Add (customer_id, touchpoint, outcome) to the log of locked customers whose states stay; how many were taken."""
    return len(await connection.fetch(f"{INSERT} RETURNING true", *columns(rows)))


def known_row(row: Mapping[str, Any]) -> KnownRow:
    """A row of KNOWN."""
    stored = None
    if row["by_id"]:
        stored = Stored(row["body_sha256"], row["occurred_at"], row["received_at"], row["outcome"])
    return KnownRow(row["customer_id"], row["source"], row["id"], fact_of_row(row), stored)


def fact_of_row(row: Mapping[str, Any]) -> Fact:
    """The fact in a stored row; the same as the one that was folded when the row was written.

    A row that is only about an order, such as `delivered`, has a thread and its fact none: `fact_of` decides by kind.
    """
    thread, properties = row["thread"], row["properties"]
    return fact_of(
        row["kind"],
        seconds(row["occurred_at"]),
        fact_key(row["source"], row["id"]),
        amount=row["value_minor"] or 0,
        order_id=thread.removeprefix("order:")
        if thread is not None and thread.startswith("order:")
        else None,
        properties=json.loads(properties) if properties else {},
        own=None if row["own_component"] is None else (row["own_component"], row["own_weight"]),
    )


def columns(rows: Sequence[tuple[UUID, Touchpoint, str]]) -> Iterable[tuple[Any, ...]]:
    """(customer_id, touchpoint, outcome) of each row as the nineteen arguments of INSERT."""
    return zip(*(_values(*row) for row in rows), strict=True)


def _values(customer_id: UUID, touchpoint: Touchpoint, outcome: str) -> tuple[Any, ...]:
    return (
        customer_id,
        touchpoint.source,
        touchpoint.id,
        touchpoint.kind,
        touchpoint.occurred_at,
        touchpoint.received_at,
        touchpoint.channel,
        touchpoint.amount_minor,
        touchpoint.currency,
        touchpoint.exchange_rate,
        touchpoint.value_minor,
        touchpoint.thread,
        touchpoint.description,
        None if touchpoint.items is None else _json(touchpoint.items),
        None if touchpoint.properties is None else _json(touchpoint.properties),
        touchpoint.body_sha256,
        outcome,
        *(touchpoint.own or (None, None)),
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
