"""The write path's statements: load what a group needs, write what became of it.

A round trip costs as much as the work of a dozen rows, so a group that meets no other writer takes two statements and
no transaction around them: `load` reads one snapshot, `write_unchanged` locks the customers' rows and writes everything
if none of them was rewritten since, else nothing (docs/adr/0011-look-then-write-unchanged.md). A group that does meet
another writer takes `lock`, `load` and `write` in one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import from_json, to_json

from app.domain.loyalty.known_orders import KnownOrder
from app.storage import states, touchpoints
from app.storage.loyalty import buyers, orders, saving
from app.storage.loyalty.accounts import Loaded as LoadedAccount
from app.storage.loyalty.buyers import Buyers
from app.storage.row_shape import RowShape
from app.storage.states import SavedState, StateRow
from app.storage.touchpoints import KnownRow, NewRow, Wanted

# The parts are told apart by their first column: a state row, a row of the log found by its id, one found by its
# thread, an identifier that the customer holds, an order, the tags of a customer, the revision of all programmes.
_STATES = """
SELECT 0 AS part, s.customer_id, NULL AS source, NULL AS id, NULL AS kind,
  NULL::timestamptz AS occurred_at, NULL::bigint AS value_minor, NULL AS thread,
  NULL AS own_component, NULL::integer AS own_weight, NULL AS properties,
  NULL::timestamptz AS received_at, NULL::bytea AS body_sha256, NULL AS outcome, NULL AS loyalty,
  s.state, s.identity_revision, s.merged_into, s.erased_at, s.band, s.score, s.scored_at, s.scored_by, s.band_until,
  s.xmin::text AS version
FROM customer_states s
WHERE s.customer_id = ANY ($1::uuid[])
"""
_ROWS = "UNION ALL SELECT row.*, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM "
_NOTHING = ", ".join(["NULL"] * 21)


def _by_id(asked: str) -> str:
    return f"{_ROWS}({touchpoints.by_id(asked)}) AS row"


def _by_thread(asked: str) -> str:
    return f"{_ROWS}({touchpoints.by_thread(asked)}) AS row"


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
    parts, free = [_STATES, _by_id(touchpoints.KEYS.of_arguments(2, "wanted"))], 5
    if thread:
        parts.append(_by_thread(touchpoints.THREADS.of_arguments(free, "wanted")))
        free += len(touchpoints.THREADS.columns)
    if claimed:
        parts.append(_held(_CLAIMS.of_arguments(free, "claimed")))
    if programs:
        parts.append(_PROGRAMS)
    return "\n".join(parts)


# Every part of a writing statement runs to its end whatever the outer query reads.
_NEW_ROWS = touchpoints.ROWS.of_json("$1::text::json", "new")
_SAVE = states.save_from(states.STATES.of_json("$2::text::json", "new"), "$3::uuid[]")
_WRITE = f"""
logged AS ({touchpoints.insert(_NEW_ROWS)} RETURNING true),
saved AS ({_SAVE} RETURNING true)
"""

# Every writer of a customer's log rewrites the state row, so a row whose version (xmin) is the one that was read stands
# for everything that was read of the log. Locked in customer order, like everywhere; a wait ends with the newest
# version in hand. No ON CONFLICT: a row that stands in the way although nothing changed must undo the whole statement.
_WRITE_UNCHANGED = f"""
locked AS MATERIALIZED (
  SELECT customer_id, xmin::text AS version
  FROM customer_states
  WHERE customer_id = ANY ($3::uuid[])
  ORDER BY customer_id
  FOR UPDATE
), unchanged AS MATERIALIZED (
  SELECT count(*) = cardinality($3::uuid[]) AS yes
  FROM locked JOIN json_to_recordset($2::text::json) AS seen (customer_id uuid, version text)
    USING (customer_id, version)
), logged AS ({touchpoints.insert(_NEW_ROWS, "(SELECT yes FROM unchanged)")} RETURNING true
), saved AS ({_SAVE} AND (SELECT yes FROM unchanged) RETURNING true
)
"""  # noqa: S608 - only this package's constants go in

# The same for a single customer, where nobody can wait in a circle: the UPDATE locks and compares by itself.
_WRITE_UNCHANGED_ONE = f"""
saved AS ({_SAVE} AND s.xmin::text = new.version RETURNING true
), logged AS ({touchpoints.insert(_NEW_ROWS, "EXISTS (SELECT FROM saved)")} RETURNING true
)
"""

# And for a single row of theirs.
_FIRST_OF_ROW = 2 + len(states.STATES.columns)
_WRITE_UNCHANGED_ROW = f"""
saved AS (
  {states.save_from(states.STATES.of_arguments(2, "new"), "$1::uuid[]")} AND s.xmin::text = new.version
  RETURNING true
), logged AS (
  {touchpoints.insert(touchpoints.ROWS.of_arguments(_FIRST_OF_ROW, "new"), "EXISTS (SELECT FROM saved)")}
  RETURNING true
)
"""

_COUNTS = "(SELECT count(*) FROM logged) AS logged, (SELECT count(*) FROM saved) AS saved"


@lru_cache(maxsize=256)
def _writing(log: str, parts: tuple[str, ...], *, at_once: bool) -> str:
    """A writing statement with the parts of loyalty that there are: their rows are $4 and on.

    `at_once`: outside a transaction, where nothing may stand when anything does not fit. The parts of the log see to
    that by themselves. Writers of accounts lock the state row and need not rewrite it, so accounts and orders have
    numbers of their own to compare: if the rows taken are not as many as the last argument says, a division by zero
    undoes it all.
    """
    if not parts:
        return f"WITH {log} SELECT {_COUNTS}"
    writes, counts = saving.writing(parts, customers=3, first=4)
    taken = " + ".join(
        f"(SELECT count(*) FROM {part})"  # noqa: S608 - this package's constants
        for part in ("logged", "saved", *map("{}_".format, parts))
    )
    if at_once:
        return f"WITH {log}, {', '.join(writes)} SELECT 1 / (({taken}) = ${4 + len(parts)}::bigint)::integer"
    return f"WITH {log}, {', '.join(writes)} SELECT {', '.join((_COUNTS, *counts))}"


_HELD_PART, _ORDER_PART, _TAGS_PART, _PROGRAMS_PART = 3, 4, 5, 20

_NO_VERSIONS: Mapping[UUID, str] = MappingProxyType({})


class LostRace(Exception):
    """What was read does not stand any more, or something stood there that a locked read had not shown."""


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


@dataclass(frozen=True, slots=True)
class Written:
    """What a group writes: each new row, the states that come of them, and what becomes of points (`changed_parts` of
    storage.loyalty.saving, with the orders).
    """

    rows: Sequence[NewRow]
    states: Sequence[SavedState]
    points: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)

    def arguments(self, versions: Mapping[UUID, str] = _NO_VERSIONS) -> tuple[object, ...]:
        """The arguments of each writing statement but for the number of rows."""
        customer_ids = [saved.customer_id for saved in self.states]
        log = (touchpoints.rows_json(self.rows), states.states_json(self.states, versions), customer_ids)
        return (*log, *saving.sent(self.points))

    def arguments_of_one(self, versions: Mapping[UUID, str]) -> tuple[object, ...]:
        """The arguments of the statement for a single row and its customer's state."""
        (row,), (saved,) = self.rows, self.states
        state = states.STATES.arguments(states.row_of(saved, versions[saved.customer_id]))
        return ((saved.customer_id,), *state, *touchpoints.ROWS.arguments(touchpoints.row_of(*row)))

    def sizes(self) -> dict[str, int]:
        """How many rows of each part there are to take."""
        sizes = {"logged": len(self.rows), "saved": len(self.states)}
        return sizes | saving.sizes(self.points)

    def is_whole(self, counts: Mapping[str, int]) -> bool:
        """Whether every row of every part was taken."""
        return all(counts[part] == size for part, size in self.sizes().items())


