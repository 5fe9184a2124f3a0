"""The write path's two statements: lock what a group needs and load it, write what became of it.

A round trip costs as much as the work of a dozen rows, so each of the two is one statement (docs/performance.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from app.domain.touchpoints import Touchpoint
from app.storage import states, touchpoints
from app.storage.states import LockedState, SavedState
from app.storage.touchpoints import KnownRow, Wanted

# The look-ups see what was committed when the statement began, which may be before a row that had to be waited for was
# changed. Its new version has another xmin than the one that the statement's own snapshot shows: `overtaken`.
_LOCK_AND_LOAD = f"""
WITH locked AS MATERIALIZED (
  SELECT customer_id, state, identity_revision, merged_into, erased_at, band, score, scored_at, scored_by, band_until,
    xmin::text AS version
  FROM customer_states
  WHERE customer_id = ANY ($6::uuid[])
  ORDER BY customer_id
  FOR UPDATE
)
SELECT l.customer_id, NULL::boolean AS by_id, NULL AS source, NULL AS id, NULL AS kind,
  NULL::timestamptz AS occurred_at, NULL::bigint AS value_minor, NULL AS thread, NULL AS own_component,
  NULL::integer AS own_weight, NULL AS properties, NULL::timestamptz AS received_at, NULL::bytea AS body_sha256,
  NULL AS outcome,
  l.state, l.identity_revision, l.merged_into, l.erased_at, l.band, l.score, l.scored_at, l.scored_by, l.band_until,
  l.version IS DISTINCT FROM (
    SELECT s.xmin::text FROM customer_states s WHERE s.customer_id = l.customer_id
  ) AS overtaken
FROM locked l
UNION ALL
SELECT known.*, NULL::bytea, NULL::integer, NULL::uuid, NULL::timestamptz, NULL, NULL::float8, NULL::timestamptz,
  NULL, NULL::timestamptz, NULL::boolean
FROM ({touchpoints.KNOWN}) AS known
"""  # noqa: S608 - only this package's constants go in

# Both parts run to their end whatever the outer query reads.
_WRITE = f"""
WITH logged AS ({touchpoints.INSERT} RETURNING true),
saved AS ({states.save_from(20)} RETURNING true)
SELECT (SELECT count(*) FROM logged) AS logged, (SELECT count(*) FROM saved) AS saved
"""  # noqa: S608 - only this package's constants go in


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a group found: the locked rows of its customers (missing: no such customer) and the log rows it concerns."""

    locked: dict[UUID, LockedState]
    known: list[KnownRow]


async def lock_and_load(connection: asyncpg.Connection, wanted: Wanted) -> Loaded:
    """Lock the customers of a group until the transaction ends, and load what their log knows of it.

    Rows are locked in customer order: two writers that share customers wait for each other, and never in a circle.
    """
    rows = await connection.fetch(_LOCK_AND_LOAD, *wanted.arguments(), wanted.customer_ids())
    locked = [row for row in rows if row["by_id"] is None]
    if any(row["overtaken"] for row in locked):
        known = await touchpoints.load_known(connection, wanted)
    else:
        known = [touchpoints.known_row(row) for row in rows if row["by_id"] is not None]
    return Loaded({row["customer_id"]: states.locked_state(row) for row in locked}, known)


async def write(
    connection: asyncpg.Connection,
    rows: Sequence[tuple[UUID, Touchpoint, str]],
    saved: Sequence[SavedState],
) -> bool:
    """Add (customer_id, touchpoint, outcome) to the log and save the states of the locked customers.

    False when a row or a state was not taken: somebody wrote without the lock, and the transaction must not commit.
    """
    counts = await connection.fetchrow(_WRITE, *touchpoints.columns(rows), *states.columns(saved))
    return (counts["logged"], counts["saved"]) == (len(rows), len(saved))
