"""Worker processes are forked from one that has imported the service: they answer in moments, not in seconds.

Nothing that the service needs is imported here. Whoever serves with several workers calls `preload` first, and what is
imported is imported there, while this process looks after the database.
"""

import multiprocessing
from functools import partial
from multiprocessing import forkserver
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from app.settings import Settings


def preload() -> None:
    """Begin to import the service in a process of its own, which ends with this one and is started again if it dies."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["app.cli.process"])
    forkserver.ensure_running()


def fork_workers() -> None:
    """Let uvicorn's supervisor take its workers from there, and see their end at once (worker_process.py).

    By itself it would start each as a new interpreter.
    """
    from uvicorn import _subprocess  # noqa: PLC0415 - not before it is known that there are workers
    from uvicorn.supervisors import multiprocess  # noqa: PLC0415 - as above

    from app.cli.worker_process import WorkerProcess  # noqa: PLC0415 - as above

    # uvicorn has no options for these; the lock file holds its version, and tests look at how workers are made and die.
    multiprocess.Process = WorkerProcess  # type: ignore[misc]  # the same interface
    _subprocess.spawn = multiprocessing.get_context("forkserver")  # type: ignore[assignment]  # the same interface


def worker_of(settings: "Settings") -> "Callable[[], FastAPI]":
    """What makes the application of a worker. It travels to that process, with the settings as they were checked."""
    return partial(_worker, settings)


def _worker(settings: "Settings") -> "FastAPI":
    from app.cli import process  # noqa: PLC0415 - the service itself: a supervisor has no use for it

    return process.worker(settings)
