"""What the write path writes: what became of a group, in one statement. What it read before: loading.py.

A round trip costs as much as the work of a dozen rows, so a group that meets no other writer takes two statements and
no transaction around them: `load` reads one snapshot, `write_unchanged` locks the customers' rows and writes everything
if none of them was rewritten since, else nothing (docs/adr/0011-look-then-write-unchanged.md). A group that does meet
another writer takes `lock`, `load` and `write` in one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from uuid import UUID

import asyncpg

from app.storage import states, touchpoints
from app.storage.loyalty import saving
from app.storage.states import SavedState
from app.storage.touchpoints import NewRow, Wanted

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
    writes, counts = saving.writing(parts, customers=3, first=4, guarded=not at_once)
    taken = " + ".join(
        f"(SELECT count(*) FROM {part})"  # noqa: S608 - this package's constants
        for part in ("logged", "saved", *map("{}_".format, parts))
    )
    if at_once:
        return f"WITH {log}, {', '.join(writes)} SELECT 1 / (({taken}) = ${4 + len(parts)}::bigint)::integer"
    return f"WITH {log}, {', '.join(writes)} SELECT {', '.join((_COUNTS, *counts))}"


_NO_VERSIONS: Mapping[UUID, str] = MappingProxyType({})


class LostRace(Exception):
    """What was read does not stand any more, or something stood there that a locked read had not shown."""


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
