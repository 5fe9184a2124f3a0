"""What the write path reads: whatever a group needs to know, in one statement and one snapshot."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import from_json, to_json

from app.domain.loyalty.known_orders import KnownOrder
from app.storage import states, touchpoints
from app.storage.loyalty import buyers, orders
from app.storage.loyalty.accounts import Loaded as LoadedAccount
from app.storage.loyalty.buyers import Buyers
from app.storage.row_shape import RowShape
from app.storage.states import StateRow
from app.storage.touchpoints import KnownRow, Wanted

_CUSTOMERS = "$1::uuid[]"


# The parts are told apart by their first column: a state row, a row of the log found by its id, one found by its
# thread, an identifier that the customer holds, an order, the tags of a customer, the revision of all programmes.
def _states(customers: str) -> str:
    return f"""
SELECT 0 AS part, s.customer_id, NULL AS source, NULL AS id, NULL AS kind,
  NULL::timestamptz AS occurred_at, NULL::bigint AS value_minor, NULL AS thread,
  NULL AS own_component, NULL::integer AS own_weight, NULL AS properties,
  NULL::timestamptz AS received_at, NULL::bytea AS body_sha256, NULL AS outcome, NULL AS loyalty,
  s.state, s.identity_revision, s.merged_into, s.erased_at, s.band, s.score, s.scored_at, s.scored_by, s.band_until,
  s.xmin::text AS version
FROM customer_states s
WHERE s.customer_id = ANY ({customers})
"""  # noqa: S608 - our own columns


_STATES = _states(_CUSTOMERS)
_ROWS = "UNION ALL SELECT row.*, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM "
_NOTHING = ", ".join(["NULL"] * 21)


def _by_id(asked: str, customers: str = _CUSTOMERS) -> str:
    return f"{_ROWS}({touchpoints.by_id(asked, customers)}) AS row"


def _by_thread(asked: str, customers: str = _CUSTOMERS) -> str:
    return f"{_ROWS}({touchpoints.by_thread(asked, customers)}) AS row"


_CLAIMS = RowShape({"customer_id": "uuid", "type": "text", "value_key": "text"})


def _held(asked: str) -> str:
    return f"""
