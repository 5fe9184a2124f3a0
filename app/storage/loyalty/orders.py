"""Orders: what is known of each, whether its storefront sends whole states, posts touchpoints, or both."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import from_json, to_json

from app.domain.loyalty.earning import order_key
from app.domain.loyalty.known_orders import KnownOrder
from app.domain.loyalty.orders import Chunk, Order, OrderLine, OrderState, Parked, worth_of
from app.storage.loyalty import plain_earns
from app.storage.loyalty.rows import micros_of, time_of
from app.storage.touchpoints import standing

_PARTS: Final = (
    "o.source, o.order_id, o.origin_customer_id, o.state, o.cycle, o.is_paid, o.chunks, o.adopted, o.parked,"
    " o.effects, o.revision, o.currency, o.answer"
)
ROW: Final = f"json_build_array({_PARTS})::text"
"""SQL of an order `o` as `order_of` reads it."""

_FIND: Final = f"""
SELECT {ROW} FROM orders o WHERE o.customer_id = $1 AND o.order_id = $2
ORDER BY o.source, o.origin_customer_id
"""  # noqa: S608 - this module's constants

# Who saves says which revision was read; a new order has none, and one that stands in its way was not seen.
SAVE: Final = """
INSERT INTO orders AS o (
  customer_id, source, order_id, origin_customer_id, version, state, cycle, is_paid, chunks, adopted, parked, effects,
  currency, answer, revision, created_at, updated_at
)
SELECT customer_id, source, order_id, origin_customer_id, version, state, cycle, is_paid, chunks, adopted, parked,
  effects, currency, answer::json, 1 + was_revision, at, at
FROM json_to_recordset($2::text::json -> 'orders') AS new (
  customer_id uuid, source text, order_id text, origin_customer_id uuid, version bigint, state jsonb, cycle integer,
  is_paid boolean, chunks jsonb, adopted text, parked jsonb, effects jsonb, currency text, answer text,
  was_revision integer, at timestamptz
)
ON CONFLICT (customer_id, order_id, source, origin_customer_id) DO UPDATE SET version = excluded.version,
  state = excluded.state, cycle = excluded.cycle, is_paid = excluded.is_paid, chunks = excluded.chunks,
  adopted = excluded.adopted, parked = excluded.parked, effects = excluded.effects, currency = excluded.currency,
  answer = excluded.answer, revision = excluded.revision, updated_at = excluded.updated_at
WHERE o.revision = excluded.revision - 1
RETURNING true"""

_SAVE_ALONE: Final = SAVE.replace("$2::text::json -> 'orders'", "$1::text::json")

_MONEY: Final = f"""
SELECT t.source, t.id, t.kind, t.occurred_at, t.amount_minor, t.currency, t.value_minor
FROM touchpoints t
WHERE t.customer_id = $1 AND t.thread = 'order:' || $2 AND t.kind IN ('purchase', 'refund', 'order_cancelled')
  AND {standing("t")}
