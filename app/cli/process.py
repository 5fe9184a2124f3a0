"""One process that answers requests: the only one, or one of the workers that a supervisor keeps.

Kept apart from serve.py so that a worker loads nothing that only the start of the service needs, and the supervisor
nothing that only workers need: both are waited for when a service is restarted.
"""

import gc
import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess

from fastapi import FastAPI

from app.cli.huge_pages import keep_collapsing
from app.main import create_app
from app.settings import Settings

GARBAGE_THRESHOLDS = (20_000, 20, 50)
ORPHAN_CHECK_SECONDS = 1.0


def worker(settings: Settings) -> FastAPI:
    """The application of one worker process, which ends with its supervisor, however that ended."""
    supervisor = parent_process()
    if supervisor is not None:
        threading.Thread(target=_follow, args=(supervisor, os.getppid()), daemon=True).start()
    return application(settings)


def application(settings: Settings) -> FastAPI:
    """The service, and a process that is set up for it."""
    app = create_app(settings)
    _calm_the_collector()
    if settings.huge_pages:
        keep_collapsing()
    return app


def _calm_the_collector() -> None:
    """Look for reference cycles less often, and never again among what the start has made.

    A group of 500 makes tens of thousands of objects that die with it. By default CPython would walk them, and now and
    then the whole heap, every 700: an eighth of the process' time (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def _follow(supervisor: BaseProcess, forked_by: int) -> None:
    # A supervisor that was killed says nothing to its workers: they would keep the port, and nobody would stop them.
    # When the process that forked them is killed, the supervisor takes them for dead and has others made.
    while supervisor.is_alive() and os.getppid() == forked_by:
        supervisor.join(ORPHAN_CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