UNION ALL
SELECT 3, held.customer_id, held.type, held.value_key, {_NOTHING}
FROM {asked}
CROSS JOIN LATERAL (
  SELECT * FROM customer_identifiers i
  WHERE i.customer_id = claimed.customer_id AND i.type = claimed.type AND i.value_key = claimed.value_key
  OFFSET 0
) held
WHERE held.customer_id = ANY ($1::uuid[])
"""  # noqa: S608 - our own columns


_ORDERS = f"""
UNION ALL
SELECT 4, known.customer_id, known.told, NULL, {_NOTHING}
FROM json_to_recordset($2::text::json -> 'orders') AS wanted (customer_id uuid, order_id text)
CROSS JOIN LATERAL (
  SELECT o.customer_id, {orders.ROW} AS told FROM orders o
  WHERE o.customer_id = wanted.customer_id AND o.order_id = wanted.order_id
  ORDER BY o.source, o.origin_customer_id
  OFFSET 0
) known
WHERE known.customer_id = ANY ($1::uuid[])
"""  # noqa: S608 - our own columns
_TAGS = f"""
UNION ALL
SELECT 5, c.id, array_to_json(c.tags)::text, NULL, {_NOTHING}
FROM customers c WHERE c.id = ANY ($1::uuid[])
"""  # noqa: S608 - our own columns


# Every publication and closing raises a revision, and no programme goes: equal sums are the same rules.
_PROGRAMS = f"""
UNION ALL
SELECT 20, NULL, (SELECT coalesce(sum(p.revision), 0)::text FROM loyalty_programs p), NULL, {_NOTHING}
"""  # noqa: S608 - our own columns


def _told(part: int, sql: str) -> str:
    return f"UNION ALL\nSELECT {part}, told.customer_id, told.told, NULL, {_NOTHING} FROM ({sql}) AS told"


@lru_cache(maxsize=128)
def _loading(
    *,
    threads: bool,
    claimed: bool,
    orders: bool,
    tags: bool,
    programs: bool,
    bought: bool = False,
    caps: bool = False,
) -> str:
    """The statement for what a group asks. A part that looks for nothing would cost as much as one that does."""
    by_id = _by_id(touchpoints.KEYS.of_json("$2::text::json -> 'keys'", "wanted"))
    by_thread = _by_thread(touchpoints.THREADS.of_json("$2::text::json -> 'threads'", "wanted"))
    held = _held(_CLAIMS.of_json("$2::text::json -> 'claimed'", "claimed"))
    parts = (
        (threads, by_thread),
        (claimed, held),
        (orders, _ORDERS),
        (tags, _TAGS),
        (programs, _PROGRAMS),
        *((bought, _told(part, sql)) for part, sql in buyers.parts(caps=caps).items()),
    )
    return "\n".join((_STATES, by_id, *(part for is_asked, part in parts if is_asked)))


@lru_cache(maxsize=8)
def _loading_one(*, thread: bool, claimed: bool, programs: bool) -> str:
    """The same for a touchpoint that comes alone, as most do while little goes on: its caller waits for every
    microsecond.
    """
    tied = touchpoints.THREADS.of_arguments(5, "wanted") if thread else None
    alone = _alone(_CUSTOMERS, touchpoints.KEYS.of_arguments(2, "wanted"), tied, programs=programs)
    if not claimed:
        return alone
    free = 5 + len(touchpoints.THREADS.columns) * thread
    return f"{alone}\n{_held(_CLAIMS.of_arguments(free, 'claimed'))}"


MOST_NAMES = 3
"""The identifiers by which `load_named` finds a customer; for who sends more there is one more look-up."""


@lru_cache(maxsize=MOST_NAMES * 4)
def _loading_named(names: int, *, thread: bool, programs: bool) -> str:
    """The same for a customer who is named by so many identifiers: $1 and $2 are the first one's type and key."""
    claims = " OR ".join(f"(c.type = ${one} AND c.value_key = ${one + 1})" for one in range(1, 2 * names, 2))
    if names == 1:
        holder = f"SELECT c.customer_id FROM identifier_claims c WHERE {claims}"  # noqa: S608 - numbers
    else:
        # Whoever holds one of them alone is not who is meant.
        same = f"HAVING count(*) = {names} AND count(DISTINCT c.customer_id) = 1"
        holder = f"SELECT (array_agg(c.customer_id))[1] AS customer_id FROM identifier_claims c WHERE {claims} {same}"  # noqa: S608 - numbers
    free = 2 * names + 1
    key = f"(SELECT customer_id, ${free}::text AS source, ${free + 1}::text AS id FROM named) AS wanted"  # noqa: S608 - numbers
    tied = f"(SELECT customer_id, ${free + 2}::text AS thread FROM named) AS wanted" if thread else None  # noqa: S608 - numbers
    alone = _alone("ARRAY (SELECT customer_id FROM named)", key, tied, programs=programs)
    return f"WITH named AS MATERIALIZED ({holder})\n{alone}"


def _alone(customers: str, key: str, thread: str | None, *, programs: bool) -> str:
    parts = [_states(customers), _by_id(key, customers)]
    if thread is not None:
        parts.append(_by_thread(thread, customers))
    if programs:
        parts.append(_PROGRAMS)
    return "\n".join(parts)


_HELD_PART, _ORDER_PART, _TAGS_PART, _PROGRAMS_PART = 3, 4, 5, 20


