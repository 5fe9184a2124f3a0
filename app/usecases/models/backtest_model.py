"""How well a version would have predicted the shop's own customers, and whether that lets it through the gate.

The work is that of `app.fitting`, which needs numpy and scipy: the extra `fit`. Without it everything else works. It
runs in a process of its own, for seconds, so that requests are answered meanwhile and its memory is given back.
"""

import asyncio
import os
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, time
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any, Final

from app.domain.health.model import Model
from app.domain.health.versions import Gate, read
from app.domain.problems import Unavailable
from app.domain.touchpoints import seconds
from app.storage import models
from app.storage.database import Database, driver
from app.storage.models import StoredModel
from app.usecases.models.propose_model import existing
from app.usecases.models.read_shop_log import ShopLog, read_shop_log
from app.usecases.record_audit import record_audit

FITTING: Final = "app.fitting.trial"
"""Imported only where it is needed: nothing that answers a request may load it."""

_NICENESS: Final = 10


async def backtest_model(
    database: Database,
    replica: Database,
    version: str,
    champion: Model,
    now: datetime,
    *,
    minor_per_major: int,
    horizon_days: int | None = None,
    by: str,
) -> StoredModel:
    """The model with its back-test on the shop's log; `horizon_days` is the model's own unless given.

    The log is read from `replica`, which may lag; everything else from `database`.

    Raises NotFound `model_not_found`, Unavailable `fitting_not_installed`.
    """
    async with database.hot_reading() as connection:
        model = await existing(connection, version)
    _check_installed()
    challenger = read(model.parameters)
    question = {
        "challenger": challenger,
        "champion": champion,
        "now": seconds(now),
        "horizon_days": round(challenger.horizon_days) if horizon_days is None else horizon_days,
        "value_unit_minor": minor_per_major,
        "learnt_until": learnt_until(model.origin.windows),
    }
    log = await read_shop_log(replica, now)
    report, gate = await _apart(log, question)
    report["notes"] += log.notes
    async with database.transaction() as session:
        connection = await driver(session)
        await models.save_backtest(connection, version, report, gate)
        before = {"gate": None if model.gate is None else model.gate.passed}
        after = {"gate": None if gate is None else gate.passed}
        await record_audit(connection, by, "model_tried", f"model:{version}", before, after, now)
        return await existing(connection, version)


def learnt_until(windows: Any) -> int | None:
    """The end (seconds since 1970) of the day up to which a fitted model has seen the log; None when nobody said."""
    told = windows.get("as_of") if isinstance(windows, dict) else None
    if not isinstance(told, str):
        return None
    try:
        day = date.fromisoformat(told)
    except ValueError:
        return None
    return int(datetime.combine(day, time.max, UTC).timestamp())


async def _apart(log: ShopLog, question: dict[str, Any]) -> tuple[dict[str, Any], Gate | None]:
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    try:
        work = asyncio.get_running_loop().run_in_executor(
            pool, _try, FITTING, log.columns, log.customers, question
        )
        report, passed, reasons = await work
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return report, None if passed is None else Gate(passed, reasons)


def _try(module: str, columns: Any, customers: int, question: dict[str, Any]) -> tuple[Any, bool | None, Any]:
    """In the other process, which whoever waits for an answer goes before."""
    os.nice(_NICENESS)
    trial = import_module(module)
    found = trial.trial_of_arrays(columns, customers, trial.Question(**question))
    return found.report, found.passed, found.reasons


def _check_installed() -> None:
    if any(find_spec(needed) is None for needed in (FITTING, "numpy", "scipy")):
        raise fitting_not_installed()


def fitting_not_installed() -> Unavailable:
    """Retrying does not help, so there is no time to retry after."""
    return Unavailable(
        "fitting_not_installed", "Back-tests need the extra `fit`: pip install 'rapport[fit]' on the server."
    )
