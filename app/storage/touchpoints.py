"""The log. What the write path asks of it is said on a bare connection; lists and single reads on a session."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from app.domain.health.facts import THREADED, Fact, fact_of
from app.domain.recording import Stored
from app.domain.touchpoints import Touchpoint, fact_key, seconds
from app.storage.row_shape import RowShape

TIED = "t.kind IN ('" + "', '".join(THREADED) + "')"
"""Whether the row `t` is one of those that change each other's meaning; others only name an order they are about."""


def standing(alias: str, known_until: str | None = None) -> str:
    """The condition that the row `alias` of the log was neither purged nor taken back, or not yet at `known_until` (a
    parameter).

    LIMIT keeps it a look-up for each row that is left: a NOT EXISTS becomes a join, before which whole logs are read.
    """
    known = "" if known_until is None else f" AND v.voided_at <= {known_until}"
    return (
        f"({alias}.purged_at IS NULL AND (SELECT true FROM touchpoint_voids v WHERE v.customer_id = {alias}.customer_id"  # noqa: S608 - our own names
        f" AND v.source = {alias}.source AND v.id = {alias}.id"
        f" AND v.origin_customer_id = {alias}.origin_customer_id{known} LIMIT 1) IS NULL)"
    )


_FACT_COLUMNS = (
    "t.source, t.id, t.kind, t.occurred_at, t.value_minor, t.thread, t.own_component, t.own_weight,"
    " t.properties::text AS properties"
)


# OFFSET 0 keeps each look-up a look-up: flattened into a join, the planner prefers to read every row that these
# customers ever had, and the cost of a write would grow with their history.


def by_id(asked: str, customers: str = "$1::uuid[]") -> str:
    """Rows that have one of some ids, as part 1. `asked` is SQL: a FROM item of KEYS, named `wanted`, whose customers
    are those of the array `customers`.
    """
    return f"""
SELECT 1 AS part, t.customer_id, {_FACT_COLUMNS}, t.received_at, t.body_sha256,
  t.outcome::text AS outcome, t.loyalty::text AS loyalty
FROM {asked}
CROSS JOIN LATERAL (
  SELECT * FROM touchpoints t
  WHERE t.customer_id = wanted.customer_id AND t.source = wanted.source AND t.id = wanted.id
  OFFSET 0
) t
WHERE t.customer_id = ANY ({customers})
"""  # noqa: S608 - this package's constants


def by_thread(asked: str, customers: str = "$1::uuid[]") -> str:
    """Rows tied to some threads and not voided, as part 2. `asked` is SQL: a FROM item of THREADS, named `wanted`,
    whose customers are those of the array `customers`.
    """
    return f"""
SELECT 2 AS part, t.customer_id, {_FACT_COLUMNS}, NULL::timestamptz AS received_at, NULL::bytea AS body_sha256,
  NULL AS outcome, NULL AS loyalty
FROM {asked}
CROSS JOIN LATERAL (
  SELECT * FROM touchpoints t
  WHERE t.customer_id = wanted.customer_id AND t.thread = wanted.thread AND {TIED} AND {standing("t")}
  OFFSET 0
) t
WHERE t.customer_id = ANY ({customers})
"""  # noqa: S608 - this package's constants


KEYS: Final = RowShape({"customer_id": "uuid", "source": "text", "id": "text"})
"""What `by_id` is asked."""
THREADS: Final = RowShape({"customer_id": "uuid", "thread": "text"})
"""What `by_thread` is asked."""

ROWS: Final = RowShape(
    {
        "customer_id": "uuid",
        "source": "text",
        "id": "text",
        "kind": "text",
        "occurred_at": "timestamptz",
        "received_at": "timestamptz",
        "channel": "text",
        "amount_minor": "bigint",
        "currency": "text",
        "exchange_rate": "numeric",
        "value_minor": "bigint",
        "thread": "text",
        "description": "text",
        "items": "jsonb",
        "properties": "jsonb",
        "body_sha256": "text",
        "outcome": "text",
        "own_component": "text",
        "own_weight": "integer",
        "loyalty": "text",
        "origin_customer_id": "uuid",
    }
)
"""The rows that `insert` takes."""


def insert(rows: str, only_if: str | None = None) -> str:
    """The INSERT of new rows. `rows` is SQL: a FROM item with the columns of ROWS, named `new`; a row that is there
    already is left alone.

    With `only_if`, an SQL condition, all rows go in or, where it is false or one is there already, none.
    """
    ending = "ON CONFLICT DO NOTHING" if only_if is None else f"WHERE {only_if}"
    return f"{_INSERT}FROM {rows}\n{ending}"


