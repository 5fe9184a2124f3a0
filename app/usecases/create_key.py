"""Make a key for somebody."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import keys
from app.domain.ids import uuid7
from app.domain.keys import Grant
from app.storage import keys as stored_keys
from app.storage.keys import StoredKey


async def create_key(
    session: AsyncSession, grant: Grant, now: datetime, *, replaces: UUID | None = None
) -> tuple[StoredKey, str]:
    """The stored key and the key itself, which nobody can be told again."""
    key = keys.new_key(publishable=grant.publishable)
    stored = StoredKey(
        id=uuid7(int(now.timestamp() * 1000)),
        last_four=key[-4:],
        preset=grant.preset,
        publishable=grant.publishable,
        source=grant.source,
        scopes=grant.scopes,
        origins=grant.origins,
        created_at=now,
        expires_at=grant.expires_at,
        replaces=replaces,
    )
    await stored_keys.add(session, stored, keys.sha256(key))
    return stored, key
