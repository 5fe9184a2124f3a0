"""What `rapport verify` reads of complaints; each page is one snapshot."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.feedback.complaint_records import Complaint, Step
from app.domain.silence import SOURCE
from app.storage.complaint_log import LINE_COLUMNS, line_of
from app.storage.complaints import COLUMNS, complaint_of
from app.storage.touchpoints import standing


class Row(NamedTuple):
    """A complaint, when its row says that something is due, and whether its customer still stands for itself."""

    complaint: Complaint
    next_due_at: datetime | None
    stands: bool


async def complaints_after(connection: asyncpg.Connection, after: tuple[UUID, UUID], limit: int) -> list[Row]:
    """The next complaints in the order of their keys."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS}, k.next_due_at, s.merged_into IS NULL AND s.erased_at IS NULL AS stands
        FROM complaints k
        JOIN customer_states s ON s.customer_id = k.customer_id
        WHERE (k.customer_id, k.id) > ($1, $2)
        ORDER BY k.customer_id, k.id
        LIMIT $3
        """,  # noqa: S608 - our own columns
        *after,
        limit,
    )
    return [Row(complaint_of(row), row["next_due_at"], row["stands"]) for row in rows]


async def lines_of(
    connection: asyncpg.Connection, complaints: Sequence[Complaint]
) -> dict[UUID, list[tuple[int, Step]]]:
    """The logs of these complaints by their own ids, each in order."""
    rows = await connection.fetch(
        f"""
        SELECT complaint_id, {LINE_COLUMNS}
        FROM complaint_log
        WHERE customer_id = ANY ($1::uuid[]) AND complaint_id = ANY ($2::uuid[])
        ORDER BY customer_id, complaint_id, seq
        """,  # noqa: S608 - our own columns
        [one.customer_id for one in complaints],
        [one.id for one in complaints],
    )
    found: dict[UUID, list[tuple[int, Step]]] = defaultdict(list)
    for row in rows:
        line = line_of(row)
        found[row["complaint_id"]].append((line.seq, line.step))
    return found


async def written_by(
    connection: asyncpg.Connection, complaints: Sequence[Complaint]
) -> dict[str, dict[str, bool]]:
    """What these complaints have in their customers' logs, by public id: touchpoint ids, and whether voided."""
    rows = await connection.fetch(
        f"""
        SELECT t.id, t.purged_at IS NULL AND NOT {standing("t")} AS voided
        FROM touchpoints t
        WHERE t.customer_id = ANY ($1::uuid[]) AND t.source = $2 AND starts_with(t.id, 'complaint:')
        """,  # noqa: S608 - a condition of this package
        list({one.customer_id for one in complaints}),
        SOURCE,
    )
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for row in rows:
        found[row["id"].split(":")[1]][row["id"]] = row["voided"]
    return found


async def holders(
    connection: asyncpg.Connection, complaints: Sequence[Complaint]
) -> dict[str, tuple[UUID, UUID]]:
    """(customer, own id) by each of the references of these complaints that is claimed."""
    rows = await connection.fetch(
        "SELECT reference, customer_id, complaint_id FROM complaint_references WHERE reference = ANY ($1::text[])",
        [one.reference for one in complaints],
    )
    return {row[0]: (row[1], row[2]) for row in rows}
