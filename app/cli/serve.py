"""`rapport serve`: a database that runs and is migrated, a key on the first start, and uvicorn in front of it."""

import math
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EADDRINUSE
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import uvicorn
from rich.console import Console
from rich.panel import Panel
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.cli import environment, preloading
from app.cli.failure import Failure
from app.cli.keys import create_first_admin_key
from app.cli.migrate import bring_up_to_date
from app.cli.protocol import BoundedConfig, Bounds
from app.settings import Settings
from app.storage.database import sqlstate

if TYPE_CHECKING:
    from fastapi import FastAPI

BACKLOG = 2048
# Longer than load balancers keep an idle connection (60 s is usual): whoever closes first must not be us, or a request
# that is just being sent meets a closed door.
KEEP_ALIVE_SECONDS = 75
# How long a worker may take to say that it lives; importing the service on a busy small machine takes seconds.
WORKER_ANSWER_SECONDS = 30
# A supervisor that was killed leaves workers, which notice and let go of the port within moments.
PORT_PATIENCE_SECONDS = 5.0
PORT_RETRY_SECONDS = 0.2
HIGHEST_PORT = 65535
# A recovery takes seconds, and hours when it follows a base backup: then somebody is watching it anyway.
RECOVERY_PATIENCE_SECONDS = 30.0
RECOVERY_RETRY_SECONDS = 0.1
CANNOT_CONNECT_NOW = "57P03"


def serve(host: str, port: int, workers: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises Failure for whatever keeps the service from starting."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    settings = environment.load_settings()
    # The port comes first: when it is taken, nothing has been started yet.
    with _bound(host, port) as listener, environment.database(settings) as urls:
        if not environment.leads_to_pooler(settings):
            _when_it_recovered(urls.owner)
        settings = settings.model_copy(update={"database_url": urls.app})
        key = create_first_admin_key(settings)
        _listen(listener, host)
        _announce(listener, key)
        _run(listener, settings, workers)


def _when_it_recovered(owner_url: str) -> None:
    """Migrate. A server that is replaying its log after a crash will take connections in a moment: it is waited for."""
    deadline = time.monotonic() + RECOVERY_PATIENCE_SECONDS
    while True:
        try:
            bring_up_to_date(owner_url)
        except Failure as failure:
            cause = failure.__cause__
            if cause is None or sqlstate(cause) != CANNOT_CONNECT_NOW or time.monotonic() >= deadline:
                raise
            time.sleep(RECOVERY_RETRY_SECONDS)
        else:
            return


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    """A signal before the service runs: leave through every `finally`, which stops the embedded server."""
    raise SystemExit(0)


# --- the port -------------------------------------------------------------------------------------------------------


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Failure(f"--host {host}: {error.strerror}") from error
    # `localhost` is two addresses, and what calls it from this machine usually says 127.0.0.1.
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(listener, address, host, port)
        yield listener


def _bind(listener: socket.socket, address: tuple[object, ...], host: str, port: int) -> None:
    deadline = time.monotonic() + PORT_PATIENCE_SECONDS
    while True:
        try:
            listener.bind(address)
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise Failure(f"cannot listen on {host} port {port}: {error.strerror}") from error
            if time.monotonic() >= deadline:
                raise _port_taken(host, port) from error
            time.sleep(PORT_RETRY_SECONDS)
        else:
            return


def _listen(listener: socket.socket, host: str) -> None:
    """Let clients queue from now on, so that what is announced can be connected to."""
    try:
        listener.listen(BACKLOG)
    except OSError as error:  # two that started together were both bound
        raise _port_taken(host, listener.getsockname()[1]) from error


def _port_taken(host: str, port: int) -> Failure:
    other = port + 1 if port < HIGHEST_PORT else port - 1
    return Failure(
        f"port {port} on {host} is in use: stop what uses it, or take another one with --port {other}"
    )


# --- what the terminal shows -----------------------------------------------------------------------------------------


def _announce(listener: socket.socket, key: str | None) -> None:
    host, port = listener.getsockname()[:2]
    # What every address is bound to is reached by this one.
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - compared, not bound
    docs = f"http://{shown}:{port}/docs"
    # Wide enough for a key on one line: a terminal that wraps it breaks copying.
    console = Console(highlight=False, width=max(Console().width, 72))
    if key is None:
        console.print(f"Rapport: {docs}")
        return
    console.print(
        Panel.fit(
            f"Open       [bold]{docs}[/bold]\nAdmin key  [bold green]{key}[/bold green]\n\n"
            "The key is shown this once; only its hash is stored.",
            title="Rapport is starting for the first time",
            title_align="left",
        )
    )
    # Below the panel, whose border would be copied with it, and in one line however narrow the terminal is.
    command = f"{_command()} demo --url http://{shown}:{port} --key {key}"
    console.print(
        f"A small shop to look at, from a second terminal:\n{command}", markup=False, soft_wrap=True
    )


def _command() -> str:
    """How this process was started, so that it can be typed again in the same folder."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {__package__}"
    # A shell looks up a bare name on its PATH, and this file may not be there.
    return shlex.quote(sys.argv[0]) if len(started.parts) > 1 and os.access(started, os.X_OK) else "rapport"


# --- uvicorn --------------------------------------------------------------------------------------------------------


def _run(listener: socket.socket, settings: Settings, workers: int) -> None:
    # From here on uvicorn hears the signals, and raises them again once it has drained: then there is nothing left
    # to do but to leave this function.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: None)
    if workers == 1:
        from app.cli import process  # noqa: PLC0415 - the service itself: a supervisor has no use for it

        _run_here(uvicorn.Server(_configuration(process.application(settings), settings)), listener)
    else:
        preloading.fork_workers()
        worker = preloading.worker_of(settings)
        _supervise(Multiprocess(_configuration(worker, settings, workers), [listener]))


def _configuration(
    app: "FastAPI | Callable[[], FastAPI]", settings: Settings, workers: int = 1
) -> uvicorn.Config:
    return BoundedConfig(
        app,
        bounds=Bounds(settings.max_connections, settings.request_timeout_seconds),
        factory=workers > 1,
        workers=workers,
        loop="uvloop",
        ws="none",
        lifespan="on",
        access_log=False,
        # Nothing here asks who is on the other end of a connection.
        proxy_headers=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
        timeout_worker_healthcheck=WORKER_ANSWER_SECONDS,
    )


def _run_here(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        server.run([listener])
    except SystemExit as error:  # uvicorn's way to say that the application did not start
        raise Failure("the service did not start: the log above says why") from error


def _supervise(supervisor: Multiprocess) -> None:
    """Run the workers. uvicorn replaces one that dies, and gives up when one cannot even start."""
    supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise Failure("a worker did not start: the log above says why")
