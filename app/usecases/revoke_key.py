"""Stop a key for good."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.storage import keys as stored_keys
from app.storage.database import driver
from app.usecases.record_audit import record_audit


async def revoke_key(session: AsyncSession, key_id: UUID, now: datetime, *, by: str) -> bool:
    """Whether there is such a key. The time of its first revocation stays, and the audit log tells of that alone."""
    known = await stored_keys.lock(session, key_id)
    if known is None:
        return False
    if known.revoked_at is None:
        await stored_keys.revoke(session, key_id, now)
        await record_audit(
            await driver(session),
            by,
            "key_revoked",
            f"key:{key_id}",
            {"revoked_at": None},
            {"revoked_at": now},
            now,
        )
    return True
