"""`rapport keys`: the same rules and statements as POST, GET and DELETE /v1/keys, without a service in between."""

import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli import environment
from app.cli.failure import Failure
from app.domain import keys as rules
from app.domain.problems import Problem
from app.settings import Settings
from app.storage import keys as stored_keys
from app.storage.keys import StoredKey
from app.usecases.create_key import create_key
from app.usecases.revoke_key import revoke_key

# The same name as the caller of RAPPORT_ADMIN_KEY: what one of them wrote, the other may send again.
ADMIN_SOURCE = "admin"
PAGE = 200
# How the audit log names whoever has the command line.
ACTOR = "cli"


def create(
    preset: str,
    source: str,
    origins: list[str],
    expires_in_days: int | None,
    networks: list[str],
    rate_per_minute: int | None,
) -> None:
    """Create a key and print it: alone on standard output, so that a script can take it from there."""
    now = datetime.now(UTC)
    expires_at = None if expires_in_days is None else now + timedelta(days=expires_in_days)
    try:
        grant = rules.grant(
            preset=preset,
            source=source,
            scopes=None,
            origins=origins,
            expires_at=expires_at,
            now=now,
            networks=networks,
            rate_per_minute=rate_per_minute,
        )
    except Problem as problem:
        raise Failure(problem.detail) from problem
    with environment.database(environment.load_settings()) as urls:
        stored, key = environment.run(_create(urls.app, grant, now))
    sys.stderr.write(f"{preset} key {stored.id} of {source}, {_end(stored)}. It is shown this once:\n")
    sys.stderr.flush()
    sys.stdout.write(f"{key}\n")


def create_first_admin_key(settings: Settings) -> str | None:
    """A new admin key when nobody has one, else None. `settings.database_url` must be set."""
    if settings.admin_key is not None or settings.database_url is None:
        return None
    return environment.run(_create_first(settings.database_url, datetime.now(UTC)))


def print_list() -> None:
    """Print all keys, newest first; dead ones too, because what they wrote is still there."""
    now = datetime.now(UTC)
    with environment.database(environment.load_settings()) as urls:
        found = environment.run(_all(urls.app))
    table = Table(
        "id", "preset", "source", "ends in", "created", "state", "last used", box=None, pad_edge=False
    )
    for key in found:
        table.add_row(
            str(key.id),
            key.preset,
            key.source,
            key.last_four,
            f"{key.created_at:%Y-%m-%d}",
            _state(key, now),
            f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never",
        )
    # Another program that reads this must not get lines folded to 80 columns.
    width = None if sys.stdout.isatty() else 200
    Console(highlight=False, width=width).print(table if found else "There are no keys yet.")


def revoke(key_id: str) -> None:
    """Revoke a key; doing it twice is harmless. Raises Failure when there is no such key."""
    try:
        parsed = UUID(key_id)
    except ValueError:
        raise Failure(f"{key_id!r} is not a key's id: `rapport keys list` shows them") from None
    with environment.database(environment.load_settings()) as urls:
        if not environment.run(_revoke(urls.app, parsed, datetime.now(UTC))):
            raise Failure(f"there is no key {parsed}: `rapport keys list` shows all")
    sys.stdout.write(f"{parsed} is revoked; a running service refuses it within a second.\n")


async def _create(url: str, grant: rules.Grant, now: datetime) -> tuple[StoredKey, str]:
    async with environment.opened(url) as database, database.transaction() as session:
        return await create_key(session, grant, now, by=ACTOR)


async def _create_first(url: str, now: datetime) -> str | None:
    grant = rules.grant(
        preset="admin", source=ADMIN_SOURCE, scopes=None, origins=(), expires_at=None, now=now
    )
    async with environment.opened(url) as database, database.transaction() as session:
        # Services that start together on an empty database would each find no key, and each make one.
        await stored_keys.lock_first(session)
        async for key in _every(session):
            if key.preset == "admin" and rules.is_live(key.expires_at, key.revoked_at, now):
                return None
        return (await create_key(session, grant, now, by=ACTOR))[1]


async def _all(url: str) -> list[StoredKey]:
    async with environment.opened(url) as database, database.reading() as session:
        return [key async for key in _every(session)]


async def _every(session: AsyncSession) -> AsyncIterator[StoredKey]:
    after = None
    while page := await stored_keys.newest_first(session, after, PAGE):
        for key in page:
            yield key
        after = (page[-1].created_at, page[-1].id)


async def _revoke(url: str, key_id: UUID, now: datetime) -> bool:
    async with environment.opened(url) as database, database.transaction() as session:
        return await revoke_key(session, key_id, now, by=ACTOR)


def _end(key: StoredKey) -> str:
    return "without an end" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d %H:%M} UTC"


def _state(key: StoredKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at is None:
        return "live"
    return f"{'live until' if now < key.expires_at else 'expired'} {key.expires_at:%Y-%m-%d}"
