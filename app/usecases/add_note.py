"""An agent writes something down about a customer."""

from datetime import datetime

import asyncpg

from app.domain.identifiers import Reference
from app.domain.ids import uuid7
from app.storage import notes
from app.storage.notes import Note
from app.usecases.lock_customer import lock_customer


async def add_note(
    connection: asyncpg.Connection, reference: Reference, text: str, author: str, now: datetime
) -> Note:
    """The note as kept. Raises what `find_customer` raises."""
    locked = await lock_customer(connection, reference)
    own_id = uuid7(int(now.timestamp() * 1000))
    note = Note(locked.customer_id, own_id, text, author, now, locked.origin)
    await notes.add(connection, note)
    return note
