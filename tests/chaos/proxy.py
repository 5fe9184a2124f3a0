"""Between the service and PostgreSQL, on a socket of its own: cuts connections, around COMMIT or all of them, or slows
them down.

Understands of the protocol (PostgreSQL documentation, "Message Formats") where a message ends and which one commits: a
simple query that begins with COMMIT, or, outside BEGIN, the Sync behind a statement that writes to the log. Everything
passes through unchanged.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from app.storage.embedded import SOCKET_NAME

ANSWER_LOST = "COMMIT done, its answer withheld"
BOTH_LOST = "cut behind COMMIT, done or not"
COMMIT_LOST = "COMMIT withheld"
# Most of the time the worst case: the server has committed, and nobody is told.
KINDS = {ANSWER_LOST: 0.7, BOTH_LOST: 0.2, COMMIT_LOST: 0.1}

_PROTOCOL_3 = 3
# ReadyForQuery, idle: whatever was begun is done.
_COMMITTED = b"Z\x00\x00\x00\x05I"
_WRITES = b"INSERT INTO touchpoints"
_CHUNK = 65536


class Proxy:
    """`share` of the commits are cut, until there were `cuts`."""

    def __init__(self, upstream: Path, chance: random.Random, *, cuts: int, share: float = 0.5) -> None:
        self._upstream = upstream / SOCKET_NAME
        self._chance = chance
        self._cuts = cuts
        self._share = share
        self.made: Counter[str] = Counter()
        self.finished = asyncio.Event()
        # How long each message waits, in seconds; None: not at all.
        self.delay: Callable[[], float] | None = None
        self._transports: set[asyncio.WriteTransport] = set()

    def cut_all(self) -> None:
        """Cut every connection at once, whatever is under way; new ones may come."""
        for transport in list(self._transports):
            transport.abort()

    async def wait(self) -> None:
        """As long as the way is slow now."""
        if self.delay is not None:
            await asyncio.sleep(self.delay())

    @asynccontextmanager
    async def listening(self, directory: Path) -> AsyncIterator[None]:
        """Stand in for the server in `directory`."""
        server = await asyncio.start_unix_server(self._serve, directory / SOCKET_NAME)
        try:
            yield
        finally:
            server.close()
            (directory / SOCKET_NAME).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            try:
                upstream_reader, upstream_writer = await asyncio.open_unix_connection(self._upstream)
            except OSError:
                # Nobody is there: the client is to hear of it now, and not when it has waited long enough.
                writer.transport.abort()
                raise
            link = _Link(upstream_reader, writer, self.wait)
            ends = {upstream_writer.transport, writer.transport}
            self._transports |= ends
            answers = asyncio.ensure_future(link.pump())
            try:
                await self._requests(reader, upstream_writer, link)
            finally:
                answers.cancel()
                self._transports -= ends
                # At once: what has not been passed on never will be.
                upstream_writer.transport.abort()
                writer.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, link: "_Link"
    ) -> None:
        """Pass the client's messages on, up to the COMMIT at which this connection is cut."""
        await _pass_start(reader, upstream)
        said = _Said()
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(int.from_bytes(head[1:]) - 4)
            await self.wait()
            kind = self._cut() if said.commits(head[:1], body) else None
            if kind is not None:
                link.withhold = True
            if kind != COMMIT_LOST:
                upstream.write(head + body)
                await upstream.drain()
            if kind == ANSWER_LOST:
                await _first(link.committed.wait(), reader.read(1))
            if kind is not None:
                return

    def _cut(self) -> str | None:
        if self.made.total() >= self._cuts or self._chance.random() >= self._share:
            return None
        (kind,) = self._chance.choices(list(KINDS), list(KINDS.values()))
        self.made[kind] += 1
        if self.made.total() == self._cuts:
            self.finished.set()
        return kind


class _Said:
    """What a client has said so far, as far as it tells which of its messages commits."""

    def __init__(self) -> None:
        self._in_transaction = False
        self._writing_statements: set[bytes] = set()
        self._writing = False

    def commits(self, kind: bytes, body: bytes) -> bool:
        if kind == b"Q":
            self._in_transaction = self._goes_on(body)
            return body.startswith(b"COMMIT")
        if kind == b"P":
            name, query, _ = body.split(b"\0", 2)
            # The unnamed statement is another one each time.
            self._writing_statements.discard(name)
            if _WRITES in query:
                self._writing_statements.add(name)
        elif kind == b"B":
            _portal, name, _ = body.split(b"\0", 2)
            self._writing = name in self._writing_statements
        elif kind == b"S":
            committing, self._writing = self._writing and not self._in_transaction, False
            return committing
        return False

    def _goes_on(self, query: bytes) -> bool:
        """Whether a transaction is open behind this simple query: savepoints come and go within one."""
        if query.startswith(b"ROLLBACK TO"):
            return self._in_transaction
        if query.startswith((b"COMMIT", b"ROLLBACK")):
            return False
        return self._in_transaction or query.startswith(b"BEGIN")


class _Link:
    """The way back, from the server to the client. `withhold`: swallow what comes, and tell when it is a COMMIT."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        wait: Callable[[], Awaitable[None]],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._wait = wait
        self.withhold = False
        self.committed = asyncio.Event()

    async def pump(self) -> None:
        swallowed = b""
        with suppress(OSError):
            while chunk := await self._reader.read(_CHUNK):
                if self.withhold:
                    swallowed += chunk
                    if _COMMITTED in swallowed:
                        self.committed.set()
                else:
                    await self._wait()
                    self._writer.write(chunk)
                    await self._writer.drain()
        # The server has gone: nobody need wait for it, and the client is to notice.
        self.committed.set()
        self._writer.close()


async def _first(*events: Awaitable[object]) -> None:
    """Until one of them has come: the server has answered, or the client waits no longer and its locks are to go."""
    waiting = [asyncio.ensure_future(event) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _pass_start(reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
    """The messages before the first one with a type: requests for encryption, then the start-up itself."""
    while True:
        head = await reader.readexactly(8)
        size, code = int.from_bytes(head[:4]), int.from_bytes(head[4:])
        upstream.write(head + await reader.readexactly(size - 8))
        await upstream.drain()
        if code >> 16 == _PROTOCOL_3:
            return
