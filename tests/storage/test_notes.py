from datetime import UTC, datetime

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.health.state import EMPTY
from app.domain.ids import uuid7
from app.storage import customers, notes
from app.storage.database import driver
from app.storage.notes import Note

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.fixture
async def bare(session: AsyncSession) -> asyncpg.Connection:
    return await driver(session)


async def test_notes_come_newest_first_and_of_one_customer_only(bare: asyncpg.Connection) -> None:
    one, other = uuid7(1), uuid7(2)
    await customers.create(bare, [one, other], EMPTY.encode(), NOW)
    written = [Note(one, uuid7(number), f"note {number}", "helpdesk", NOW, one) for number in range(3)]
    for note in [*written, Note(other, uuid7(9), "of another", "helpdesk", NOW, other)]:
        await notes.add(bare, note)
    assert await notes.newest(bare, one, 2) == [written[2], written[1]]
    assert await notes.newest(bare, one, 2, before=written[1].id) == [written[0]]
