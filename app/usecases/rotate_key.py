"""Replace a key while the old one still works, so that no caller has to change at the very moment."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import keys
from app.domain.keys import Grant
from app.storage import keys as stored_keys
from app.storage.database import driver
from app.storage.keys import StoredKey
from app.usecases.change_key import key_already_rotated, key_not_found
from app.usecases.create_key import create_key
from app.usecases.record_audit import record_audit


async def rotate_key(
    session: AsyncSession, key_id: UUID, overlap: timedelta, now: datetime, *, by: str, reach: frozenset[str]
) -> tuple[StoredKey, str]:
    """The key that takes over, which may do what the old one may, and which lives as long as that was meant to.

    The old key stops after `overlap`, and the one before it now: two live keys are enough for any change-over. `reach`:
    the scopes of who asks. Raises NotFound `key_not_found`, Forbidden `scope_missing`, Conflict `key_not_live` or
    `key_already_rotated`.
    """
    old = await stored_keys.lock(session, key_id)
    if old is None:
        raise key_not_found()
    keys.check_reach(old.scopes, reach)
    expires_at = keys.successor_expiry(old.created_at, old.expires_at, old.revoked_at, now)
    if await stored_keys.has_live_successor(session, old.id, now):
        raise key_already_rotated()
    await stored_keys.end_by(session, old.id, keys.overlap_end(old.expires_at, overlap, now))
    if old.replaces is not None:
        await stored_keys.end_by(session, old.replaces, now)
    grant = Grant(
        old.preset,
        old.source,
        old.scopes,
        old.origins,
        expires_at,
        old.networks,
        old.rate_per_minute,
        old.name,
    )
    made = await create_key(session, grant, now, by=by, replaces=old.id)
    ends = keys.overlap_end(old.expires_at, overlap, now)
    await record_audit(
        await driver(session),
        by,
        "key_rotated",
        f"key:{old.id}",
        {"expires_at": old.expires_at},
        {"expires_at": ends, "replaced_by": made[0].id},
        now,
    )
    return made
