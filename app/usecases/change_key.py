"""Change what a key is called, how long it lives, from where and how fast it may be used. The key itself stays."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import keys
from app.domain.problems import Conflict, NotFound
from app.storage import keys as stored_keys
from app.storage.database import driver
from app.storage.keys import StoredKey
from app.usecases.record_audit import record_audit


async def change_key(
    session: AsyncSession,
    key_id: UUID,
    said: Mapping[str, Any],
    now: datetime,
    *,
    by: str,
    reach: frozenset[str],
    look: Callable[[StoredKey], None],
) -> StoredKey:
    """The key after the members of `said` were replaced: name, expires_at, networks, rate_per_minute.

    What it may do never changes: that takes a new key. `reach` are the scopes of who asks, `by` is who they are for the
    audit log; `look` sees the key before it changes and may raise. Raises NotFound `key_not_found`, Forbidden
    `scope_missing`, Conflict `key_not_live` or `key_already_rotated`, Invalid `in_the_past` or `invalid_network`.
    """
    known = await stored_keys.lock(session, key_id)
    if known is None:
        raise key_not_found()
    keys.check_reach(known.scopes, reach)
    look(known)
    if not keys.is_live(known.expires_at, known.revoked_at, now):
        raise key_not_live()
    checked = keys.check_change(said, now)
    members = {name: value for name, value in checked.items() if value != getattr(known, name)}
    if not members:
        return known
    if _outlives(members, known) and await stored_keys.has_live_successor(session, key_id, now):
        raise key_already_rotated()
    was = {name: getattr(known, name) for name in members}
    changed = await stored_keys.change(session, key_id, members)
    await record_audit(await driver(session), by, "key_changed", f"key:{key_id}", was, members, now)
    return changed


def _outlives(members: Mapping[str, Any], known: StoredKey) -> bool:
    """Whether the key is to live longer than it would."""
    if "expires_at" not in members or known.expires_at is None:
        return False
    return members["expires_at"] is None or members["expires_at"] > known.expires_at


def key_not_found() -> NotFound:
    """No key has this id."""
    return NotFound("key_not_found", "There is no key with this id.")


def key_not_live() -> Conflict:
    """What is dead stays dead."""
    return Conflict("key_not_live", "This key is revoked or expired. Create a new one instead.")


def key_already_rotated() -> Conflict:
    """At most two keys of a line are alive."""
    return Conflict(
        "key_already_rotated", "A newer key already replaces this one. Rotate that, or revoke it first."
    )
