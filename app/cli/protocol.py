"""HTTP/1.1 connections with bounds: how many there may be, and how long a client may take to send a request.

uvicorn waits for ever for a client that sends a byte a minute, and answers what it refuses itself with plain text.
Refusals here are problem documents like all others. They are sent from the parser, before there is any request: no
middleware sees them, so each is a line in the log instead.
"""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.lean import WHOLE
from app.api.problem_document import MEDIA_TYPE, document

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

log = structlog.get_logger(__name__)

HEAD_LIMIT_BYTES = 64 * 1024
"""Request line and headers, with trailers: the parser would collect them for as long as they come."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Connections of one process, and seconds from a request's first byte (or the connection) to its last."""

    max_connections: int
    request_timeout_seconds: float


class BoundedConfig(uvicorn.Config):
    """uvicorn's configuration and our bounds; it travels to worker processes as a whole."""

    def __init__(self, app: "FastAPI | Callable[[], FastAPI]", bounds: Bounds, **options: Any) -> None:
        super().__init__(app, http=BoundedProtocol, **options)
        self.bounds = bounds


class _Joined:
    """A transport that sends the head of an answer and its body as one.

    uvicorn writes them apart, and each costs a call of the operating system. What nothing follows goes out before the
    loop turns to anything else.
    """

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        """Send, at the latest when the loop's turn is over."""
        if self._held:
            data, self._held = self._held + data, b""
            self._transport.write(data)
        elif data:
            self._held = data
            self._loop.call_soon(self._flush)

    def write_whole(self, data: bytes) -> None:
        """Send now, behind what is held."""
        if self._held:
            data, self._held = self._held + data, b""
        self._transport.write(data)

    def close(self) -> None:
        """Close once everything is sent."""
        self._flush()
        self._transport.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand over to another protocol."""
        self._flush()
        self._transport.set_protocol(protocol)

    def _flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: uvicorn.Config, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        if not isinstance(config, BoundedConfig):
            raise TypeError("BoundedProtocol needs a BoundedConfig")
        self._bounds = config.bounds
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes: int | None = 0
        """Of the head that is being read; None while it is a body."""
        self._head_ended = False
        self._trailer_bytes = 0
        self._is_begun = False
        """Whether a request has begun and not come whole."""
        self._idle: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        # One for all requests of the connection.
        self._extensions: dict[str, Any] = {WHOLE: self._send_whole}

    def data_received(self, data: bytes) -> None:
        """More of a request."""
        in_head, self._head_ended = self._head_bytes is not None, False
        super().data_received(data)
        if self._is_begun and self._deadline is None:
            # Most requests come whole, and need no timer.
            self._expect_request()
        # Where a head ended in these bytes, most of them may be a body, and that may be whole too.
        if in_head and not self._head_ended:
            self._count_head(len(data))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_bytes, self._head_ended = None, True
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; behind the head it is a trailer, which nobody here reads."""
        if self._head_bytes is None:
            self._trailer_bytes += len(name) + len(value)
            if self._trailer_bytes > HEAD_LIMIT_BYTES:
                self._refuse_head()
            return
        super().on_header(name, value)

    def _count_head(self, more: int) -> None:
        self._head_bytes = (self._head_bytes or 0) + more
        if self._head_bytes > HEAD_LIMIT_BYTES:
            self._refuse_head()

    def _refuse_head(self) -> None:
        self._refuse(431, "headers_too_large", f"Headers may have {HEAD_LIMIT_BYTES} bytes together.")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A client connected."""
        super().connection_made(transport)
        self._joined = _Joined(transport, self.loop)
        self.transport = self._joined  # type: ignore[assignment]  # all that uvicorn asks of it
        if len(self.connections) > self._bounds.max_connections:
            self._refuse(503, "too_many_connections", "Too many connections are open. Try again shortly.")
        else:
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or we closed."""
        self._stop_waiting()
        # An answer that comes after all goes uvicorn's own way, and nothing holds the connection in a circle.
        self._extensions.clear()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._head_bytes, self._trailer_bytes = 0, 0
        super().on_message_begin()
        self._is_begun = True
        self.scope["extensions"] = self._extensions

    def on_message_complete(self) -> None:
        """Its last byte."""
        self._head_bytes = 0
        self._stop_waiting()
        super().on_message_complete()

    def _send_whole(self, scope: Any, status: int, head: bytes, body: bytes) -> bool:
        """The extension WHOLE: an answer whose header lines and body are known, in one write.

        False, and nothing is sent, where uvicorn's own `cycle.send` has to look closer: a request behind which another
        one was sent already, or a client that is slow to read. Does what that does for the rest.
        """
        cycle = self.cycle
        if cycle.scope is not scope or cycle.response_started or self.flow.write_paused:
            return False
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        parts = [STATUS_LINE[status]]
        for name, value in cycle.default_headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (head, b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        if scope["method"] != "HEAD":
            parts.append(body)
        self._joined.write_whole(b"".join(parts))
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def on_response_complete(self) -> None:
        """An answer has gone out.

        As uvicorn's own, but for the timer of idle connections: that one starts a new one after each answer and cancels
        it at the next request, this one stays and looks at the time when it is over.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._close_idle)

    def _close_idle(self) -> None:
        self._idle = None
        if self._is_begun or not self.cycle.response_complete:
            return  # its answer starts the timer again
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle = self.loop.call_later(left, self._close_idle)
        else:
            self.timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for bytes that are not HTTP."""
        del msg  # says no more than this
        self._refuse(400, "malformed_http", "This is not a valid HTTP request.")

    def _expect_request(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._bounds.request_timeout_seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        self._is_begun = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self._is_answering():
            self._expect_request()  # what is late stands in the queue behind it
            return
        seconds = self._bounds.request_timeout_seconds
        self._refuse(408, "request_timeout", f"The request was not sent whole within {seconds:g} seconds.")

    def _is_answering(self) -> bool:
        """Whether a request has come whole, and its answer has not gone out whole."""
        return self._has_cycle() and not self.cycle.more_body and not self.cycle.response_complete

    def _has_cycle(self) -> bool:
        # uvicorn types it as always there; before the first request there is none.
        return self.cycle is not None

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Say why, and close. A request that is being read learns of it as of a client that left."""
        if self.transport.is_closing():
            return
        self._stop_waiting()
        log.warning("connection_refused", status=status, code=code)
        # Nothing is said into an answer, nor after one that came before its request was whole.
        if not self._has_cycle() or self.cycle.more_body != self.cycle.response_started:
            body = json.dumps(document(status, code, detail), separators=(",", ":"))
            retry = "Retry-After: 1\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
            self.transport.write(
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n"
                f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n{body}".encode("ascii")
            )
        self.transport.close()
