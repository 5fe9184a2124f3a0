"""A little identity provider on this host: real keys, real HTTP."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "rapport"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def public(kid: str, key: Any) -> dict[str, Any]:
    """The public half as a JWK."""
    algorithm = ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else RSAAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


class Provider:
    """What it answers, and how often it was asked. `paths` may be changed while it runs."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.paths: dict[str, tuple[int, bytes]] = {}
        self.pause_seconds = 0.0

    def publish(self, *keys: dict[str, Any]) -> None:
        """Serve these keys."""
        self.paths["/keys"] = (200, json.dumps({"keys": keys}).encode())
        about = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self.paths["/.well-known/openid-configuration"] = (200, json.dumps(about).encode())

    def token(
        self,
        key: Any = RSA_KEY,
        *,
        kid: str | None = "first",
        algorithm: str = "RS256",
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token as this provider signs it; a claim that is given as None is left out."""
        now = int(time.time())
        whole = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada-7",
            "iat": now,
            "exp": now + 300,
            "scope": "openid rapport-admins",
        } | claims
        kept = {name: value for name, value in whole.items() if value is not None}
        named = ({} if kid is None else {"kid": kid}) | (headers or {})
        return jwt.encode(kept, key, algorithm=algorithm, headers=named)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        self.asked.append(path)
        await asyncio.sleep(self.pause_seconds)
        status, body = self.paths.get(path, (404, b"{}"))
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Location: /elsewhere\r\nConnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def running() -> AsyncIterator[Provider]:
    """A provider with one RSA key, `first`, and one of an elliptic curve, `curve`."""
    provider = Provider()
    server = await asyncio.start_server(provider._answer, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    provider.publish(public("first", RSA_KEY), public("curve", EC_KEY))
    try:
        yield provider
    finally:
        server.close()
        await server.wait_closed()
