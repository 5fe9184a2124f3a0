"""`rapport worker`: sweeps of the bands, of complaints' clocks, surveys and loyalty in a process of their own."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import typer

from app.api import logs
from app.cli import environment
from app.settings import Settings
from app.usecases.complaints.watch_complaints import Watched, keep_watching, watch_complaints
from app.usecases.fresh import keep_fresh
from app.usecases.loyalty.keep_clock import keep_clock
from app.usecases.loyalty.referrals.settle_referrals import Settled, keep_settling, settle_referrals
from app.usecases.loyalty.remembered_programs import RememberedPrograms
from app.usecases.loyalty.run_clock import Clocked, run_clock
from app.usecases.models.active_model import ActiveModel
from app.usecases.models.watch_drift import PAUSE_SECONDS as DRIFT_SECONDS
from app.usecases.models.watch_drift import keep_watching_drift, watch_drift
from app.usecases.privacy.purge_log import keep_purging, purge_old
from app.usecases.surveys.keep_surveying import keep_surveying, survey_once
from app.usecases.surveys.signing import Signing
from app.usecases.surveys.sweep_surveys import SurveysSwept
from app.usecases.sweep_bands import Swept, keep_sweeping, sweep_bands

PAUSE_SECONDS: Final = 30.0
"""When RAPPORT_SWEEP_SECONDS is 0, which is meant for the services beside."""


def work(*, once: bool) -> None:
    """Sweep the database of the settings. Raises Failure when it cannot be reached at the start."""
    settings = environment.load_settings()
    logs.configure(settings.log_level)
    with environment.database(settings) as urls:
        done = environment.run(_work(urls.app, settings, once=once))
    if once and done is not None:
        told = [f"{name} {_said(asdict(part))}" for name, part in done._asdict().items()]
        typer.echo("\n".join(told).removeprefix("bands "))


class _Done(NamedTuple):
    """What one look at everything did."""

    bands: Swept
    complaints: Watched
    surveys: SurveysSwept
    referrals: Settled
    loyalty: Clocked


def _said(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


async def _work(url: str, settings: Settings, *, once: bool) -> _Done | None:
    """What the first sweeps did; None when the worker was stopped during them."""
    first = asyncio.ensure_future(_sweep(url, settings, once=once))
    if not once:
        _stop_by_signal(first)
    try:
        return await first
    except asyncio.CancelledError:
        if not first.cancelled():
            raise
        return None


def _stop_by_signal(work: "asyncio.Future[Any]") -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)


async def _sweep(url: str, settings: Settings, *, once: bool) -> _Done:
    async with environment.opened(url) as database:
        model = ActiveModel(database)
        await model.refresh()
        # What waited for a worker is done first; and a database that is not there is said at once.
        retention, texts_kept = settings.retention(), settings.text_retention()
        await purge_old(database, retention, texts_kept, datetime.now(UTC))
        watched = await watch_complaints(database, model.current, datetime.now(UTC))
        programs = RememberedPrograms(database)
        await programs.refresh()
        settled = await settle_referrals(database, programs.current, model.current, datetime.now(UTC))
        clocked = await run_clock(database, model.current, datetime.now(UTC))
        swept = await sweep_bands(database, model.current, datetime.now(UTC))
        pepper = settings.household_pepper
        signing = Signing(
            database, settings.signing_secrets(), None if pepper is None else pepper.get_secret_value()
        )
        surveyed = await survey_once(database, signing, datetime.now(UTC))
        if once:
            await watch_drift(database, model.current, datetime.now(UTC), idle_share=0)
        else:
            pause = settings.sweep_seconds or PAUSE_SECONDS
            purging = (
                [keep_purging(database, retention, pause, texts_kept=texts_kept)]
                if retention or texts_kept
                else []
            )
            await _until_stopped(
                *purging,
                keep_sweeping(database, model, pause),
                keep_watching(database, model, pause),
                keep_surveying(database, signing, pause),
                keep_settling(database, programs, model, pause),
                keep_clock(database, model, pause),
                keep_watching_drift(database, model, DRIFT_SECONDS),
                keep_fresh([model, programs]),
            )
    return _Done(swept, watched, surveyed, settled, clocked)


async def _until_stopped(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it side by side until SIGTERM or SIGINT. What is half done then is rolled back, and stays due."""
    tasks = asyncio.gather(*work)
    _stop_by_signal(tasks)
    with contextlib.suppress(asyncio.CancelledError):
        await tasks
