"""On which terms the token of an identity provider opens the API, and what it then may do."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from app.domain.ids import base62
from app.domain.keys import PRESETS, SCOPES, Caller
from app.domain.problems import Unauthenticated
from app.domain.rates import Rate

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a private key alone: with HMAC whoever checks a token could make one, and `none` is nobody's."""

SOURCE: Final = "oidc"
LONGEST_SUBJECT: Final = 180
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_PRINTABLE = re.compile(r"[\x21-\x7e]+", re.ASCII)


@dataclass(frozen=True)
class Terms:
    """Whose tokens are taken. `grants`: the scopes that each value of `scope_claim` gives."""

    issuer: str
    audience: str
    jwks_url: str | None
    algorithms: tuple[str, ...]
    scope_claim: str
    grants: Mapping[str, frozenset[str]]


def terms(
    *, issuer: str, audience: str, jwks_url: str | None, algorithms: str, scope_claim: str, scopes: str
) -> Terms:
    """The terms that settings give. ValueError says what is wrong, by the name of the setting."""
    for name, url in (("oidc_issuer", issuer), ("oidc_jwks_url", jwks_url)):
        if url is not None and not is_safe(url):
            raise ValueError(f"{name} must begin with https:// (http:// only on this host)")
    if not audience:
        raise ValueError(
            "oidc_issuer needs oidc_audience: a token for another service must not open this one"
        )
    named = tuple(part.strip() for part in algorithms.split(",") if part.strip())
    if not named or not set(named) <= set(ALGORITHMS):
        raise ValueError(f"oidc_algorithms must be some of {', '.join(ALGORITHMS)}")
    return Terms(issuer, audience, jwks_url, named, scope_claim, _grants(scopes))


def is_safe(url: str) -> bool:
    """Whether keys may be fetched from there: nobody on the way must be able to put in their own."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )


def _grants(text: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        # From the right: values may be URNs, scopes hold one colon at most.
        value, given = next(
            (
                (part[: -len(name) - 1], name)
                for name in (*PRESETS, *SCOPES)
                if part.endswith(f":{name}") and len(part) > len(name) + 1
            ),
            ("", ""),
        )
        if not value or given == "publishable":
            raise ValueError("oidc_scopes must be `value:preset` or `value:scope`, with commas between")
        found[value] = found.get(value, frozenset()) | PRESETS.get(given, frozenset((given,)))
    if not found:
        raise ValueError("oidc_issuer needs oidc_scopes: without it no token would open anything")
    return found


def token_invalid() -> Unauthenticated:
    """Which of the checks failed is nobody's business who cannot pass them."""
    return Unauthenticated("token_invalid", "This token is not one that opens this API, or it has expired.")


def caller_of(claims: Mapping[str, Any], agreed: Terms, rate: Rate | None) -> Caller:
    """The person whose checked claims these are. Raises Unauthenticated `token_invalid` without a usable subject."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or len(subject) > LONGEST_SUBJECT or not _PRINTABLE.fullmatch(subject):
        raise token_invalid()
    held = claims.get(agreed.scope_claim, ())
    values = held.split() if isinstance(held, str) else held
    scopes: frozenset[str] = frozenset()
    for value in values if isinstance(values, list | tuple) else ():
        scopes |= agreed.grants.get(value, frozenset()) if isinstance(value, str) else frozenset()
    # Logs and metrics may not name a person, and a subject may be an e-mail address.
    digest = hashlib.sha256(f"{agreed.issuer}\n{subject}".encode()).digest()
    key_id = f"oidc_{base62(int.from_bytes(digest[:16]), 22)}"
    return Caller(key_id, SOURCE, scopes, rate=rate, actor=f"oidc:{subject}")
