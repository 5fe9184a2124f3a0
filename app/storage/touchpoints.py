"""The log. What the write path asks of it is said on a bare connection; lists and single reads on a session."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from app.domain.health.facts import THREADED, Fact, fact_of
from app.domain.recording import Stored
from app.domain.touchpoints import Touchpoint, fact_key, seconds

TIED = "t.kind IN ('" + "', '".join(THREADED) + "')"
"""Whether the row `t` is one of those that change each other's meaning; others only name an order they are about."""

_FACT_COLUMNS = (
    "t.source, t.id, t.kind, t.occurred_at, t.value_minor, t.thread, t.properties::text AS properties"
)


# OFFSET 0 keeps each look-up a look-up: flattened into a join, the planner prefers to read every row that these
# customers ever had, and the cost of a write would grow with their history.


def by_id(first: int) -> str:
    """Rows that have one of some ids, as part 1: (customer_id, source, id) are three arrays, beginning at `first`."""
    ids, sources, names = range(first, first + 3)
    return f"""
SELECT 1 AS part, t.customer_id, {_FACT_COLUMNS}, t.received_at, t.body_sha256,
  t.outcome::text AS outcome
FROM unnest(${ids}::uuid[], ${sources}::text[], ${names}::text[]) AS wanted (customer_id, source, id)
CROSS JOIN LATERAL (
  SELECT * FROM touchpoints t
  WHERE t.customer_id = wanted.customer_id AND t.source = wanted.source AND t.id = wanted.id
  OFFSET 0
) t
WHERE t.customer_id = ANY (${ids}::uuid[])
"""  # noqa: S608 - numbers of arguments, and this module's constants


def by_thread(first: int) -> str:
    """Rows that are tied to some threads, as part 2: (customer_id, thread) are two arrays, beginning at `first`."""
    owners, threads = range(first, first + 2)
    return f"""
SELECT 2 AS part, t.customer_id, {_FACT_COLUMNS}, NULL::timestamptz AS received_at, NULL::bytea AS body_sha256,
  NULL AS outcome
FROM unnest(${owners}::uuid[], ${threads}::text[]) AS wanted (customer_id, thread)
CROSS JOIN LATERAL (
  SELECT * FROM touchpoints t
  WHERE t.customer_id = wanted.customer_id AND t.thread = wanted.thread AND {TIED}
  OFFSET 0
) t
WHERE t.customer_id = ANY (${owners}::uuid[])
"""  # noqa: S608 - numbers of arguments, and this module's constants


def insert(only_if: str | None = None) -> str:
    """The INSERT of new rows, its arguments are the first seventeen; a row that is there already is left alone.

    With `only_if`, an SQL condition, all rows go in or, where it is false or one is there already, none.
    """
    ending = "ON CONFLICT DO NOTHING" if only_if is None else f"WHERE {only_if}"
    return f"{_INSERT}{ending}"


_INSERT: Final = """
INSERT INTO touchpoints (
  customer_id, origin_customer_id, source, id, kind, occurred_at, received_at, channel, amount_minor, currency,
  exchange_rate, value_minor, thread, description, items, properties, body_sha256, outcome
)
SELECT customer_id, customer_id, source, id, kind, occurred_at, received_at, channel, amount_minor, currency,
  exchange_rate, value_minor, thread, description, items::jsonb, properties::jsonb, body_sha256, outcome::json
FROM unnest(
  $1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::bigint[],
  $9::text[], $10::numeric[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bytea[],
  $17::text[]
) AS new (
  customer_id, source, id, kind, occurred_at, received_at, channel, amount_minor, currency, exchange_rate,
  value_minor, thread, description, items, properties, body_sha256, outcome
)
"""


class KnownRow(NamedTuple):
    """A row that concerns a group: found by its id (then with what a retry needs), or as a member of a thread."""

    customer_id: UUID
    source: str
    id: str
    fact: Fact
    stored: Stored | None


class Wanted(NamedTuple):
    """What a group asks: (customer_id, source, id) of its touchpoints, (customer_id, thread) of some of them, and
    (customer_id, type, value_key) of identifiers that were looked up just now and must still lead to the customer.
    """

    keys: Sequence[tuple[UUID, str, str]]
    threads: Sequence[tuple[UUID, str]]
    claimed: Sequence[tuple[UUID, str, str]]

    def customer_ids(self) -> list[UUID]:
        """Each customer once, in the order in which their rows are locked."""
        return sorted({customer_id for customer_id, _, _ in self.keys})

    def arguments(self) -> tuple[list[Any], ...]:
        """The columns of each as arrays, one after the other: nothing for what is not asked."""
        return tuple(
            list(column)
            for rows in (self.keys, self.threads, self.claimed)
            if rows
            for column in zip(*rows, strict=True)
        )


def known_row(row: Mapping[str, Any]) -> KnownRow:
    """A row of `by_id` or `by_thread`."""
    stored = None
    if row["part"] == 1:
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
    )


def columns(rows: Sequence[tuple[UUID, Touchpoint, str]]) -> Iterable[tuple[Any, ...]]:
    """(customer_id, touchpoint, outcome) of each row as the seventeen arguments of INSERT."""
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
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
