"""Signing in with a token of the shop's identity provider (OpenID Connect), beside keys.

The provider's keys are fetched over HTTP, so this stands at the edge: bounded in time and bytes, by one request at a
time, remembered, and asked for again at most now and then when a token names a key that is not known.
"""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import jwt
import structlog

from app.domain.keys import Caller
from app.domain.problems import Unavailable
from app.domain.rates import Rate
from app.domain.signing_in import Terms, caller_of, is_safe, token_invalid

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS: Final = 5.0
KEYS_SECONDS: Final = 600.0
STALE_SECONDS: Final = 86_400.0
PAUSE_SECONDS: Final = 30.0
MOST_BYTES: Final = 256 * 1024
MOST_KEYS: Final = 100
LONGEST_TOKEN: Final = 8192
LEEWAY_SECONDS: Final = 30
REMEMBERED_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 4096
RETRY_AFTER_SECONDS: Final = 5

_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


def is_token(sent: str) -> bool:
    """Whether what was sent has the form of a signed JWT; no key has."""
    return len(sent) <= LONGEST_TOKEN and _TOKEN.fullmatch(sent) is not None


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    until: float


class SignIn:
    """Whose token is this? Answered from memory for a minute at a time, never beyond the token's own end."""

    def __init__(
        self, agreed: Terms, *, rate: Rate | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._agreed = agreed
        self._rate = rate
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self.provider = Provider(agreed, clock=clock)

    async def caller(self, token: str) -> Caller:
        """The person who signed in. Raises Unauthenticated `token_invalid`, Unavailable `sign_in_unavailable`."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and self._clock() < known.until:
            return known.caller
        claims = await self._checked(token)
        caller = caller_of(claims, self._agreed, self._rate)
        left = float(claims["exp"]) - datetime.now(UTC).timestamp()
        if left > 0:
            if len(self._known) >= MOST_REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[digest] = _Known(caller, self._clock() + min(left, REMEMBERED_SECONDS))
        return caller

    async def _checked(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise token_invalid() from None
        algorithm, kid = header.get("alg"), header.get("kid")
        # Before any key is looked for: what nobody may sign with needs none.
        if algorithm not in self._agreed.algorithms or not isinstance(kid, str) or "crit" in header:
            raise token_invalid()
        key = await self.provider.key(kid)
        if key is None or key.algorithm_name != algorithm:
            raise token_invalid()
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._agreed.audience,
                issuer=self._agreed.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise token_invalid() from None
        return claims

    async def close(self) -> None:
        """Stop fetching."""
        await self.provider.close()


class Provider:
    """The public keys of the identity provider, by their `kid`."""

    def __init__(self, agreed: Terms, *, clock: Callable[[], float]) -> None:
        self._agreed = agreed
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None
        self.fetches = 0

    async def key(self, kid: str) -> jwt.PyJWK | None:
        """The key of this id, None when the provider has none. Raises Unavailable when nobody can tell.

        Keys are fetched when they are older than ten minutes or do not hold this one, and never twice within half a
        minute, whatever tokens come. Known keys go on for a day while the provider is away.
        """
        found = self._keys.get(kid)
        if found is not None and self._age() < KEYS_SECONDS:
            return found
        if self._asked_at is None or self._clock() - self._asked_at >= PAUSE_SECONDS or self._fetching:
            await self._fetch_once()
        if self._age() > STALE_SECONDS:
            raise Unavailable(
                "sign_in_unavailable",
                "The keys of the identity provider cannot be had now.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        return self._keys.get(kid)

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    async def _fetch_once(self) -> None:
        """One fetch for all who wait; it goes on when the first of them goes away."""
        if self._fetching is None:
            self._asked_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        await asyncio.shield(self._fetching)

    def _fetched(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        self.fetches += 1
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                url = self._agreed.jwks_url or await self._discovered()
                self._keys = _read(await self._get(url), self._agreed.algorithms)
                self._fetched_at = self._clock()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
            # Its message may hold an address; the class says enough.
            log.warning("sign_in_keys_not_fetched", cause=type(error).__name__)

    async def _discovered(self) -> str:
        found = await self._get(f"{self._agreed.issuer.rstrip('/')}/.well-known/openid-configuration")
        url = found.get("jwks_uri")
        if found.get("issuer") != self._agreed.issuer or not isinstance(url, str) or not is_safe(url):
            raise ValueError("the issuer's configuration is of another issuer, or names no safe address")
        return url

    async def _get(self, url: str) -> Mapping[str, Any]:
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=TIMEOUT_SECONDS,
                follow_redirects=False,
                # No proxy and no .netrc of the environment, but SSL_CERT_FILE, for a provider with its own CA.
                trust_env=False,
                verify=httpx.create_ssl_context(),
            )
        body = bytearray()
        async with self._client.stream("GET", url, headers={"Accept": "application/json"}) as answer:
            answer.raise_for_status()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise ValueError("too large")
        read = json.loads(body)
        if not isinstance(read, dict):
            raise ValueError("not an object")  # noqa: TRY004 - a document that is wrong, like one that is no JSON
        return read

    async def close(self) -> None:
        """Stop fetching, and close the connections."""
        if self._fetching is not None:
            self._fetching.cancel()
        if self._client is not None:
            await self._client.aclose()


def _read(document: Mapping[str, Any], algorithms: tuple[str, ...]) -> dict[str, jwt.PyJWK]:
    """The keys of a JWKS that can check one of the algorithms; others, and those we cannot read, are left out."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("no list of keys")  # noqa: TRY004 - a document that is wrong, like one that is no JSON
    found: dict[str, jwt.PyJWK] = {}
    for each in listed[:MOST_KEYS]:
        if not isinstance(each, dict) or not isinstance(each.get("kid"), str):
            continue
        # A shared secret, or the private half, that somebody published by mistake is nobody's proof.
        if each.get("kty") == "oct" or "d" in each or each.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(each)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if key.algorithm_name in algorithms:
            found[each["kid"]] = key
    return found
