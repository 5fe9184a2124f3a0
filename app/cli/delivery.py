"""Bodies to a Rapport over HTTP, in batches, until each is stored, known already, or refused for a reason."""

import asyncio
import gzip
import ipaddress
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import islice
from typing import Any, NoReturn, TypeVar

import httpx

from app.cli.failure import Failure
from app.domain import keys

# "Not now": overload, a database that is away, a proxy whose service is starting again.
AGAIN_LATER = frozenset({408, 429, 502, 503, 504})
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
# Longer than a fail-over, or a restart that recovers its database; after that somebody should look.
PATIENCE_SECONDS = 120.0
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
SAMPLES = 5

Item = TypeVar("Item")

REFUSED = {
    HTTPStatus.UNAUTHORIZED: "the service refused the key",
    HTTPStatus.FORBIDDEN: "the key may not do this",
}


@dataclass(slots=True)
class Tally:
    """What became of the bodies sent. `samples` are the first rejections: (body, code, detail)."""

    stored: int = 0
    duplicates: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[dict[str, Any], str, str]] = field(default_factory=list)

    @property
    def rejected(self) -> int:
        """Bodies the service refused for good."""
        return self.codes.total()

    def reject(self, body: dict[str, Any], code: str, detail: str) -> None:
        """Count one refused body."""
        self.codes[code] += 1
        if len(self.samples) < SAMPLES:
            self.samples.append((body, code, detail))


class Patience:
    """How long to wait before the next try, and when to stop trying."""

    def __init__(self, seconds: float) -> None:
        self._pause = FIRST_PAUSE_SECONDS
        self._deadline = time.monotonic() + seconds

    def next_pause(self, at_least: float = 0.0) -> float | None:
        """Seconds to wait, no less than the service asked for; None when patience is at its end."""
        # Spread, so that several senders do not come back as one.
        spread = self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        pause = max(spread, at_least)
        return pause if time.monotonic() + pause < self._deadline else None


def retry_after_seconds(header: str | None, now: datetime) -> float:
    """The Retry-After header, seconds or an HTTP date; 0 without one or with one that says nothing."""
    if header is None:
        return 0.0
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - now).total_seconds())
    except (ValueError, TypeError):
        return 0.0