_INSERT: Final = """
INSERT INTO touchpoints (
  customer_id, origin_customer_id, source, id, kind, occurred_at, received_at, channel, amount_minor, currency,
  exchange_rate, value_minor, thread, description, items, properties, body_sha256, outcome, own_component, own_weight,
  loyalty
)
SELECT customer_id, coalesce(origin_customer_id, customer_id), source, id, kind, occurred_at, received_at, channel,
  amount_minor, currency, exchange_rate, value_minor, thread, description, items, properties,
  decode(body_sha256, 'hex'), outcome::json, own_component, own_weight, loyalty::json
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
    (customer_id, type, value_key) of identifiers that were looked up just now and must still lead to the customer;
    (customer_id, order_id) of orders that points follow, and whether the customers' tags and the revision of the
    programmes are asked for.
    """

    keys: Collection[tuple[UUID, str, str]]
    threads: Collection[tuple[UUID, str]]
    claimed: Collection[tuple[UUID, str, str]]
    orders: Collection[tuple[UUID, str]] = ()
    tags: bool = False
    programs: bool = False

    def customer_ids(self) -> list[UUID]:
        """Each customer once, in the order in which their rows are locked."""
        return sorted({customer_id for customer_id, _, _ in self.keys})

    def as_json(self) -> str:
        """Lists of objects, by the names above."""
        return to_json(
            {
                "keys": [
                    {"customer_id": who, "source": source, "id": name} for who, source, name in self.keys
                ],
                "threads": [{"customer_id": who, "thread": thread} for who, thread in self.threads],
                "claimed": [
                    {"customer_id": who, "type": kind, "value_key": key} for who, kind, key in self.claimed
                ],
                "orders": [{"customer_id": who, "order_id": name} for who, name in self.orders],
            }
        ).decode()


_BY_ID = by_id(KEYS.of_json("$2::text::json -> 'keys'", "wanted"))
_ADD = f"{insert(ROWS.of_json('$1::text::json', 'new'))} RETURNING true"


async def load_known(
    connection: asyncpg.Connection, keys: Collection[tuple[UUID, str, str]]
) -> list[KnownRow]:
    """The rows that have one of these ids: (customer_id, source, id)."""
    wanted = Wanted(keys, (), ())
    rows = await connection.fetch(_BY_ID, wanted.customer_ids(), wanted.as_json())
    return [known_row(row) for row in rows]


async def add(connection: asyncpg.Connection, rows: Collection[tuple[UUID, Touchpoint, str]]) -> int:
    """Add (customer_id, touchpoint, outcome) to the log of locked customers whose states stay; how many were taken."""
    return len(await connection.fetch(_ADD, rows_json(rows)))


def known_row(row: Mapping[str, Any]) -> KnownRow:
    """A row of `by_id` or `by_thread`."""
    stored = None
    if row["part"] == 1:
        stored = Stored(
            row["body_sha256"], row["occurred_at"], row["received_at"], row["outcome"], row["loyalty"]
        )
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


NewRow: TypeAlias = tuple[UUID, Touchpoint, str] | tuple[UUID, Touchpoint, str, str | None]
"""(customer_id, touchpoint, outcome, loyalty): whose, what, and the JSON that its caller is told."""


def rows_json(rows: Iterable[NewRow]) -> str:
    """Rows for `insert`."""
    return to_json([row_of(*row) for row in rows]).decode()


def row_of(
    customer_id: UUID, touchpoint: Touchpoint, outcome: str, loyalty: str | None = None
) -> dict[str, Any]:
    """A row for `insert`, by the columns of ROWS."""
    own_component, own_weight = touchpoint.own or (None, None)
    row = {
        "customer_id": customer_id,
        "source": touchpoint.source,
        "id": touchpoint.id,
        "kind": touchpoint.kind,
        "occurred_at": touchpoint.occurred_at,
        "received_at": touchpoint.received_at,
        "channel": touchpoint.channel,
        "amount_minor": touchpoint.amount_minor,
        "currency": touchpoint.currency,
        "exchange_rate": touchpoint.exchange_rate,
        "value_minor": touchpoint.value_minor,
        "thread": touchpoint.thread,
        "description": touchpoint.description,
        "items": touchpoint.items,
        "properties": touchpoint.properties,
        "body_sha256": touchpoint.body_sha256.hex(),
        "outcome": outcome,
        "own_component": own_component,
        "own_weight": own_weight,
        "loyalty": loyalty,
    }
    if touchpoint.origin_customer_id is not None:
        row["origin_customer_id"] = touchpoint.origin_customer_id
    return row
