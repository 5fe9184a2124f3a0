"""Watches the whole suite for personal data and secrets where they must not be: logs, problems, metrics, headers.

Installed by tests/conftest.py for every test. The suite is full of seeds: e-mail addresses, phone numbers, API keys,
tokens and database passwords that tests send, store and look for. Whatever looks like one of these and comes out of the
logger, a problem document, the metrics or a header of an answer fails the test that was running.
"""

import re
import sys
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send

from app.api import logs, middleware

TELLING: Final = {
    "an e-mail address": re.compile(r"[\w.+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+"),
    "a phone number": re.compile(r"(?<![\w.:+-])(?:\+|%2B)[1-9]\d{6,14}(?![\d:.])"),
    "an API key": re.compile(r"rap_[sp]k_[0-9A-Za-z]{12,}"),
    "a token": re.compile(r"eyJ[\w-]{10,}\.[\w-]+\."),
    "a password": re.compile(r"://[^/\s:@]+:[^/\s@]+@"),
}

# Sentences of ours that explain a form by an example; nobody sent these.
OURS: Final = ("email:ada@example.com", "+4915112345678")


class Watch:
    """What was found so far."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def scan(self, where: str, text: str) -> None:
        """Look through what came out at one place."""
        for example in OURS:
            text = text.replace(example, "")
        for what, pattern in TELLING.items():
            match = pattern.search(text)
            if match is not None:
                self.found.append(f"{what} in {where}: {text[max(0, match.start() - 60) : match.end() + 20]}")

    def check(self) -> None:
        """Raises AssertionError for what was found since the last check."""
        found, self.found = self.found, []
        assert not found, found

    def install(self) -> None:
        """Stand behind the logger, and in front of every application."""
        logs.sys = _Sys(self)  # type: ignore[assignment, attr-defined]  # what of `sys` the module uses
        served = middleware.Frame.__call__

        async def watched(frame: middleware.Frame, scope: Scope, receive: Receive, send: Send) -> None:
            await served(frame, scope, receive, self._watching(scope, send))

        middleware.Frame.__call__ = watched  # type: ignore[assignment, method-assign]  # for the whole run

    def _watching(self, scope: Scope, send: Send) -> Send:
        is_told = scope.get("path") == "/metrics"

        async def watching(message: Message) -> None:
            nonlocal is_told
            if message["type"] == "http.response.start":
                for name, value in message["headers"]:
                    self.scan(f"the header {name.decode()}", value.decode("latin-1"))
                    is_told |= name == b"content-type" and b"problem" in value
            elif is_told and message["type"] == "http.response.body":
                self.scan(f"what {scope.get('method')} answered", message.get("body", b"").decode())
            await send(message)

        return watching


class _Sys:
    """The module `sys` for the logger, with a stderr that is looked through."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    @property
    def stderr(self) -> "_Sys":
        return self

    def write(self, text: str) -> int:
        self._watch.scan("a log line", text)
        return sys.stderr.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


WATCH: Final = Watch()
