"""What agents write about a customer for one another."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from app.storage.customers import LAST_ID


@dataclass(frozen=True, slots=True)
class Note:
    """A note. `author` is the source of the key that wrote it, the origin whom it was first written about."""

    customer_id: UUID
    id: UUID
    text: str
    author: str
    created_at: datetime
    origin_customer_id: UUID


async def add(connection: asyncpg.Connection, note: Note) -> None:
    """Keep a note. The customer's state row is locked."""
    await connection.execute(
        """
        INSERT INTO customer_notes (customer_id, id, text, author, created_at, origin_customer_id)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT DO NOTHING
        """,
        note.customer_id,
        note.id,
        note.text,
        note.author,
        note.created_at,
        note.origin_customer_id,
    )


async def newest(
    connection: asyncpg.Connection, customer_id: UUID, limit: int, before: UUID = LAST_ID
) -> list[Note]:
    """The notes about a customer, newest first, older than `before`."""
    rows = await connection.fetch(
        """
        SELECT customer_id, id, text, author, created_at, origin_customer_id
        FROM customer_notes
        WHERE customer_id = $1 AND id < $2
        ORDER BY id DESC
        LIMIT $3
        """,
        customer_id,
        before,
        limit,
    )
    return [Note(*row) for row in rows]
