"""The words of answers and complaints that are old: blanked a bounded number of rows at a time.

Numbers, states, times, natural keys and the hashes of bodies stay, so figures, scores, `verify` and a retry of an old
id come out as ever.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg


class Words(NamedTuple):
    """Where words are. SQL of `old` and `cleared` is about the row `x`; $2 is until when it goes."""

    table: str
    key: tuple[str, ...]
    old: str
    cleared: str


# A complaint's words go with the complaint: while it is worked on, and for so long after, all of them are needed.
_OF_OLD_COMPLAINT: Final = """EXISTS (
  SELECT FROM complaints c
  WHERE c.customer_id = x.customer_id AND c.id = x.complaint_id
    AND c.state IN ('closed', 'merged', 'withdrawn') AND c.updated_at < $2
)"""

WORDS: Final = (
    Words(
        "touchpoints",
        ("source", "id", "origin_customer_id"),
        "x.received_at < $2 AND x.occurred_at < $2 AND x.purged_at IS NULL AND x.properties ? 'text'",
        "properties = x.properties - 'text'",
    ),
    Words(
        "feedback",
        ("id",),
        "x.updated_at < $2 AND x.text IS NOT NULL",
        # Which words decided is not told any more; what they came to is.
        "text = NULL, sentiment = x.sentiment || '{\"evidence\": []}'",
    ),
    Words(
        "feedback_revisions",
        ("id",),
        "x.written_at < $2 AND x.text IS NOT NULL",
        "text = NULL, sentiment = x.sentiment || '{\"evidence\": []}'",
    ),
    Words("follow_ups", ("id",), "x.closed_at < $2 AND x.note IS NOT NULL", "note = NULL"),
    # Before the complaint itself, whose age decides.
    Words(
        "complaint_log", ("complaint_id", "id"), f"x.text IS NOT NULL AND {_OF_OLD_COMPLAINT}", "text = NULL"
    ),
    Words(
        "compensations", ("complaint_id", "id"), f"x.note IS NOT NULL AND {_OF_OLD_COMPLAINT}", "note = NULL"
    ),
    Words(
        "complaints",
        ("id",),
        "x.state IN ('closed', 'merged', 'withdrawn') AND x.updated_at < $2"
        " AND (x.subject <> '' OR x.text IS NOT NULL)",
        "subject = '', text = NULL",
    ),
)


async def with_old_words(
    connection: asyncpg.Connection, customer_ids: Sequence[UUID], until: datetime
) -> list[UUID]:
    """Those of these customers of whom words are left from before `until`, in order."""
    found: set[UUID] = set()
    for one in WORDS:
        rows = await connection.fetch(
            f"SELECT DISTINCT x.customer_id FROM {one.table} x WHERE x.customer_id = ANY ($1::uuid[]) AND {one.old}",  # noqa: S608 - our own words
            customer_ids,
            until,
        )
        found.update(row[0] for row in rows)
    return sorted(found)


async def blank(connection: asyncpg.Connection, customer_id: UUID, until: datetime, most: int) -> int:
    """Blank up to `most` rows of each table; how many. The customer is locked, append-only tables may be changed."""
    count = 0
    for one in WORDS:
        key = ", ".join(f"x.{name}" for name in one.key)
        status = await connection.execute(
            f"""
            UPDATE {one.table} x SET {one.cleared}
            WHERE x.customer_id = $1 AND {one.old} AND ({key}) IN (
              SELECT {key} FROM {one.table} x WHERE x.customer_id = $1 AND {one.old} LIMIT $3
            )
            """,  # noqa: S608 - our own words
            customer_id,
            until,
            most,
        )
        count += int(status.rpartition(" ")[2])
    return count
