"""`rapport worker`: sweeps of the bands in a process of their own, until somebody stops it."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import typer

from app.api import logs
from app.cli import environment
from app.settings import Settings
from app.usecases.fresh import keep_fresh
from app.usecases.models.active_model import ActiveModel
from app.usecases.sweep_bands import Swept, keep_sweeping, sweep_bands

PAUSE_SECONDS: Final = 30.0
"""When RAPPORT_SWEEP_SECONDS is 0, which is meant for the services beside."""


def work(*, once: bool) -> None:
    """Sweep the database of the settings. Raises Failure when it cannot be reached at the start."""
    settings = environment.load_settings()
    logs.configure(settings.log_level)
    with environment.database(settings) as urls:
        swept = environment.run(_work(urls.app, settings, once=once))
    if once:
        typer.echo(", ".join(f"{name}: {count}" for name, count in asdict(swept).items()))


async def _work(url: str, settings: Settings, *, once: bool) -> Swept:
    async with environment.opened(url) as database:
        model = ActiveModel(database)
        await model.refresh()
        # What waited for a worker is done first; and a database that is not there is said at once.
        swept = await sweep_bands(database, model.current, datetime.now(UTC))
        if not once:
            await _until_stopped(
                keep_sweeping(database, model, settings.sweep_seconds or PAUSE_SECONDS), keep_fresh([model])
            )
    return swept


async def _until_stopped(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it side by side until SIGTERM or SIGINT. What is half done then is rolled back, and stays due."""
    tasks = asyncio.gather(*work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, tasks.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await tasks
