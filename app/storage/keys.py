"""The keys that open the API, as rows. The keys themselves are not here: only their SHA-256."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, func, insert, or_, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.storage.tables import api_keys


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One key, without the key. `replaces` is the key that this one was rotated from."""

    id: UUID
    last_four: str
    preset: str
    publishable: bool
    source: str
    scopes: frozenset[str]
    origins: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    replaces: UUID | None = None
    networks: tuple[str, ...] = ()
    rate_per_minute: int | None = None
    name: str | None = None
    revision: int = 0


_SHOWN = [column for column in api_keys.c if column.name != "sha256"]


def _stored(row: RowMapping) -> StoredKey:
    sets = {name: tuple(row[name]) for name in ("origins", "networks")}
    return StoredKey(**{**row, **sets, "scopes": frozenset(row["scopes"])})


def _is_live(now: datetime) -> ColumnElement[bool]:
    return api_keys.c.revoked_at.is_(None) & or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now)


async def find_live(session: AsyncSession, sha256: bytes, now: datetime) -> StoredKey | None:
    """The key with this hash, unless it is revoked or expired at `now`."""
    statement = select(*_SHOWN).where(api_keys.c.sha256 == sha256, _is_live(now))
    row = (await session.execute(statement)).mappings().one_or_none()
    return None if row is None else _stored(row)


async def find(session: AsyncSession, key_id: UUID) -> StoredKey | None:
    """The key with this id, dead ones too."""
    row = (await session.execute(select(*_SHOWN).where(api_keys.c.id == key_id))).mappings().one_or_none()
    return None if row is None else _stored(row)


async def change(session: AsyncSession, key_id: UUID, members: Mapping[str, Any]) -> StoredKey:
    """The key with these members replaced; the caller has locked it."""
    statement = (
        update(api_keys)
        .where(api_keys.c.id == key_id)
        .values(**members, revision=api_keys.c.revision + 1)
        .returning(*_SHOWN)
    )
    return _stored((await session.execute(statement)).mappings().one())


async def lock(session: AsyncSession, key_id: UUID) -> StoredKey | None:
    """The key with this id, kept from changing until the transaction ends."""
    statement = select(*_SHOWN).where(api_keys.c.id == key_id).with_for_update()
    row = (await session.execute(statement)).mappings().one_or_none()
    return None if row is None else _stored(row)


async def lock_first(session: AsyncSession) -> None:
    """Wait for whoever else is just looking whether there is a first key to make; until the transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('rapport first key'))"))


async def add(session: AsyncSession, key: StoredKey, sha256: bytes) -> None:
    """Store a new key."""
    await session.execute(
        insert(api_keys).values(
            id=key.id,
            sha256=sha256,
            last_four=key.last_four,
            preset=key.preset,
            publishable=key.publishable,
            source=key.source,
            scopes=sorted(key.scopes),
            origins=list(key.origins),
            created_at=key.created_at,
            expires_at=key.expires_at,
            replaces=key.replaces,
            networks=list(key.networks),
            rate_per_minute=key.rate_per_minute,
            name=key.name,
        )
    )


async def newest_first(
    session: AsyncSession, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[StoredKey]:
    """Up to `limit` keys, dead ones too, older than the one at `after`."""
    statement = select(*_SHOWN).order_by(api_keys.c.created_at.desc(), api_keys.c.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(api_keys.c.created_at, api_keys.c.id) < after)
    return [_stored(row) for row in (await session.execute(statement)).mappings()]


async def revoke(session: AsyncSession, key_id: UUID, now: datetime) -> bool:
    """Stop a key for good; the time of the first revocation stays. False when there is no such key."""
    statement = (
        update(api_keys)
        .where(api_keys.c.id == key_id)
        .values(
            revoked_at=func.coalesce(api_keys.c.revoked_at, now),
            revision=api_keys.c.revision + 1,
        )
        .returning(api_keys.c.id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def end_by(session: AsyncSession, key_id: UUID, end: datetime) -> None:
    """Let a key expire at `end`, or earlier when it would have anyway."""
    await session.execute(
        update(api_keys)
        .where(api_keys.c.id == key_id, or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > end))
        .values(expires_at=end, revision=api_keys.c.revision + 1)
    )


async def has_live_successor(session: AsyncSession, key_id: UUID, now: datetime) -> bool:
    """Whether a key that replaces this one is in use."""
    statement = select(api_keys.c.id).where(api_keys.c.replaces == key_id, _is_live(now)).limit(1)
    return (await session.execute(statement)).one_or_none() is not None


async def live_origins(session: AsyncSession, now: datetime) -> frozenset[str]:
    """Every origin of every live publishable key."""
    statement = (
        select(func.unnest(api_keys.c.origins)).where(api_keys.c.publishable, _is_live(now)).distinct()
    )
    return frozenset((await session.execute(statement)).scalars())


_NOTE_USE = text(
    """
    UPDATE api_keys SET last_used_at = used.at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:times AS timestamptz[])) AS used (id, at)
    WHERE api_keys.id = used.id AND (api_keys.last_used_at IS NULL OR api_keys.last_used_at < used.at)
    """
)


async def note_use(session: AsyncSession, used: Mapping[UUID, datetime]) -> None:
    """Move the keys' times of last use forward; other processes may have seen a later one."""
    ordered: list[Any] = sorted(used)  # rows are locked in one order, whoever flushes
    await session.execute(_NOTE_USE, {"ids": ordered, "times": [used[key_id] for key_id in ordered]})