class Service:
    """One Rapport as one key sees it."""

    def __init__(self, client: httpx.AsyncClient, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._client = client
        self._patience_seconds = patience_seconds
        self._answered = False

    async def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer, whatever it is, once the service is neither away nor busy.

        Raises Failure when it cannot be reached, stays away, or refuses the key.
        """
        patience = Patience(self._patience_seconds)
        while True:
            reason, wait = "", 0.0
            try:
                response = await self._client.request(method, path, **request)
            except httpx.TransportError as error:
                if not self._answered:
                    raise Failure(self._unreachable(error)) from error
                reason = type(error).__name__
            else:
                self._answered = True
                if response.status_code in REFUSED:
                    self.refuse(response)
                if response.status_code not in AGAIN_LATER:
                    return response
                reason = f"{response.status_code} {problem(response)[0]}"
                wait = retry_after_seconds(response.headers.get("Retry-After"), datetime.now(UTC))
            await self._pause(patience, wait, reason)

    async def post_batch(self, bodies: list[dict[str, Any]], tally: Tally) -> None:
        """Post `bodies` as touchpoints and count what became of each; those that met overload are sent again."""
        patience = Patience(self._patience_seconds)
        while bodies:
            lines = "\n".join(json.dumps(body, separators=(",", ":")) for body in bodies)
            response = await self.call(
                "POST",
                "/v1/touchpoints/batch",
                params={"results": "errors"},
                content=gzip.compress(lines.encode(), compresslevel=1),
                headers={"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
            )
            if response.status_code != HTTPStatus.OK:
                self.refuse(response)
            bodies = _count(response.json(), bodies, tally)
            if bodies:
                await self._pause(patience, 0.0, "overloaded")

    async def post(self, body: dict[str, Any], tally: Tally) -> None:
        """Post one touchpoint and count what became of it."""
        response = await self.call("POST", "/v1/touchpoints", json=body)
        if response.status_code == HTTPStatus.CREATED:
            tally.stored += 1
        elif response.status_code == HTTPStatus.OK:
            tally.duplicates += 1
        else:
            tally.reject(body, *problem(response))

    async def _pause(self, patience: Patience, at_least: float, reason: str) -> None:
        pause = patience.next_pause(at_least)
        if pause is None:
            raise Failure(
                f"{self._client.base_url} has not been able to take more for {self._patience_seconds:.0f} seconds "
                f"({reason}); what it took is safe: run the same command again to go on"
            )
        await asyncio.sleep(pause)

    def _unreachable(self, error: httpx.TransportError) -> str:
        return (
            f"cannot reach {self._client.base_url} ({str(error) or type(error).__name__}): "
            "is `rapport serve` running there? --url says where to look"
        )

    def refuse(self, response: httpx.Response) -> NoReturn:
        """End the command because of an answer that no further try would change."""
        code, detail = problem(response)
        status = response.status_code
        if status in REFUSED:
            raise Failure(f"{REFUSED[HTTPStatus(status)]} ({status} {code}): {detail}")
        where = f"{response.request.method} {response.request.url.path}"
        if status == HTTPStatus.NOT_FOUND and not code:
            raise Failure(f"no Rapport at {self._client.base_url}: {where} is not found there")
        raise Failure(f"{where} answered {status} {code}: {detail}")


def problem(response: httpx.Response) -> tuple[str, str]:
    """(code, detail) of a problem document; of anything else an empty code and the status in words."""
    try:
        problem = response.json()
        return str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return "", response.reason_phrase


def _count(answer: dict[str, Any], bodies: list[dict[str, Any]], tally: Tally) -> list[dict[str, Any]]:
    """Add the answer to a batch to the tally; returns the bodies that should be sent again."""
    again = []
    tally.stored += answer["stored"]
    tally.duplicates += answer["duplicates"]
    for result in answer["results"]:
        if result["status"] != "rejected":
            continue
        problem = result["problem"]
        body = bodies[result["index"]]
        if problem["status"] in AGAIN_LATER:
            again.append(body)
        else:
            tally.reject(body, problem["code"], problem["detail"])
    return again


@asynccontextmanager
async def service(url: str, key: str) -> AsyncIterator[Service]:
    """The Rapport at `url`. Connects to nothing yet; raises Failure for a URL or key that cannot be one."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise Failure(f"--url {url}: not a URL like http://127.0.0.1:8000")
    if not keys.is_well_formed(key):
        raise Failure("the key is malformed: a character is missing or mistyped")
    async with httpx.AsyncClient(
        base_url=parsed,
        headers={"Authorization": f"Bearer {key}"},
        timeout=TIMEOUT,
        # A proxy of the environment leads away from this machine.
        trust_env=not _is_loopback(parsed.host),
    ) as client:
        yield Service(client)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def deliver(
    to: Service,
    bodies: Iterable[dict[str, Any]],
    tally: Tally,
    *,
    batch: int,
    concurrency: int,
    advance: Callable[[int], None],
) -> None:
    """Send all bodies, `concurrency` batches of at most `batch` at a time, and no more of them in memory.

    `tally` is right at any moment, also after this raised. `advance` hears of every settled batch's size.
    """

    async def send(taken: list[dict[str, Any]]) -> None:
        size = len(taken)
        await to.post_batch(taken, tally)
        advance(size)

    await in_parallel(_batches(bodies, batch), send, concurrency)


async def in_parallel(
    items: Iterator[Item], work: Callable[[Item], Awaitable[None]], concurrency: int
) -> None:
    """Do `work` on each item, at most `concurrency` at a time. Raises what the first failing one raised."""

    # One iterator for all workers: each takes the next item when its last one is done.
    async def go_on() -> None:
        for item in items:
            await work(item)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(go_on())
    except ExceptionGroup as group:
        # One worker's failure cancels the others; usually all of them met the same.
        raise group.exceptions[0] from None


def _batches(bodies: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(bodies)
    while taken := list(islice(iterator, size)):
        yield taken
