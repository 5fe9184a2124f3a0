"""Secrets that the service makes for itself when none are set, so that links survive a restart."""

from datetime import datetime

import asyncpg


async def keep(connection: asyncpg.Connection, name: str, fresh: bytes, now: datetime) -> bytes:
    """The secret of this name: `fresh` when there is none yet. Of several processes that start at once one wins."""
    await connection.execute(
        "INSERT INTO kept_secrets (name, secret, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        name,
        fresh,
        now,
    )
    kept: bytes = await connection.fetchval("SELECT secret FROM kept_secrets WHERE name = $1", name)
    return kept
