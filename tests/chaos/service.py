"""The service under attack: its processes, the ways to kill them, and whoever starts it again."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import psutil  # type: ignore[import-untyped]  # comes with the embedded server, without types

from app.domain import keys
from tests.chaos.postgres import Target

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 30.0
_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


class Service:
    """`rapport serve` on a port of its own; with a `mutant`, the same workers with one safety taken out."""

    def __init__(
        self,
        target: Target,
        log: Path,
        *,
        workers: int,
        mutant: str | None = None,
        settings: Mapping[str, str] = _NO_SETTINGS,
    ) -> None:
        self.port = _free_port()
        self.key = keys.new_key(publishable=False)
        self.log = log
        self._workers = workers
        self._target = target
        self._mutant = mutant
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            # A session of its own: one signal to its group reaches the supervisor, the workers and nobody else.
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _command(self) -> list[str]:
        options = [*("--host", "127.0.0.1"), *("--port", str(self.port)), *("--workers", str(self._workers))]
        if self._mutant is None:
            return [sys.executable, "-m", "app.cli", "serve", *options]
        kind = [*("--loop", "uvloop"), *("--http", "httptools"), *("--log-level", "warning")]
        return [sys.executable, "-m", "uvicorn", "--factory", "tests.chaos.mutants:worker", *options, *kind]

    def _environment(self) -> Mapping[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("RAPPORT_", "PG"))
        }
        return inherited | {
            "RAPPORT_DATABASE_URL": self._target.app_url,
            "RAPPORT_MIGRATION_URL": self._target.owner_url,
            "RAPPORT_ADMIN_KEY": self.key,
            "RAPPORT_LOG_LEVEL": "ERROR",
            "RAPPORT_CHAOS_MUTANT": self._mutant or "",
            **self._settings,
        }

    async def ready(self) -> None:
        """Wait until it takes connections and its workers answer."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError, EOFError, TimeoutError):
                if b" 200 " in await self._ask():
                    return
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service did not start: {self.last_words()}")
            await asyncio.sleep(0.05)

    async def _ask(self) -> bytes:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\n\r\n")
                return await reader.readline()
            finally:
                writer.close()

    async def keep_running(self) -> None:
        while True:
            if self._process is not None and self._process.poll() is not None:
                self.start()
            await asyncio.sleep(0.02)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    async def stop(self) -> None:
        """Gracefully, and by force when that takes too long."""
        with suppress(subprocess.TimeoutExpired):
            await self.end()
        await self.kill()  # also what a supervisor that was killed has left

    # --- killing ---

    async def end(self) -> None:
        """As an orderly stop: what is under way is answered first."""
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, STOP_SECONDS)

    async def kill(self) -> None:
        """All its processes at once, without a word."""
        process = self._process
        assert process is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.wait)

    async def kill_worker(self, chance: random.Random) -> None:
        """One worker, without a word; its supervisor starts another one."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if workers := self._worker_pids():
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(workers), signal.SIGKILL)
                    return
            await asyncio.sleep(0.02)
        raise TimeoutError("the service has no workers")

    def _worker_pids(self) -> list[int]:
        assert self._process is not None
        supervisor = self._process.pid
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(supervisor).children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # zombies are none either
                    started = " ".join(child.cmdline())
                    # uvicorn's own supervisor starts its workers itself, ours has them forked by a process between.
                    forked = "forkserver" in started and child.ppid() != supervisor
                    if forked or "spawn_main" in started:
                        found.append(child.pid)
        return sorted(found)


@asynccontextmanager
async def serving(
    target: Target,
    log: Path,
    *,
    workers: int = 2,
    mutant: str | None = None,
    settings: Mapping[str, str] = _NO_SETTINGS,
) -> AsyncIterator[Service]:
    """A service that answers, while the block lasts. `settings`: variables of its own."""
    service = Service(target, log, workers=workers, mutant=mutant, settings=settings)
    service.start()
    try:
        await service.ready()
        yield service
    finally:
        await service.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
