"""The processes under test: started on free ports of 127.0.0.1, watched, and always stopped by their own number."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOG_TAIL_BYTES = 3000


@dataclass(frozen=True, slots=True)
class Running:
    name: str
    port: int
    pid: int


def serve_app(app: FastAPI, port: int) -> None:
    """Serve a yardstick with the service's own server settings: uvloop, httptools, no access log, one process."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)  # noqa: S101 - narrows what socket types as Any
    return port


@contextmanager
def running(module: str, *arguments: str, logs: Path, environment: Mapping[str, str]) -> Iterator[Running]:
    """`python -m module ... --port PORT` while the block lasts.

    RuntimeError, with the last words of its log, when it does not start or has ended before the block has.
    """
    port = free_port()
    name = module.rpartition(".")[2]
    log = logs / f"{name}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, "--port", str(port)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _await_answer(process, port, log)
            yield Running(name, port, process.pid)
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended by itself ({process.returncode}): {_tail(log)}")
        finally:
            _stop(process)


def resident_mb(pid: int) -> float:
    """Resident memory of one process in MB (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        kib = line.split()[1]
    else:
        ps = ["/bin/ps", "-o", "rss=", "-p", str(pid)]
        kib = subprocess.run(ps, check=True, capture_output=True, text=True).stdout
    return int(kib) * 1024 / 1e6


def _await_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until any answer comes: a port that listens may belong to a service that is still starting."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"{log.stem} did not start ({process.returncode}): {_tail(log)}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                if client.recv(1):
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"{log.stem} does not answer: {_tail(log)}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
