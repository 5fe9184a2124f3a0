"""Logs: one JSON object a line on stderr, for our own events and for those of the libraries alike.

A line carries the trace id of its request and the template of its route. It never carries a URL, a key, a body or the
text of an exception that happened while serving a request: each of them may name a person.
"""

import asyncio
import logging
import sys
import traceback
from collections.abc import MutableMapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from app.usecases.rate_limiter import Standing

_FRAMES = 25


@dataclass(slots=True)
class Trace:
    """One request, as logs, problems and the answer's headers speak of it.

    `key_id`, `allow_origin` and `standing` (against the key's rate) are filled in by whoever finds out, while the
    request is served.
    """

    trace_id: str
    span_id: str
    flags: str
    key_id: str | None = None
    allow_origin: str | None = None
    standing: Standing | None = None


_current: ContextVar[Trace | None] = ContextVar("rapport_trace", default=None)

_threshold = logging.INFO

NO_TRACE_ID: Final = "0" * 32
"""The trace id of what happens outside any request."""


def current_trace() -> Trace | None:
    """The request being served in this task, or None."""
    return _current.get()


def begin(trace: Trace) -> Token[Trace | None]:
    """Make `trace` the current one, until end()."""
    return _current.set(trace)


def end(token: Token[Trace | None]) -> None:
    """Back to what was current before begin()."""
    _current.reset(token)


def trace_id() -> str:
    """The current trace id: 32 hex digits, all 0 outside a request."""
    trace = _current.get()
    return NO_TRACE_ID if trace is None else trace.trace_id


# --- writing -------------------------------------------------------------------------------------------------------


def _add_trace(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    trace = _current.get()
    if trace is not None:
        event["trace_id"] = trace.trace_id
    return event


def _describe_exception(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Turn `exc_info` into text: where it was raised, and the messages only outside a request.

    `of_a_request` says so where the task does not: what serves many requests at once has the trace of none.
    """
    error = event.pop("exc_info", None)
    of_a_request = event.pop("of_a_request", _current.get() is not None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        # A library that complains later, as asyncio does of a lost task, may speak of a request too.
        is_ours = event.get("logger", "uvicorn.error") == "uvicorn.error"
        event["exception"] = describe(error, with_messages=is_ours and not of_a_request)
    return event


def _first_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Of what a library says: asyncio writes whole exceptions into the lines below."""
    event["event"] = str(event["event"]).partition("\n")[0]
    return event


def describe(error: BaseException, *, with_messages: bool) -> str:
    """The error's classes and frames, its causes first. Messages may repeat what a customer sent."""
    parts = []
    seen: BaseException | None = error
    while seen is not None:
        frames = "".join(traceback.format_tb(seen.__traceback__)[-_FRAMES:])
        said = f": {seen}" if with_messages else ""
        parts.append(f"{frames}{type(seen).__module__}.{type(seen).__qualname__}{said}")
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\nwhich led to\n".join(reversed(parts))


class _Stderr:
    """Writes to whatever sys.stderr is at the moment: test runners replace it."""

    def msg(self, message: str) -> None:
        sys.stderr.write(f"{message}\n")

    debug = info = warning = error = critical = exception = fatal = log = msg


def access(trace: Trace, method: str, route: str, status: int, seconds: float) -> None:
    """The line of one answered request.

    Written by hand: structlog takes 20 us for what takes 3 here, and no value of these can need escaping. `method` must
    be a known one, `route` a template of ours.
    """
    if _threshold > logging.INFO:
        return
    # Written with whatever else is answered before the loop comes round: requests that share a commit share the write.
    _answered.append((method, route, status, seconds, trace))
    if len(_answered) == 1:
        asyncio.get_running_loop().call_soon(_write_answered)


_answered: list[tuple[str, str, int, float, Trace]] = []


def _write_answered() -> None:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    lines = [
        f'{{"event": "request", "method": "{method}", "route": "{route}", "status": {status}, '
        f'"duration_ms": {seconds * 1000:.2f}, "key_id": {_quoted(trace.key_id)}, "trace_id": "{trace.trace_id}", '
        f'"level": "info", "time": "{now}"}}\n'
        for method, route, status, seconds, trace in _answered
    ]
    _answered.clear()
    sys.stderr.write("".join(lines))


def _quoted(key_id: str | None) -> str:
    return "null" if key_id is None else f'"{key_id}"'


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
        except Exception:  # noqa: BLE001 - logging's own rule: a line that cannot be written stops nobody
            self.handleError(record)


def configure(level: str) -> None:
    """Send everything, the libraries' lines too, through one renderer. Safe to call again."""
    global _threshold  # noqa: PLW0603 - logging is the process's own, like the loggers below
    _threshold = logging.getLevelNamesMapping()[level]
    shared: list[Any] = [
        _add_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _describe_exception,
    ]
    render = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Stderr(),
        cache_logger_on_first_use=True,
    )
    handler = _StderrHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _first_line, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if not isinstance(other, _StderrHandler)] + [handler]
    root.setLevel(max(_threshold, logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in ("httpx", "httpcore"):  # they tell the URL of each request they make
        logging.getLogger(name).setLevel(logging.WARNING)
    # One line a request is written by the middleware; uvicorn's would hold the URL.
    logging.getLogger("uvicorn.access").disabled = True