async def lock(connection: asyncpg.Connection, wanted: Wanted) -> None:
    """Lock the customers of a group until the transaction ends, in customer order: nobody waits in a circle."""
    await states.lock(connection, wanted.customer_ids())


async def load(connection: asyncpg.Connection, wanted: Wanted, bought: Buyers | None = None) -> Loaded:
    """What is known of the customers of a group and of what it brings, in one snapshot, with the accounts of buyers."""
    found: dict[UUID, StateRow] = {}
    known: list[KnownRow] = []
    held: list[tuple[UUID, str, str]] = []
    known_orders: list[tuple[UUID, KnownOrder]] = []
    tags: dict[UUID, Sequence[str]] = {}
    programs: int | None = None
    told = buyers.Told()
    for row in await connection.fetch(*_question(wanted, bought)):
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


async def write(connection: asyncpg.Connection, written: Written) -> bool:
    """Write what became of locked customers.

    False when a row or a state was not taken: somebody wrote without the lock, and the transaction must not commit.
    """
    statement = _writing(_WRITE, tuple(written.points), at_once=False)
    return written.is_whole(await connection.fetchrow(statement, *written.arguments()))


async def write_unchanged(connection: asyncpg.Connection, written: Written, seen: Mapping[UUID, str]) -> bool:
    """Write what became of customers whose state rows still have the version in `seen`, outside any transaction.

    False when one of them changed meanwhile, or an account or an order did: then nothing is written.
    """
    if len(written.rows) == 1 and not written.points:
        statement = _writing(_WRITE_UNCHANGED_ROW, (), at_once=True)
        arguments = written.arguments_of_one(seen)
    else:
        log = _WRITE_UNCHANGED if len(written.states) > 1 else _WRITE_UNCHANGED_ONE
        statement = _writing(log, tuple(written.points), at_once=True)
        expected = (sum(written.sizes().values()),) if written.points else ()
        arguments = (*written.arguments(seen), *expected)
    try:
        counts = await connection.fetchrow(statement, *arguments)
    except (asyncpg.UniqueViolationError, asyncpg.DivisionByZeroError):
        return False
    return bool(written.points) or written.is_whole(counts)
