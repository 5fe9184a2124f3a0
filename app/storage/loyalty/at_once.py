"""Saving accounts outside a transaction: everything in one statement if nothing changed since it was read, else nothing
(docs/adr/0011-look-then-write-unchanged.md).
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import asyncpg
from pydantic_core import to_json

from app.storage.loyalty.saving import Change, changed_parts, sent, sizes, writing


async def save_unchanged(connection: asyncpg.Connection, changes: Sequence[Change], now: datetime) -> bool:
    """Write what became of accounts, one of each customer, whose state rows still have the version that was read.

    False when such a row, an account or the rules changed meanwhile: then nothing is written.
    """
    parts = changed_parts(changes, now)
    size = len(changes) + sum(sizes(parts).values())
    customers = [change.before.customer_id for change in changes]
    seen = [
        {"customer_id": change.before.customer_id, "version": change.before.owner.version}
        for change in changes
    ]
    try:
        await connection.fetchrow(
            _statement(tuple(parts)), customers, to_json(seen).decode(), size, *sent(parts)
        )
    except (asyncpg.UniqueViolationError, asyncpg.DivisionByZeroError):
        return False
    return True


@lru_cache(maxsize=128)
def _statement(parts: tuple[str, ...]) -> str:
    """The customers' locks first, in their order; a sum that is not the one expected divides by zero and undoes all."""
    writes, _ = writing(parts, customers=1, first=4)
    taken = " + ".join(f"(SELECT count(*) FROM {part})" for part in ("unchanged", *map("{}_".format, parts)))  # noqa: S608 - constants
    return f"""
WITH locked AS MATERIALIZED (
  SELECT customer_id, xmin::text AS version FROM customer_states
  WHERE customer_id = ANY ($1::uuid[]) ORDER BY customer_id FOR UPDATE
), unchanged AS MATERIALIZED (
  SELECT FROM locked JOIN json_to_recordset($2::text::json) AS seen (customer_id uuid, version text)
    USING (customer_id, version)
), {", ".join(writes)}
SELECT 1 / (({taken}) = $3::bigint)::integer AS whole
"""  # noqa: S608 - this package's constants
