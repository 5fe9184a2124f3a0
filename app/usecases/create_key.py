"""Make a key for somebody."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import keys
from app.domain.ids import uuid7
from app.domain.keys import Grant
from app.storage import keys as stored_keys
from app.storage.database import driver
from app.storage.keys import StoredKey
from app.usecases.record_audit import record_audit


async def create_key(
    session: AsyncSession, grant: Grant, now: datetime, *, by: str, replaces: UUID | None = None
) -> tuple[StoredKey, str]:
    """The stored key and the key itself, which nobody can be told again; `by` is who makes it, for the audit log."""
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
        networks=grant.networks,
        rate_per_minute=grant.rate_per_minute,
        name=grant.name,
    )
    await stored_keys.add(session, stored, keys.sha256(key))
    told = {
        "preset": grant.preset,
        "source": grant.source,
        "scopes": sorted(grant.scopes),
        "origins": grant.origins,
        "networks": grant.networks,
        "rate_per_minute": grant.rate_per_minute,
        "expires_at": grant.expires_at,
        "replaces": replaces,
    }
    await record_audit(await driver(session), by, "key_created", f"key:{stored.id}", None, told, now)
    return stored, key