class Loaded(NamedTuple):
    """What a group found: its customers' state rows (missing: no such customer), the log rows that concern it, and
    which of the identifiers it asked for are held by the customer they were asked of: (customer_id, type, value_key);
    the orders it asked for with their customers, and tags by customer; the revision of all programmes; the accounts of
    buyers it asked for (None: it asked for none).
    """

    states: Mapping[UUID, StateRow]
    known: Sequence[KnownRow]
    held: frozenset[tuple[UUID, str, str]]
    orders: Sequence[tuple[UUID, KnownOrder]] = ()
    tags: Mapping[UUID, Sequence[str]] = MappingProxyType({})
    programs: int | None = None
    accounts: Mapping[tuple[UUID, str], LoadedAccount] | None = None


class AskedByName(NamedTuple):
    """What a touchpoint that comes alone asks before anybody knows whose it is: the (type, value_key) of its
    identifiers, its own source, id and thread, and whether the revision of the programmes is asked for.
    """

    names: Sequence[tuple[str, str]]
    source: str
    id: str
    thread: str | None
    programs: bool


async def load(connection: asyncpg.Connection, wanted: Wanted, bought: Buyers | None = None) -> Loaded:
    """What is known of the customers of a group and of what it brings, in one snapshot, with the accounts of buyers."""
    return _loaded(await connection.fetch(*_question(wanted, bought)), bought)


async def load_named(connection: asyncpg.Connection, asked: AskedByName) -> tuple[UUID, Loaded] | None:
    """The customer who holds these identifiers, at most MOST_NAMES, and what `load` would tell of them; None when not
    one customer holds them all.

    One statement and not a look-up before it: who comes alone waits for every round trip.
    """
    statement = _loading_named(len(asked.names), thread=asked.thread is not None, programs=asked.programs)
    thread = () if asked.thread is None else (asked.thread,)
    rows = await connection.fetch(statement, *chain(*asked.names), asked.source, asked.id, *thread)
    loaded = _loaded(rows, None)
    return None if not loaded.states else (next(iter(loaded.states)), loaded)


def _loaded(rows: Sequence[asyncpg.Record], bought: Buyers | None) -> Loaded:
    found: dict[UUID, StateRow] = {}
    known: list[KnownRow] = []
    held: list[tuple[UUID, str, str]] = []
    known_orders: list[tuple[UUID, KnownOrder]] = []
    tags: dict[UUID, Sequence[str]] = {}
    programs: int | None = None
    told = buyers.Told()
    for row in rows:
        part = row[0]
        if part == 0:
            found[row[1]] = states.state_row(row)
        elif part == _HELD_PART:
            held.append((row[1], row[2], row[3]))
        elif part == _ORDER_PART:
            known_orders.append((row[1], orders.order_of(row[2])))
        elif part == _TAGS_PART:
            tags[row[1]] = from_json(row[2])
        elif part == _PROGRAMS_PART:
            programs = int(row[2])
        elif part >= buyers.ACCOUNT:
            told.take(part, row[1], row[2])
        else:
            known.append(touchpoints.known_row(row))
    bought_by = None if bought is None else buyers.accounts_of(bought, told, found)
    return Loaded(found, known, frozenset(held), known_orders, tags, programs, bought_by)


def _question(wanted: Wanted, bought: Buyers | None) -> Sequence[Any]:
    """The loading statement for what is wanted, and its arguments."""
    is_one = len(wanted.keys) == 1 and len(wanted.threads) <= 1 and len(wanted.claimed) <= 1
    if is_one and bought is None and not (wanted.orders or wanted.tags):
        (key,) = wanted.keys
        statement = _loading_one(
            thread=bool(wanted.threads), claimed=bool(wanted.claimed), programs=wanted.programs
        )
        return statement, key[:1], *key, *chain(*wanted.threads, *wanted.claimed)
    statement = _loading(
        threads=bool(wanted.threads),
        claimed=bool(wanted.claimed),
        orders=bool(wanted.orders),
        tags=wanted.tags,
        programs=wanted.programs,
        bought=bought is not None,
        caps=bought is not None and bool(bought.caps),
    )
    asked = () if bought is None else (to_json(bought._asdict()).decode(),)
    return statement, wanted.customer_ids(), wanted.as_json(), *asked
