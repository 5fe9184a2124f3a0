"""What a customer's log says of occasions that earn: joining, reviews."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import from_json

from app.storage.touchpoints import standing


class ToldOccasion(NamedTuple):
    """A row of the log that tells of an occasion."""

    source: str
    id: str
    kind: str
    occurred_at: datetime
    thread: str | None
    properties: dict[str, Any]


async def standing_of_kinds(
    connection: asyncpg.Connection, customer_id: UUID, kinds: Collection[str]
) -> list[ToldOccasion]:
    """What stands in a customer's log of these kinds."""
    rows = await connection.fetch(
        f"""
        SELECT t.source, t.id, t.kind, t.occurred_at, t.thread, t.properties::text
        FROM touchpoints t
        WHERE t.customer_id = $1 AND t.kind = ANY ($2::text[]) AND {standing("t")}
        """,  # noqa: S608 - a condition of this package
        customer_id,
        list(kinds),
    )
    return [ToldOccasion._make((*row[:5], from_json(row[5] or "{}"))) for row in rows]
