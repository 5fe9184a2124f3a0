"""Keyed hashes of the identifiers of people who were erased, so that nobody imports them again by accident.

A plain hash of an address can be guessed by whoever reads the database, so the key is kept outside it. HMAC-SHA256, and
several keys with ids, so that a key can be replaced while the tombstones of the one before still hold.
"""

import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from app.domain.identifiers import Identifier

_PREFIX: Final = b"rapport tombstone\0"


class Guard(NamedTuple):
    """The keys of tombstones by their ids, the one that writes first. Without any nothing is hashed or looked up."""

    secrets: Mapping[str, bytes] = MappingProxyType({})

    def tombstone(self, identifier: Identifier) -> bytes | None:
        """What is kept of an erased identifier, 32 bytes; None without a key."""
        return next(iter(self.tombstones(identifier)), None)

    def tombstones(self, identifier: Identifier) -> list[bytes]:
        """What may have been kept of it, by any of the keys."""
        # A type holds no NUL, so no two identifiers are hashed as one.
        said = _PREFIX + f"{identifier.type}\0{identifier.key}".encode()
        return [hmac.digest(secret, said, hashlib.sha256) for secret in self.secrets.values()]


UNGUARDED: Final = Guard()
"""Nobody is remembered."""