ORDER BY t.received_at, t.occurred_at, t.id
"""  # noqa: S608 - a condition of this package


_SOURCE: Final = 3


class Money(NamedTuple):
    """A row of the log that moves money of an order."""

    source: str
    id: str
    kind: str
    occurred_at: datetime
    amount_minor: int | None
    currency: str | None
    value_minor: int | None

    def refund(self, shop_currency: str, order_source: str) -> Parked:
        """What it gives back of an order of this source; a cancellation all that is left."""
        source = None if self.source == order_source else self.source
        if self.kind == "order_cancelled":
            return Parked(self.id, self.occurred_at, None, source)
        worth = worth_of(self.amount_minor, self.currency, self.value_minor, shop_currency)
        return Parked(self.id, self.occurred_at, self.amount_minor or 0, source, worth)


class Listed(NamedTuple):
    """An order that was sent whole, and when it changed."""

    known: KnownOrder
    created_at: datetime
    updated_at: datetime


def order_of(text: str) -> KnownOrder:
    """An order from `ROW`."""
    row = from_json(text)
    order = Order(
        state=None if row[3] is None else state_of(row[3]),
        cycle=row[4],
        is_paid=row[5],
        chunks=tuple(Chunk(*chunk) for chunk in row[6]),
        adopted=row[7],
        parked=tuple(_waiting(one) for one in row[8]),
    )
    return KnownOrder(
        source=row[0],
        order_id=row[1],
        order=order,
        revision=row[10],
        currency=row[11],
        touchpoints=[(source, name) for source, name in row[9]],
        answer=None if row[12] is None else json.dumps(row[12], ensure_ascii=False),
        origin=UUID(row[2]),
    )


def _waiting(row: Sequence[Any]) -> Parked:
    # Rows of before have neither source nor worth.
    source, worth = row[_SOURCE:] if len(row) > _SOURCE else (None, ())
    return Parked(row[0], time_of(row[1]), row[2], source, tuple((code, minor) for code, minor in worth))


def order_row(customer_id: UUID, known: KnownOrder, now: datetime) -> dict[str, Any]:
    """An order for `SAVE`."""
    order = known.order
    return {
        "customer_id": customer_id,
        "source": known.source,
        "order_id": known.order_id,
        "origin_customer_id": known.origin or customer_id,
        "version": None if order.state is None else order.state.version,
        "state": None if order.state is None else state_row(order.state),
        "cycle": order.cycle,
        "is_paid": order.is_paid,
        "chunks": order.chunks,
        "adopted": order.adopted,
        "parked": [_parked(one) for one in order.parked],
        "effects": known.touchpoints,
        "currency": known.currency,
        "answer": known.answer,
        "was_revision": known.revision,
        "at": now,
    }


def _parked(one: Parked) -> list[Any]:
    return [one.id, micros_of(one.occurred_at), one.amount_minor, one.source, one.worth]


def changed_orders(
    orders: Iterable[tuple[UUID, Mapping[str, Sequence[KnownOrder]]]],
    now: datetime,
    earned: Iterable[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """The rows of those orders of some customers that are not as they were read.

    Orders that one of the rows of `earned` (plain_earns) can write are left to it.
    """
    by_key = {(row["customer_id"], row["key"]): row for row in earned}
    return [
        order_row(customer_id, known, now)
        for customer_id, by_id in orders
        for same_id in by_id.values()
        for known in same_id
        if known.is_changed and not _is_written(customer_id, known, by_key)
    ]


def _is_written(
    customer_id: UUID, known: KnownOrder, earned: Mapping[tuple[UUID, str], dict[str, Any]]
) -> bool:
    if not plain_earns.is_just_posted(known):
        return False
    row = earned.get((customer_id, order_key(known.source, known.order_id, known.order.cycle)))
    return row is not None and plain_earns.with_order(row, known)


def state_row(state: OrderState) -> dict[str, Any]:
    """The full state of an order as JSON."""
    return {
        "order_id": state.order_id,
        "version": state.version,
        "status": state.status,
        "placed_at": state.placed_at.isoformat(),
        "currency": state.currency,
        "lines": [line._asdict() for line in state.lines],
        "shipping_minor": state.shipping_minor,
        "points_paid_minor": state.points_paid_minor,
        "refunded_minor": state.refunded_minor,
        "exchange_rate": None if state.exchange_rate is None else str(state.exchange_rate),
        "channel": state.channel,
    }


def state_of(row: Mapping[str, Any]) -> OrderState:
    """What `state_row` made."""
    rate = row["exchange_rate"]
    return OrderState(
        **{
            **row,
            "placed_at": datetime.fromisoformat(row["placed_at"]),
            "lines": tuple(OrderLine(**line) for line in row["lines"]),
            "exchange_rate": None if rate is None else Decimal(rate),
        }
    )


async def find(connection: asyncpg.Connection, customer_id: UUID, order_id: str) -> list[KnownOrder]:
    """The orders of a customer with this id: one for each source that has one."""
    return [order_of(row[0]) for row in await connection.fetch(_FIND, customer_id, order_id)]


async def money_of(connection: asyncpg.Connection, customer_id: UUID, order_id: str) -> list[Money]:
    """What stands in the log of an order's money, in the order in which it came."""
    return [Money(*row) for row in await connection.fetch(_MONEY, customer_id, order_id)]


async def save(
    connection: asyncpg.Connection, customer_id: UUID, orders: Collection[KnownOrder], now: datetime
) -> bool:
    """Write orders of a locked customer; False when one was written by somebody else since it was read."""
    rows = [order_row(customer_id, known, now) for known in orders]
    taken = await connection.fetch(_SAVE_ALONE, to_json(rows).decode())
    return len(taken) == len(rows)


async def newest(
    connection: asyncpg.Connection,
    customer_id: UUID,
    limit: int,
    after: tuple[datetime, str, str] | None,
) -> list[Listed]:
    """The whole orders of a customer, what was placed last first."""
    rows = await connection.fetch(
        f"""
        SELECT {ROW}, o.created_at, o.updated_at FROM orders o
        WHERE o.customer_id = $1 AND o.state IS NOT NULL
          AND ($2::timestamptz IS NULL OR (o.created_at, o.order_id, o.source) < ($2, $3, $4))
        ORDER BY o.created_at DESC, o.order_id DESC, o.source DESC
        LIMIT $5
        """,  # noqa: S608 - our own columns
        customer_id,
        *(after or (None, None, None)),
        limit,
    )
    return [Listed(order_of(row[0]), row[1], row[2]) for row in rows]
