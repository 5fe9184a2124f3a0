"""API keys: what one looks like, what it may do, who calls with it.

`rap_sk_` (secret) or `rap_pk_` (publishable), 32 random base62 characters, and the CRC-32 of all before it as 6 more.
The checksum costs an attacker nothing: it is there so that a mistyped key is told from an unknown one without a query,
and so that secret scanners recognise a leaked one.
"""

import hashlib
import ipaddress
import re
import secrets
import string
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from app.domain.ids import base62
from app.domain.networks import Network
from app.domain.problems import Conflict, Fault, Forbidden, Invalid
from app.domain.rates import Rate

SECRET_PREFIX: Final = "rap_sk_"  # noqa: S105 - what every secret key begins with, no secret
PUBLISHABLE_PREFIX: Final = "rap_pk_"

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH = 32  # 190 bits
_CHECK_LENGTH = 6  # ceil(32 / log2(62))
_KEY = re.compile(rf"rap_[sp]k_[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECK_LENGTH}}}", re.ASCII)

MOST_PER_MINUTE: Final = 6_000_000
MOST_NETWORKS: Final = 50
LONGEST_KEY_NAME: Final = 100

SOURCE_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
_SOURCE = re.compile(SOURCE_PATTERN, re.ASCII)

# Browsers compare it letter for letter with the Origin header, which is in lower case and has no path.
_HOST = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]"
_ORIGIN = re.compile(rf"https?://(?:{_HOST})(?::[0-9]{{1,5}})?", re.ASCII)

SCOPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "events:write": "Post touchpoints and orders.",
        "customers:read": "Read customers, their timeline, touchpoints, health and context.",
        "customers:write": "Create, change and merge customers, their identifiers, notes and consent.",
        "feedback:read": "Read feedback, surveys and complaints.",
        "feedback:write": "Record feedback and work on complaints.",
        "loyalty:read": "Read balances, entries and rewards.",
        "loyalty:write": "Hold, capture and adjust points.",
        "insights:read": "Read shop-wide figures and metrics.",
        "admin": "Keys, kinds, models, programmes, erasure, audit, and writing for another source.",
    }
)
"""Every scope and what it allows."""

PRESETS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "storefront": frozenset(
            (
                "events:write",
                "customers:read",
                "customers:write",
                "feedback:write",
                "loyalty:read",
                "loyalty:write",
            )
        ),
        "support": frozenset(
            (
                "customers:read",
                "feedback:read",
                "feedback:write",
                "loyalty:read",
                "insights:read",
                "events:write",
            )
        ),
        "admin": frozenset(SCOPES),
        "publishable": frozenset(("events:write",)),
    }
)
"""What the keys of each kind of caller may do; a key may be given less, never more."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as its key says. `source` is stamped on what the caller writes.

    `networks`: from where the key may be used, none: from everywhere. `rate` is None for whoever has no limit. `actor`
    is how the audit log names them; it may name a person, `key_id` never does.
    """

    key_id: str
    source: str
    scopes: frozenset[str]
    publishable: bool = False
    origins: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    rate: Rate | None = None
    actor: str = ""

    def __post_init__(self) -> None:
        """Whoever is no person signs with the id of the key."""
        if not self.actor:
            object.__setattr__(self, "actor", self.key_id)

    @property
    def is_admin(self) -> bool:
        """Whether the caller may also write for another source."""
        return "admin" in self.scopes


@dataclass(frozen=True, slots=True)
class Grant:
    """What a new key is to be: checked, so that it can be stored as it is."""

    preset: str
    source: str
    scopes: frozenset[str]
    origins: tuple[str, ...]
    expires_at: datetime | None
    networks: tuple[str, ...] = ()
    rate_per_minute: int | None = None
    name: str | None = None

    @property
    def publishable(self) -> bool:
        """Whether the key may be shown to the world."""
        return self.preset == "publishable"


def _checksum(text: str) -> str:
    return base62(zlib.crc32(text.encode()), _CHECK_LENGTH)


