"""The audit log: rows that are added and read, and never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from app.storage.customers import LAST_ID


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody did. `before` and `after` are JSON texts, None where there was or is nothing."""

    id: UUID
    at: datetime
    actor: str
    action: str
    target: str
    before: str | None
    after: str | None


async def add(connection: asyncpg.Connection, deed: Deed) -> None:
    """Write one row, in the transaction of what it tells of."""
    await connection.execute(
        """
        INSERT INTO audit_log (id, at, actor, action, target, before, after)
        VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7::text::jsonb)
        """,
        deed.id,
        deed.at,
        deed.actor,
        deed.action,
        deed.target,
        deed.before,
        deed.after,
    )


async def newest(
    connection: asyncpg.Connection,
    limit: int,
    before: UUID = LAST_ID,
    *,
    actor: str | None = None,
    target: str | None = None,
    action: str | None = None,
) -> list[Deed]:
    """Up to `limit` rows older than `before`, the newest first. Actor and target are found by their indexes."""
    conditions, values = ["id < $1"], list[Any]([before, limit])
    for column, value in (("actor", actor), ("target", target), ("action", action)):
        if value is not None:
            values.append(value)
            conditions.append(f"{column} = ${len(values)}")
    rows = await connection.fetch(
        f"""
        SELECT id, at, actor, action, target, before::text, after::text
        FROM audit_log
        WHERE {" AND ".join(conditions)}
        ORDER BY id DESC
        LIMIT $2
        """,  # noqa: S608 - column names of this function; values are parameters
        *values,
    )
    return [Deed(*row) for row in rows]
