"""HTTP as a client speaks it, with nothing between the harness and the bytes."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any


class Connection:
    """HTTP/1.1 with keep-alive, as little of it as the service's answers need."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(
        self, method: str, path: str, said: Mapping[str, Any], seconds: float, key: str | None = None
    ) -> tuple[int, Any] | None:
        """Status and JSON of the answer; None when there was none in time. `key`: an Idempotency-Key."""
        try:
            async with asyncio.timeout(seconds):
                return await self._send(method, path, json.dumps(said).encode(), key)
        except (OSError, EOFError, TimeoutError):
            self.close()
            return None
        except asyncio.CancelledError:
            self.close()
            raise

    async def _send(self, method: str, path: str, body: bytes, key: str | None) -> tuple[int, Any]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: chaos\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        if key is not None:
            head += f"Idempotency-Key: {key}\r\n"
        writer.write(f"{head}\r\n".encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        answer = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split()[1]), json.loads(answer)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
