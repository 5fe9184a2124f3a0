"""Which customers were merged, by whom and why, and what an undo needs."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.domain.merging import public_id
from app.storage.customers import LAST_ID

_COLUMNS: Final = (
    "customer_id, id, from_customer_id, origins, reason, merged_by, merged_at, kept::text AS kept,"
    " moved::text AS moved, undone_by, undone_at"
)


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge of `from_customer_id`, with `origins` all who were one of theirs, into `customer_id`.

    `kept` is what `merging.move` could not tell from the rows themselves; `moved` counts rows by table.
    """

    customer_id: UUID
    id: UUID
    from_customer_id: UUID
    origins: tuple[UUID, ...]
    reason: str
    merged_by: str
    merged_at: datetime
    kept: dict[str, Any]
    moved: dict[str, int]
    undone_by: str | None = None
    undone_at: datetime | None = None

    @property
    def public_id(self) -> str:
        """The id on the wire."""
        return public_id(self.customer_id, self.id)


async def add(connection: asyncpg.Connection, merge: Merge) -> None:
    """Write down a merge of locked customers."""
    await connection.execute(
        """
        INSERT INTO merges (
          customer_id, id, from_customer_id, origins, reason, merged_by, merged_at, kept, moved, undone
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9::text::jsonb, false)
        """,
        merge.customer_id,
        merge.id,
        merge.from_customer_id,
        list(merge.origins),
        merge.reason,
        merge.merged_by,
        merge.merged_at,
        json.dumps(merge.kept, ensure_ascii=False),
        json.dumps(merge.moved),
    )


async def mark_undone(connection: asyncpg.Connection, merge: Merge, by: str, now: datetime) -> None:
    """Write down that it was taken back; what it kept is where it belongs by now."""
    await connection.execute(
        """
        UPDATE merges SET undone = true, undone_by = $3, undone_at = $4, kept = '{}'
        WHERE customer_id = $1 AND id = $2
        """,
        merge.customer_id,
        merge.id,
        by,
        now,
    )


async def find(connection: asyncpg.Connection, customer_id: UUID, own_id: UUID) -> Merge | None:
    """One merge, standing or undone."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM merges WHERE customer_id = $1 AND id = $2",  # noqa: S608 - columns
        customer_id,
        own_id,
    )
    return None if row is None else _merge(row)


async def standing(
    connection: asyncpg.Connection, customer_ids: Collection[UUID], from_customer_id: UUID
) -> Merge | None:
    """The merge by which this customer became one of these."""
    row = await connection.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM merges
        WHERE customer_id = ANY ($1::uuid[]) AND from_customer_id = $2 AND undone IS false
        """,  # noqa: S608 - columns
        list(customer_ids),
        from_customer_id,
    )
    return None if row is None else _merge(row)


async def aliases(connection: asyncpg.Connection, customer_id: UUID) -> list[UUID]:
    """Everybody who was merged into this customer, directly or before, in order."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT origin
        FROM merges CROSS JOIN LATERAL unnest(origins) AS origin
        WHERE customer_id = $1 AND undone IS false
        ORDER BY origin
        """,
        customer_id,
    )
    return [row[0] for row in rows]


async def newest(
    connection: asyncpg.Connection, customer_id: UUID, limit: int, before: UUID = LAST_ID
) -> list[Merge]:
    """The merges that this customer, or an alias of theirs before it became one, survived; newest first, older than
    `before`, undone ones included.
    """
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM merges
        WHERE customer_id = ANY ($1::uuid || ARRAY(
          SELECT unnest(m.origins) FROM merges m WHERE m.customer_id = $1 AND m.undone IS false
        )) AND id < $2
        ORDER BY id DESC
        LIMIT $3
        """,  # noqa: S608 - columns
        customer_id,
        before,
        limit,
    )
    return [_merge(row) for row in rows]


def _merge(row: asyncpg.Record) -> Merge:
    return Merge(
        customer_id=row["customer_id"],
        id=row["id"],
        from_customer_id=row["from_customer_id"],
        origins=tuple(row["origins"]),
        reason=row["reason"],
        merged_by=row["merged_by"],
        merged_at=row["merged_at"],
        kept=json.loads(row["kept"]),
        moved=json.loads(row["moved"]),
        undone_by=row["undone_by"],
        undone_at=row["undone_at"],
    )
