"""Whose key is this? Asked by every request, so answered from memory for a second at a time.

A second is what a revocation may take to reach the other processes; this one forgets at once. What strangers present is
remembered apart and bounded, so that guessing neither costs a query each time nor pushes the shop's own keys out.
"""

import asyncio
import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from app.domain import keys
from app.domain.keys import Caller
from app.domain.networks import networks
from app.domain.problems import Unavailable
from app.domain.rates import Rate, per_minute
from app.storage import keys as stored_keys
from app.storage.database import Database
from app.storage.keys import StoredKey

TTL_SECONDS: Final = 1.0
MOST_KEYS: Final = 10_000
MOST_STRANGERS: Final = 10_000
FLUSH_SECONDS: Final = 60.0
ADMIN_ID: Final = "admin"


@dataclass(frozen=True, slots=True)
class _Known:
    sha256: bytes
    caller: Caller
    row_id: UUID
    fresh_until: float


def _caller(key: StoredKey, usual: Rate | None) -> Caller:
    return Caller(
        str(key.id),
        key.source,
        key.scopes,
        publishable=key.publishable,
        origins=frozenset(key.origins),
        networks=networks(key.networks),
        rate=usual if key.rate_per_minute is None else per_minute(key.rate_per_minute),
    )


class Keyring:
    """The live keys, as far as they were asked for lately, and when each was last used.

    `admin_key` opens everything and is in no table: it comes from the settings. `rate` is that of keys without one of
    their own.
    """

    def __init__(
        self,
        database: Database,
        admin_key: str | None,
        *,
        ttl_seconds: float = TTL_SECONDS,
        rate: Rate | None = None,
    ) -> None:
        self._database = database
        self._ttl_seconds = ttl_seconds
        self._admin_sha256 = None if admin_key is None else keys.sha256(admin_key)
        self._rate = rate
        self._admin = Caller(ADMIN_ID, source=ADMIN_ID, scopes=frozenset(keys.SCOPES), rate=rate)
        self._known: dict[bytes, _Known] = {}
        self._strangers: dict[bytes, float] = {}
        self._loading: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._used: dict[UUID, float] = {}
        self._origins: frozenset[str] = frozenset()
        self._origins_until = 0.0
        self._generation = 0

    async def find(self, sha256: bytes) -> Caller | None:
        """The caller whose live key has this hash. Raises Unavailable when only the database could tell."""
        known = self.remembered(sha256)
        if known is not None or time.monotonic() < self._strangers.get(sha256, 0.0):
            return known
        return await self._load_once(sha256)

    def remembered(self, sha256: bytes) -> Caller | None:
        """The caller with this hash, when memory alone can tell."""
        if self._admin_sha256 is not None and hmac.compare_digest(self._admin_sha256, sha256):
            return self._admin
        known = self._known.get(sha256)
        if known is None or time.monotonic() >= known.fresh_until:
            return None
        if not hmac.compare_digest(known.sha256, sha256):
            return None
        self._used[known.row_id] = time.time()
        return known.caller

    async def _load_once(self, sha256: bytes) -> Caller | None:
        """One query for all who ask for the same key meanwhile; it goes on when the first of them goes away."""
        task = self._loading.get(sha256)
        if task is None:
            task = asyncio.create_task(self._load(sha256))
            self._loading[sha256] = task
            task.add_done_callback(lambda _: self._loading.pop(sha256, None))
        return await asyncio.shield(task)

    async def _load(self, sha256: bytes) -> Caller | None:
        generation, now = self._generation, datetime.now(UTC)
        async with self._database.reading() as session:
            key = await stored_keys.find_live(session, sha256, now)
        if key is not None:
            self._used[key.id] = now.timestamp()
        if generation == self._generation:  # else it may have been read before what made us forget
            self._remember(sha256, key, now)
        return None if key is None else _caller(key, self._rate)

    def _remember(self, sha256: bytes, key: StoredKey | None, now: datetime) -> None:
        fresh_until = time.monotonic() + self._ttl_seconds
        if key is None:
            _make_room(self._strangers, MOST_STRANGERS)
            self._strangers[sha256] = fresh_until
            return
        if key.expires_at is not None:
            fresh_until -= max(0.0, self._ttl_seconds - (key.expires_at - now).total_seconds())
        _make_room(self._known, MOST_KEYS)
        self._known[sha256] = _Known(sha256, _caller(key, self._rate), key.id, fresh_until)

    async def origins(self) -> frozenset[str]:
        """The origins of all live publishable keys, at most a second old: what a preflight is answered from."""
        now = time.monotonic()
        if now >= self._origins_until:
            self._origins_until = now + self._ttl_seconds
            async with self._database.reading() as session:
                self._origins = await stored_keys.live_origins(session, datetime.now(UTC))
        return self._origins

    def forget(self) -> None:
        """Ask the database again for every key, from now on."""
        self._generation += 1
        self._known.clear()
        self._strangers.clear()
        self._origins_until = 0.0

    async def flush(self) -> None:
        """Write down when keys were last used. What cannot be written now is kept for the next time."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            async with self._database.transaction() as session:
                await stored_keys.note_use(
                    session, {key_id: datetime.fromtimestamp(at, UTC) for key_id, at in used.items()}
                )
        except Unavailable:
            self._used = used | self._used

    async def keep_flushing(self, interval_seconds: float = FLUSH_SECONDS) -> None:
        """Flush for ever; cancel it, then flush once more."""
        while True:
            await asyncio.sleep(interval_seconds)
            await self.flush()


def _make_room(memory: dict[bytes, _Known] | dict[bytes, float], most: int) -> None:
    """Drop the entry that came first when the memory is full."""
    if len(memory) >= most:
        del memory[next(iter(memory))]
