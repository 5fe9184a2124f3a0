"""Signed links: for an answer, to unsubscribe, to see how a complaint stands.

A token is `<key id>.<payload>.<signature>`, the last two in base64url without padding. The payload is 38 bytes:
version, purpose, customer, resource, expiry (seconds since 1970, 0: none). The signature is the first 16 bytes of
HMAC-SHA256 over `<key id>.<payload>`, so a key id cannot be exchanged. Single use is the database's word: one answer
per invitation.
"""

import base64
import binascii
import hmac
import re
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, NamedTuple
from uuid import UUID

from app.domain.problems import Gone, NotFound

Purpose = Literal["answer", "unsubscribe", "complaint"]

LEAST_SECRET_BYTES: Final = 32
LONGEST_TOKEN: Final = 128
_VERSION: Final = 1
_PURPOSES: Final[Mapping[Purpose, int]] = MappingProxyType({"answer": 1, "unsubscribe": 2, "complaint": 3})
_PAYLOAD: Final = struct.Struct(">BB16s16sI")
_SIGNATURE_BYTES: Final = 16
_TOKEN: Final = re.compile(r"([a-z0-9]{1,16})\.([A-Za-z0-9_-]{51})\.([A-Za-z0-9_-]{22})", re.ASCII)
_LAST_EXPIRY: Final = 2**32 - 1


class Link(NamedTuple):
    """What a token stands for. `expires_at` is None for one that holds for ever."""

    purpose: Purpose
    customer_id: UUID
    resource_id: UUID
    expires_at: datetime | None


def signed(link: Link, *, key_id: str, secret: bytes) -> str:
    """The token of a link, about 85 characters that need no escaping in a URL.

    `expires_at` is kept to the second, rounded down. ValueError for a secret under 32 bytes, a key id that is not 1 to
    16 of a-z and 0-9, and a time that 32 bits do not hold.
    """
    if len(secret) < LEAST_SECRET_BYTES or not re.fullmatch(r"[a-z0-9]{1,16}", key_id, re.ASCII):
        raise ValueError("A secret has at least 32 bytes, a key id 1 to 16 of a-z and 0-9.")
    expiry = 0 if link.expires_at is None else int(link.expires_at.timestamp())
    if link.expires_at is not None and not 0 < expiry <= _LAST_EXPIRY:
        raise ValueError("A link expires between 1970 and 2106.")
    payload = _PAYLOAD.pack(
        _VERSION, _PURPOSES[link.purpose], link.customer_id.bytes, link.resource_id.bytes, expiry
    )
    head = f"{key_id}.{_text(payload)}"
    return f"{head}.{_text(_signature(head, secret))}"


def opened(
    token: str,
    *,
    purpose: Purpose,
    secrets: Mapping[str, bytes],
    now: datetime,
    grace: timedelta = timedelta(),
) -> Link:
    """The link that a token stands for, when one of our `secrets` (by key id) signed it for this purpose.

    Several secrets may hold at once: a new one signs, old ones are still read. `grace` is added to the expiry, for the
    change of an answer that was given in time. Raises NotFound `link_not_found` for whatever is not ours, without
    saying what is wrong with it, and Gone `link_expired`.
    """
    link = _read(token, secrets)
    if link is None or link.purpose != purpose:
        raise NotFound("link_not_found", "This link does not lead anywhere.")
    if link.expires_at is not None and now >= link.expires_at + grace:
        raise Gone("link_expired", "This link has expired.")
    return link


def unsubscribe_headers(url: str) -> dict[str, str]:
    """The headers of a mail that can be unsubscribed from with one click (RFC 8058); the URL must take a POST."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def _read(token: str, secrets: Mapping[str, bytes]) -> Link | None:
    parts = _TOKEN.fullmatch(token) if len(token) <= LONGEST_TOKEN else None
    if parts is None or parts[1] not in secrets:
        return None
    head = f"{parts[1]}.{parts[2]}"
    payload, signature = _bytes(parts[2]), _bytes(parts[3])
    if payload is None or signature is None:
        return None
    if not hmac.compare_digest(signature, _signature(head, secrets[parts[1]])):
        return None
    version, purpose_code, customer, resource, expiry = _PAYLOAD.unpack(payload)
    purpose = next((name for name, code in _PURPOSES.items() if code == purpose_code), None)
    if version != _VERSION or purpose is None:
        return None
    until = datetime.fromtimestamp(expiry, UTC) if expiry else None
    return Link(purpose, UUID(bytes=customer), UUID(bytes=resource), until)


def _signature(head: str, secret: bytes) -> bytes:
    return hmac.digest(secret, head.encode(), "sha256")[:_SIGNATURE_BYTES]


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes | None:
    """The bytes of canonical base64url: unused bits of the last character must be 0, so a token has one spelling."""
    try:
        value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return value if _text(value) == text else None