def new_key(*, publishable: bool) -> str:
    """A fresh key. It is shown to its owner once; only its SHA-256 is stored."""
    prefix = PUBLISHABLE_PREFIX if publishable else SECRET_PREFIX
    body = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Whether `key` has the form of a key and a checksum that fits. Says nothing about whether it exists."""
    return _KEY.fullmatch(key) is not None and _checksum(key[:-_CHECK_LENGTH]) == key[-_CHECK_LENGTH:]


def sha256(key: str) -> bytes:
    """What is stored of a key. Without salt or stretching: 190 random bits leave nothing to guess."""
    return hashlib.sha256(key.encode()).digest()


def grant(
    *,
    preset: str,
    source: str,
    scopes: Iterable[str] | None,
    origins: Iterable[str],
    expires_at: datetime | None,
    now: datetime,
    networks: Iterable[str] = (),
    rate_per_minute: int | None = None,
    name: str | None = None,
) -> Grant:
    """What a key with this preset may be.

    `scopes` narrows the preset, None takes all of it. Raises Invalid: `unknown_preset`, `invalid_source`,
    `scope_not_in_preset`, `origins_not_allowed`, `invalid_origin`, `invalid_network`, `in_the_past`.
    """
    allowed = PRESETS.get(preset)
    if allowed is None:
        raise _invalid("preset", "unknown_preset", f"preset must be one of {', '.join(PRESETS)}.")
    if not _SOURCE.fullmatch(source):
        raise _invalid(
            "source",
            "invalid_source",
            "A source is up to 64 letters, digits and ._:- and begins with a letter or digit.",
        )
    chosen = allowed if scopes is None else frozenset(scopes)
    if not chosen or not chosen <= allowed:
        detail = f"scopes must be some of {', '.join(sorted(allowed))}."
        raise _invalid("scopes", "scope_not_in_preset", detail)
    listed = tuple(dict.fromkeys(origins))
    _check_origins(listed, allowed=preset == "publishable")
    _check_end(expires_at, now)
    return Grant(preset, source, chosen, listed, expires_at, _networks(networks), rate_per_minute, name)


def check_change(said: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What is to become of a key, as it is stored: any of `name`, `expires_at`, `networks`, `rate_per_minute`.

    Raises Invalid `in_the_past` or `invalid_network`.
    """
    _check_end(said.get("expires_at"), now)
    return {**said, "networks": _networks(said["networks"])} if "networks" in said else dict(said)


def check_reach(scopes: frozenset[str], reach: frozenset[str]) -> None:
    """Nobody makes, renews or changes a key that opens what they cannot: `reach` are the scopes of who asks.

    Raises Forbidden `scope_missing`, naming the first scope that is missing.
    """
    beyond = sorted(scopes - reach)
    if beyond:
        raise Forbidden("scope_missing", f"This key lacks the scope {beyond[0]}.", scope=beyond[0])


def _check_end(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise _invalid("expires_at", "in_the_past", "expires_at must lie in the future.")


def _check_origins(origins: tuple[str, ...], *, allowed: bool) -> None:
    if origins and not allowed:
        detail = "Only publishable keys have origins; others stay on servers."
        raise _invalid("origins", "origins_not_allowed", detail)
    for index, origin in enumerate(origins):
        if not _ORIGIN.fullmatch(origin):
            detail = "An origin is scheme, host and port, in lower case: https://shop.example."
            raise _invalid(f"origins/{index}", "invalid_origin", detail)


def _networks(given: Iterable[str]) -> tuple[str, ...]:
    found = []
    for index, text in enumerate(given):
        try:
            found.append(str(ipaddress.ip_network(text)))
        except ValueError:
            detail = "A network is an address or a prefix without host bits: 203.0.113.0/24, 2001:db8::/32."
            raise _invalid(f"networks/{index}", "invalid_network", detail) from None
    return tuple(dict.fromkeys(found))


def _invalid(member: str, code: str, detail: str) -> Invalid:
    return Invalid(code, detail, errors=[Fault(f"#/{member}", code, detail)])


def is_live(expires_at: datetime | None, revoked_at: datetime | None, now: datetime) -> bool:
    """Whether a key with these times opens anything at `now`."""
    return revoked_at is None and (expires_at is None or now < expires_at)


def successor_expiry(
    created_at: datetime, expires_at: datetime | None, revoked_at: datetime | None, now: datetime
) -> datetime | None:
    """When the key that replaces this one expires: it lives as long as this one was meant to.

    Raises Conflict `key_not_live`: what is dead is not brought back by rotating it.
    """
    if not is_live(expires_at, revoked_at, now):
        raise Conflict("key_not_live", "This key is revoked or expired. Create a new one instead.")
    return None if expires_at is None else now + (expires_at - created_at)


def overlap_end(expires_at: datetime | None, overlap: timedelta, now: datetime) -> datetime:
    """When a rotated key stops: after the overlap, or at its own end when that comes first."""
    end = now + overlap
    return end if expires_at is None else min(end, expires_at)
