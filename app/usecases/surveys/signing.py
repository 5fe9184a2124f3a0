"""What signs the links of mails, and what hides households: set by the shop, or made once and kept."""

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from app.domain.feedback.links import Link, signed
from app.storage import kept_secrets
from app.storage.database import Database

KEPT: Final = "kept"
"""The key id of a secret that the service made for itself."""
_BYTES: Final = 32


class Secrets(NamedTuple):
    """`key_id` signs, all of `by_key` are read. `pepper` has 32 bytes."""

    key_id: str
    by_key: Mapping[str, bytes]
    pepper: bytes

    def sign(self, link: Link) -> str:
        """The token of a link."""
        return signed(link, key_id=self.key_id, secret=self.by_key[self.key_id])


class Signing:
    """The secrets of one process, read when they are first asked for."""

    def __init__(
        self, database: Database, by_key: Mapping[str, bytes] | None = None, pepper: str | None = None
    ) -> None:
        self._database = database
        self._by_key = by_key or {}
        self._pepper = pepper
        self._secrets: Secrets | None = None

    async def secrets(self) -> Secrets:
        """What is set, and else what is kept in the database. Raises Unavailable when that is away."""
        if self._secrets is None:
            by_key = self._by_key or {KEPT: await self._kept("links")}
            pepper = (
                await self._kept("households")
                if self._pepper is None
                else hashlib.sha256(self._pepper.encode()).digest()
            )
            self._secrets = Secrets(next(iter(by_key)), by_key, pepper)
        return self._secrets

    async def _kept(self, name: str) -> bytes:
        async with self._database.hot_reading() as connection:
            return await kept_secrets.keep(connection, name, os.urandom(_BYTES), datetime.now(UTC))
