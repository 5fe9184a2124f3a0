"""The shop's own kinds of touchpoint, as they are for what arrives from now on."""

from datetime import datetime

import asyncpg

from app.domain.kinds import MOST_OWN_KINDS, Kind, OwnKinds


async def all_kinds(connection: asyncpg.Connection) -> OwnKinds:
    """All of them by name, in the order of their names."""
    rows = await connection.fetch(
        "SELECT kind, component, weight, label FROM touchpoint_kinds ORDER BY kind LIMIT $1", MOST_OWN_KINDS
    )
    return {row[0]: Kind(row[0], row[1], row[3], own=(row[1], row[2])) for row in rows}


async def lock_all(connection: asyncpg.Connection) -> OwnKinds:
    """The same, and nobody else changes one until the transaction ends."""
    await connection.execute("SELECT FROM touchpoint_kinds ORDER BY kind FOR UPDATE")
    return await all_kinds(connection)


async def insert(connection: asyncpg.Connection, kind: Kind, now: datetime) -> bool:
    """Add a kind; False when there is one of this name."""
    status = await connection.execute(
        """
        INSERT INTO touchpoint_kinds (kind, component, weight, label, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $5)
        ON CONFLICT DO NOTHING
        """,
        kind.name,
        *_own(kind),
        kind.label,
        now,
    )
    return bool(status == "INSERT 0 1")


async def update(connection: asyncpg.Connection, kind: Kind, now: datetime) -> None:
    """Change a locked kind."""
    await connection.execute(
        "UPDATE touchpoint_kinds SET component = $2, weight = $3, label = $4, updated_at = $5 WHERE kind = $1",
        kind.name,
        *_own(kind),
        kind.label,
        now,
    )


def _own(kind: Kind) -> tuple[str, int]:
    if kind.own is None:
        raise AssertionError("a built-in kind is in no table")
    return kind.own
