"""Saving one account outside a transaction: everything in one statement if nothing changed since it was read, else
nothing (docs/adr/0011-look-then-write-unchanged.md).
"""

from datetime import datetime
from functools import lru_cache

import asyncpg

from app.storage.loyalty.saving import Change, changed_parts, sent, writing


async def save_unchanged(connection: asyncpg.Connection, change: Change, now: datetime) -> bool:
    """Write what became of an account whose customer's state row still has the version that was read with it.

    False when that row, the account or the rules changed meanwhile: then nothing is written.
    """
    parts = changed_parts([change], now)
    size = 1 + sum(len(rows) for rows in parts.values())
    owner = change.before.owner
    try:
        await connection.fetchrow(
            _statement(tuple(parts)), [change.before.customer_id], owner.version, size, *sent(parts)
        )
    except (asyncpg.UniqueViolationError, asyncpg.DivisionByZeroError):
        return False
    return True


@lru_cache(maxsize=128)
def _statement(parts: tuple[str, ...]) -> str:
    """The customer's lock first, like everywhere; a sum that is not the one expected undoes all by dividing by zero."""
    writes, _ = writing(parts, customers=1, first=4)
    taken = " + ".join(f"(SELECT count(*) FROM {part})" for part in ("locked", *map("{}_".format, parts)))  # noqa: S608 - constants
    return f"""
WITH locked AS MATERIALIZED (
  SELECT customer_id FROM customer_states WHERE customer_id = ANY ($1::uuid[]) AND xmin::text = $2 FOR UPDATE
), {", ".join(writes)}
SELECT 1 / (({taken}) = $3::bigint)::integer AS whole
"""  # noqa: S608 - this package's constants
