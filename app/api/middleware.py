"""The one middleware: trace, metrics, the access line, security headers, and the last word on unexpected errors.

Pure ASGI, because it is paid by every request (about 12 us).
"""

import os
import random
import re
import time
from collections.abc import Iterable
from typing import Any, Final

from starlette.datastructures import State
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import logs, rates
from app.api.addresses import Proxies
from app.api.bodies import check_url
from app.api.lean import WHOLE, Express
from app.api.logs import Trace
from app.api.metrics import Metrics
from app.api.openapi import DocumentedApp
from app.api.problems import answer
from app.api.templates import template

_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
CLIENT_GONE: Final = 499
"""Logged for a request whose client left before the answer; it is never sent."""

# Names a request and keeps no secret: the operating system need not be asked each time.
_chance: Final = random.Random(os.urandom(32))  # noqa: S311 - see above

_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?"
)

_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NO_STORE: Final = (b"cache-control", b"no-store")
_NO_CONTENT: Final = (
    b"content-security-policy",
    b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
_EXPOSED: Final = b"Retry-After, RateLimit, RateLimit-Policy, traceparent"
_SPECIAL: Final = frozenset((_NO_STORE[0], _NO_CONTENT[0]))
"""What an answer may say for itself, so that the frame does not."""


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([part for name, value in headers for part in (name, b": ", value, b"\r\n")])


_USUAL_LINES: Final = _lines((*_SECURITY, _NO_STORE, _NO_CONTENT))


class Kept(State):
    """What the application keeps for all requests, as plain attributes.

    Each request reads ten of them, and Starlette's State looks each up in a function of its own.
    """

    def __init__(self) -> None:
        super().__init__(vars(self))

    def __setattr__(self, key: str, value: Any) -> None:
        object.__setattr__(self, key, value)


class FramedApp(DocumentedApp):
    """The application inside our frame, and the lean routes before everything else that it is made of.

    `pattern` has the routes and their document. FastAPI's own layers (last-resort errors, telemetry, body limit) wrap
    each request and each message of its answer; the frame does what the lean routes need of them.
    """

    def __init__(
        self,
        metrics: Metrics,
        proxies: Proxies,
        pattern: DocumentedApp,
        *,
        hsts_seconds: int,
        is_tls: bool,
        **options: Any,
    ) -> None:
        super().__init__(routes=list(pattern.routes), **options)
        self.state = Kept()
        self._pattern = pattern
        self._metrics = metrics
        self._proxies = proxies
        self._hsts = hsts_seconds
        self._is_tls = is_tls

    def openapi(self) -> dict[str, Any]:
        """The document of the pattern; nobody changes it."""
        return self._pattern.openapi()

    def build_middleware_stack(self) -> ASGIApp:
        """What a request goes through; made once."""
        stack = super().build_middleware_stack()
        # It would answer what nobody foresaw with plain text, before the frame could with a problem document.
        if isinstance(stack, ServerErrorMiddleware):
            stack = stack.app
        return Frame(
            Express(stack), self._metrics, self._proxies, hsts_seconds=self._hsts, is_tls=self._is_tls
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or a lifespan."""
        if scope["type"] != "http" or self.middleware_stack is None or self.root_path:
            await super().__call__(scope, receive, send)
            return
        # All that FastAPI and Starlette do first for an application like this one.
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)


class Frame:
    """Wraps the application; see the module.

    `is_tls`: everybody speaks TLS, whatever the connection says; `hsts_seconds`: for how long a browser that did is to
    insist on it, 0 for never.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, proxies: Proxies, *, hsts_seconds: int, is_tls: bool
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._proxies = proxies
        self._hsts = (
            (b"strict-transport-security", f"max-age={hsts_seconds}".encode()) if hsts_seconds else None
        )
        self._is_tls = is_tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, trace = time.perf_counter(), _trace(scope["headers"])
        hsts = self._hsts
        if hsts is not None and not (self._is_tls or self._proxies.spoke_tls(scope)):
            hsts = None
        framed = _Framed(scope, send, trace, hsts)
        token = logs.begin(trace)
        try:
            check_url(scope)
            await self._app(scope, receive, framed)
        except ClientDisconnect:
            framed.status = CLIENT_GONE
        except Exception as error:  # noqa: BLE001 - the one place that answers for whatever is left
            response = answer(error)
            if (
                framed.status
            ):  # half an answer is out: only closing the connection tells the client that it is not whole
                raise ConnectionAbortedError("an answer broke off") from None
            await response(scope, receive, framed)
        finally:
            self._note(scope, trace, framed.status or CLIENT_GONE, time.perf_counter() - began)
            logs.end(token)

    def _note(self, scope: Scope, trace: Trace, status: int, seconds: float) -> None:
        route = template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.request(route, method, status, seconds)
        logs.access(trace, method, route, status, seconds)


class _Framed:
    """Sends one answer with what the frame adds to it. `status` is 0 until it begins."""

    __slots__ = ("_hsts", "_scope", "_send", "_trace", "status")

    def __init__(self, scope: Scope, send: Send, trace: Trace, hsts: tuple[bytes, bytes] | None) -> None:
        self._scope = scope
        self._send = send
        self._trace = trace
        self._hsts = hsts
        self.status = 0

    async def __call__(self, message: Message) -> None:
        """Send a part of it, as ASGI has it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = _headers(message["headers"], self._trace)
            if self._hsts is not None:
                headers.append(self._hsts)
            message["headers"] = headers
        await self._send(message)

    def whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send all of it at once if the server can (app/cli/protocol.py); False: nothing was sent.

        What most answers add is put together once. `headers` are in lower case.
        """
        extensions = self._scope.get("extensions")
        send = None if extensions is None else extensions.get(WHOLE)
        trace = self._trace
        if send is None or trace.allow_origin is not None or any(name in _SPECIAL for name, _ in headers):
            return False
        if trace.standing is not None:
            headers = [*headers, *rates.headers(trace.standing)]
        if self._hsts is not None:
            headers = [*headers, self._hsts]
        lines = _lines(headers)
        if lines.count(b"\n") != len(headers):
            raise ValueError("a header has more than one line")
        parent = f"traceparent: 00-{trace.trace_id}-{trace.span_id}-{trace.flags}\r\n".encode()
        if not send(self._scope, status, b"".join((lines, _USUAL_LINES, parent)), body):
            return False
        self.status = status
        return True


def _trace(headers: Iterable[tuple[bytes, bytes]]) -> Trace:
    """The caller's trace (W3C Trace Context) with a span of ours, or a new one when none or a broken one came."""
    ours = f"{_chance.getrandbits(192):048x}"
    for name, value in headers:
        if name == b"traceparent":
            match = _TRACEPARENT.fullmatch(value)
            if match is not None:
                return Trace(match[1].decode(), ours[32:], match[2].decode())
    return Trace(ours[:32], ours[32:], "00")


def _headers(headers: Iterable[tuple[bytes, bytes]], trace: Trace) -> list[tuple[bytes, bytes]]:
    framed = [
        *headers,
        *_SECURITY,
        (b"traceparent", f"00-{trace.trace_id}-{trace.span_id}-{trace.flags}".encode()),
    ]
    has_cache, has_policy = False, False
    for name, _ in headers:
        if name == b"cache-control":
            has_cache = True
        elif name == b"content-security-policy":
            has_policy = True
    if not has_cache:
        framed.append(_NO_STORE)  # most answers are about a person
    if not has_policy:
        framed.append(_NO_CONTENT)  # whoever opens one in a browser sees text
    if trace.standing is not None:
        framed += rates.headers(trace.standing)
    if trace.allow_origin is not None:
        framed += (
            (b"access-control-allow-origin", trace.allow_origin.encode("latin-1")),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        )
    return framed
