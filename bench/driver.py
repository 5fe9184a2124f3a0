"""The load: an HTTP/1.1 keep-alive client that does nothing but send bytes, count and look at the clock.

One job per process: `python -m bench.driver` reads a Job as JSON from its standard input and writes a Result as JSON.
A general client would be the bottleneck: this one is a few lines per answer on uvloop (its own ceiling is measured
against bench/ceiling.py and reported). Each connection sends its next request when the answer to the last is complete.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from typing import cast

import uvloop

from bench import bodies

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
# A driver that gets no answers must end: the last answers may take this long after the measured time.
GRACE_SECONDS = 30.0
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Job:
    """What to send, over how many connections, for how long.

    Sends for `warm_seconds` that do not count, then for `seconds` that do; with `requests`, that many requests instead,
    all of them counted. `first` and `last` bound the customers, last included.
    """

    port: int
    shape: str  # single, batch, context or hold_capture
    connections: int
    prefix: str  # of the ids; no two jobs share one
    first: int
    last: int
    key: str
    seconds: float = 5.0
    warm_seconds: float = 0.5
    requests: int | None = None
    ahead: int = 20_000  # requests rendered before the clock starts; later ones cost their microseconds


@dataclass(frozen=True, slots=True)
class Result:
    """Rate in events (single posts, reads, items of batches, pairs) per second; latencies per request (or pair) in
    milliseconds.
    """

    rate: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    requests: int
    errors: int
    error: str | None
    driver_busy: float  # share of the measured time in which the driver's own process used a core


@dataclass(frozen=True, slots=True)
class Follow:
    """A second request that is made of the answer to the first, which must have this status: both are one event."""

    status: bytes
    request: Callable[[bytes], bytes]


@dataclass(slots=True)
class Tally:
    """What one run counts. Clock readings are perf_counter seconds."""

    requests: Iterator[bytes]
    status: bytes
    mark: bytes | None
    starts: float
    ends: float
    open: int
    done: asyncio.Future[None]
    follow: Follow | None = None
    latencies: list[float] = field(default_factory=list)
    last: float = 0.0
    errors: int = 0
    error: str | None = None

    def answer(self, sent: float, status: bytes, body: bytes) -> None:
        now = time.perf_counter()
        if status != self.status or (self.mark is not None and self.mark not in body):
            self.fail(f"{status.decode(errors='replace')} {body[:500].decode(errors='replace')}")
        elif self.starts <= now <= self.ends:
            self.latencies.append(now - sent)
            self.last = now

    def fail(self, error: str) -> None:
        self.errors += 1
        self.error = self.error or error

    def leave(self) -> None:
        self.open -= 1
        if self.open == 0 and not self.done.done():
            self.done.set_result(None)


class Connection(asyncio.Protocol):
    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.pending = b""
        self.sent = 0.0
        self.finished = False
        self.following = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)

    def send(self) -> None:
        self.sent = time.perf_counter()
        request = next(self.tally.requests, None) if self.sent < self.tally.ends else None
        if request is None:
            self.finished = True
            self.transport.close()
            self.tally.leave()
        else:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.pending:
            data = self.pending + data
        whole = answer_size(data)
        if whole is None or len(data) < whole:
            self.pending = data
            return
        self.pending = b""
        self.take(data[9:12], data[data.index(HEAD_END) + 4 : whole])

    def take(self, status: bytes, body: bytes) -> None:
        follow = self.tally.follow
        if follow is not None and not self.following and status == follow.status:
            self.following = True
            self.transport.write(follow.request(body))
            return
        self.following = False
        self.tally.answer(self.sent, status, body)
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.finished:
            self.finished = True
            self.tally.fail(f"connection lost: {exc!r} {self.pending[:200]!r}")
            self.tally.leave()


def answer_size(data: bytes) -> int | None:
    """Bytes of the answer that `data` begins with, None while its head is incomplete. ValueError without a length."""
    head = data.find(HEAD_END)
    if head < 0:
        return None
    lowered = data[:head].lower()
    at = lowered.find(LENGTH)
    if at < 0:
        raise ValueError(f"an answer without Content-Length: {data[:head]!r}")
    end = lowered.find(b"\r\n", at)
    return head + len(HEAD_END) + int(lowered[at + len(LENGTH) : end if end > 0 else head])


def percentile(ordered: list[float], percent: float) -> float:
    """The nearest-rank percentile of numbers in ascending order."""
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]


def run(job: Job) -> Result:
    """Do the job from a process of its own. Raises RuntimeError with the driver's words when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.driver"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the driver failed: {done.stderr.strip()[-2000:]}")
    result = Result(**json.loads(done.stdout))
    if result.errors:
        raise RuntimeError(f"{result.errors} errors in {job.shape} ({job.prefix}), the first: {result.error}")
    return result


def _requests(job: Job) -> Iterator[bytes]:
    customers = range(job.first, job.last + 1)
    match job.shape:
        case "single":
            endless = bodies.singles(customers, job.prefix, job.prefix, job.key)
        case "batch":
            endless = bodies.batches(customers, job.prefix, job.prefix, job.key)
        case "hold_capture":
            endless = bodies.holds(customers, job.prefix, job.prefix, job.key)
        case "context":
            endless = bodies.contexts(customers, job.prefix, job.key)
        case _:
            raise ValueError(f"unknown shape {job.shape}")
    if job.requests is not None:
        endless = islice(endless, job.requests)
    rendered = list(islice(endless, job.ahead))
    return chain(rendered, endless)


async def _drive(job: Job) -> Result:
    status, mark = (b"201", None) if job.shape == "single" else (b"200", None)
    if job.shape == "batch":
        mark = b'"rejected":0'
    follow = None
    if job.shape == "hold_capture":
        follow = Follow(b"201", lambda body: bodies.capture(body, job.key))
    loop = asyncio.get_running_loop()
    tally = Tally(_requests(job), status, mark, 0.0, 0.0, job.connections, loop.create_future(), follow)
    crowd = [
        (await loop.create_connection(lambda: Connection(tally), "127.0.0.1", job.port))[1]
        for _ in range(job.connections)
    ]
    begun = time.perf_counter()
    counted = job.requests is not None
    tally.starts = begun if counted else begun + job.warm_seconds
    tally.ends = float("inf") if counted else tally.starts + job.seconds
    for connection in crowd:
        connection.send()
    await asyncio.sleep(tally.starts - begun)
    busy = time.process_time()
    if counted:
        await tally.done
    else:
        await asyncio.sleep(tally.ends - time.perf_counter())
    busy = time.process_time() - busy
    async with asyncio.timeout(GRACE_SECONDS):
        await tally.done
    return _result(job, tally, busy)


def _result(job: Job, tally: Tally, busy: float) -> Result:
    ordered = sorted(latency * 1000 for latency in tally.latencies)
    seconds = tally.last - tally.starts if job.requests is not None else job.seconds
    events = len(ordered) * (bodies.BATCH_SIZE if job.shape == "batch" else 1)
    p50, p90, p99 = (percentile(ordered, percent) if ordered else 0.0 for percent in PERCENTILES)
    if not ordered:
        tally.fail("no answer within the measured time")
    return Result(
        rate=events / seconds if ordered else 0.0,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        requests=len(ordered),
        errors=tally.errors,
        error=tally.error,
        driver_busy=busy / seconds if ordered else 0.0,
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(uvloop.run(_drive(Job(**json.load(sys.stdin)))))))
