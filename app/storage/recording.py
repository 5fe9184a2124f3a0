"""The write path's statements: load what a group needs, write what became of it.

A round trip costs as much as the work of a dozen rows, so a group that meets no other writer takes two statements and
no transaction around them: `load` reads one snapshot, `write_unchanged` locks the customers' rows and writes everything
if none of them was rewritten since, else nothing (docs/adr/0011-look-then-write-unchanged.md). A group that does meet
another writer takes `lock`, `load` and `write` in one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.touchpoints import Touchpoint
from app.storage import states, touchpoints
from app.storage.states import SavedState, StateRow
from app.storage.touchpoints import KnownRow, Wanted

# The parts are told apart by their first column: a state row, a row of the log found by its id, one found by its
# thread, an identifier that the customer holds.
_STATES = """
SELECT 0 AS part, s.customer_id, NULL AS source, NULL AS id, NULL AS kind,
  NULL::timestamptz AS occurred_at, NULL::bigint AS value_minor, NULL AS thread,
  NULL AS own_component, NULL::integer AS own_weight, NULL AS properties,
  NULL::timestamptz AS received_at, NULL::bytea AS body_sha256, NULL AS outcome,
  s.state, s.identity_revision, s.merged_into, s.erased_at, s.band, s.score, s.scored_at, s.scored_by, s.band_until,
  s.xmin::text AS version
FROM customer_states s
WHERE s.customer_id = ANY ($1::uuid[])
"""
_ROWS = "UNION ALL SELECT row.*, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM "
_BY_ID = _ROWS + "(" + touchpoints.by_id("$2::text::json -> 'keys'") + ") AS row"
_BY_THREAD = _ROWS + "(" + touchpoints.by_thread("$2::text::json -> 'threads'") + ") AS row"
_HELD = """
UNION ALL
SELECT 3, held.customer_id, held.type, held.value_key, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM json_to_recordset($2::text::json -> 'claimed') AS claimed (customer_id uuid, type text, value_key text)
CROSS JOIN LATERAL (
  SELECT * FROM customer_identifiers i
  WHERE i.customer_id = claimed.customer_id AND i.type = claimed.type AND i.value_key = claimed.value_key
  OFFSET 0
) held
WHERE held.customer_id = ANY ($1::uuid[])
"""

# What a group asks for: threads, identifiers. A part that looks for nothing would cost as much as one that does.
_LOADING = {
    (threads, claimed): "\n".join((_STATES, _BY_ID, _BY_THREAD if threads else "", _HELD if claimed else ""))
    for threads in (False, True)
    for claimed in (False, True)
}

# Both parts of a writing statement run to their end whatever the outer query reads.
_WRITE = f"""
WITH logged AS ({touchpoints.insert()} RETURNING true),
saved AS ({states.save_from(2)} RETURNING true)
SELECT (SELECT count(*) FROM logged) AS logged, (SELECT count(*) FROM saved) AS saved
"""  # noqa: S608 - only this package's constants go in

# Every writer of a customer's log rewrites the state row, so a row whose version (xmin) is the one that was read stands
# for everything that was read. Locked in customer order, like everywhere; a wait ends with the newest version in hand.
# No ON CONFLICT: a row that stands in the way although nothing changed must undo the whole statement.
_WRITE_UNCHANGED = f"""
WITH locked AS MATERIALIZED (
  SELECT customer_id, xmin::text AS version
  FROM customer_states
  WHERE customer_id = ANY ($3::uuid[])
  ORDER BY customer_id
  FOR UPDATE
), unchanged AS MATERIALIZED (
  SELECT count(*) = cardinality($3::uuid[]) AS yes
  FROM locked JOIN json_to_recordset($2::text::json) AS seen (customer_id uuid, version text)
    USING (customer_id, version)
), logged AS ({touchpoints.insert("(SELECT yes FROM unchanged)")} RETURNING true
), saved AS ({states.save_from(2)} AND (SELECT yes FROM unchanged) RETURNING true
)
SELECT (SELECT count(*) FROM logged) AS logged, (SELECT count(*) FROM saved) AS saved
"""  # noqa: S608 - only this package's constants go in

# The same for a single customer, where nobody can wait in a circle: the UPDATE locks and compares by itself.
_WRITE_UNCHANGED_ONE = f"""
WITH saved AS ({states.save_from(2)} AND s.xmin::text = new.version RETURNING true
), logged AS ({touchpoints.insert("EXISTS (SELECT FROM saved)")} RETURNING true
)
SELECT (SELECT count(*) FROM logged) AS logged, (SELECT count(*) FROM saved) AS saved
"""  # noqa: S608 - only this package's constants go in


_NO_VERSIONS: Mapping[UUID, str] = MappingProxyType({})


class Loaded(NamedTuple):
    """What a group found: its customers' state rows (missing: no such customer), the log rows that concern it, and
    which of the identifiers it asked for are held by the customer they were asked of: (customer_id, type, value_key).
    """

    states: Mapping[UUID, StateRow]
    known: Sequence[KnownRow]
    held: frozenset[tuple[UUID, str, str]]


@dataclass(frozen=True, slots=True)
class Written:
    """What a group writes: (customer_id, touchpoint, outcome) of each new row, and the states that come of them."""

    rows: Sequence[tuple[UUID, Touchpoint, str]]
    states: Sequence[SavedState]

    def arguments(self, versions: Mapping[UUID, str] = _NO_VERSIONS) -> tuple[object, ...]:
        """The three arguments of each writing statement."""
        customer_ids = [saved.customer_id for saved in self.states]
        return (
            touchpoints.rows_json(self.rows),
            states.states_json(self.states, versions),
            customer_ids,
        )

    def is_whole(self, counts: Mapping[str, int]) -> bool:
        """Whether every row and every state was taken."""
        return (counts["logged"], counts["saved"]) == (len(self.rows), len(self.states))


async def lock(connection: asyncpg.Connection, wanted: Wanted) -> None:
    """Lock the customers of a group until the transaction ends, in customer order: nobody waits in a circle."""
    await states.lock(connection, wanted.customer_ids())


async def load(connection: asyncpg.Connection, wanted: Wanted) -> Loaded:
    """What is known of the customers of a group and of what it brings, in one snapshot."""
    found: dict[UUID, StateRow] = {}
    known: list[KnownRow] = []
    held: list[tuple[UUID, str, str]] = []
    statement = _LOADING[bool(wanted.threads), bool(wanted.claimed)]
    for row in await connection.fetch(statement, wanted.customer_ids(), wanted.as_json()):
        part = row[0]
        if part == 0:
            found[row[1]] = states.state_row(row)
        elif part == 3:  # noqa: PLR2004 - see _LOAD
            held.append((row[1], row[2], row[3]))
        else:
            known.append(touchpoints.known_row(row))
    return Loaded(found, known, frozenset(held))


async def write(connection: asyncpg.Connection, written: Written) -> bool:
    """Write what became of locked customers.

    False when a row or a state was not taken: somebody wrote without the lock, and the transaction must not commit.
    """
    return written.is_whole(await connection.fetchrow(_WRITE, *written.arguments()))


async def write_unchanged(connection: asyncpg.Connection, written: Written, seen: Mapping[UUID, str]) -> bool:
    """Write what became of customers whose state rows still have the version in `seen`, outside any transaction.

    False when one of them changed meanwhile: then nothing is written.
    """
    statement = _WRITE_UNCHANGED if len(written.states) > 1 else _WRITE_UNCHANGED_ONE
    try:
        counts = await connection.fetchrow(statement, *written.arguments(seen))
    except asyncpg.UniqueViolationError:
        return False
    return written.is_whole(counts)
