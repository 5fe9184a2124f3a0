"""The command line as its user has it: a process of its own, against a database of the test's own."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "app.cli")
START_SECONDS = 60

Environment = dict[str, str]
Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(slots=True)
class Serving:
    """A `rapport serve` that answers. `printed` is what it had written to standard output by then."""

    process: subprocess.Popen[str]
    url: str
    key: str | None
    printed: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def end(self, number: int) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


Serve = Callable[..., Serving]


def _environment(own: Environment) -> Environment:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
    return inherited | own | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}


@pytest.fixture
def on_database(database_url: str, owner_url: str) -> Environment:
    """Settings that name the test's own database."""
    return {"RAPPORT_DATABASE_URL": database_url, "RAPPORT_MIGRATION_URL": owner_url}


@pytest.fixture
def rapport(tmp_path: Path) -> Run:
    """Run a command to its end. Without `env` there is no database but an embedded one in the test's folder."""

    def run(*arguments: str, env: Environment | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=_environment({"RAPPORT_HOME": str(tmp_path)} | (env or {})),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start services; those that a test leaves running are killed after it."""
    running: list[Serving] = []

    def start(*options: str, env: Environment) -> Serving:
        serving = _start((*COMMAND, "serve", *options), _environment(env), tmp_path)
        running.append(serving)
        return serving

    yield start
    for serving in running:
        if serving.process.poll() is None:
            serving.process.kill()
            serving.process.wait()
        assert serving.process.stdout is not None
        serving.process.stdout.close()


def _start(command: tuple[str, ...], environment: Environment, folder: Path) -> Serving:
    with (folder / "serve.log").open("a") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        )
    printed = ""
    with _killed_after(process, START_SECONDS):
        assert process.stdout is not None
        for line in process.stdout:
            printed += line
            # The address is printed once it can be connected to; a first start ends with a command to try.
            if line.startswith("Rapport: ") or " demo --url " in line:
                break
    address = re.search(r"(http://\S+)/docs", printed)
    if address is None:
        process.communicate()
        pytest.fail(f"serve printed {printed!r}; {(folder / 'serve.log').read_text()}")
    key = re.search(r"rap_sk_\w+", printed)
    return Serving(process, address[1], key and key[0], printed)


@contextmanager
def _killed_after(process: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
