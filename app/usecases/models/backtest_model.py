"""How well a version would have predicted the shop's own customers, and whether that lets it through the gate.

The work is that of `app.fitting`, which needs numpy and scipy: the extra `fit`. Without it everything else works.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any, Final, TypeAlias

from app.domain.health.model import Model
from app.domain.health.versions import Gate, read
from app.domain.problems import Unavailable
from app.storage import models
from app.storage.database import Database, driver
from app.storage.models import StoredModel
from app.usecases.models.propose_model import existing
from app.usecases.models.publish_model import check_readable

FITTING: Final = "app.fitting.shop"
"""Module with `async def backtest(database, challenger, champion, now, horizon_days) -> Backtest`."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """`report` is the JSON that is stored and shown; `gate` compares with the active model, None: too little data."""

    report: dict[str, Any]
    gate: Gate | None


Backtester: TypeAlias = Callable[[Database, Model, Model, datetime, int], Awaitable[Backtest]]


async def backtest_model(
    database: Database, version: str, champion: Model, now: datetime, *, horizon_days: int | None = None
) -> StoredModel:
    """The model with its back-test on the shop's log; `horizon_days` is the model's own unless given.

    Raises NotFound `model_not_found`, Conflict `state_schema_differs`, Unavailable `fitting_not_installed`.
    """
    async with database.hot_reading() as connection:
        model = await existing(connection, version)
    check_readable(model)
    backtest = _backtester()
    challenger = read(model.parameters)
    horizon = int(challenger.horizon_days) if horizon_days is None else horizon_days
    found = await backtest(database, challenger, champion, now, horizon)
    async with database.transaction() as session:
        connection = await driver(session)
        await models.save_backtest(connection, version, found.report, found.gate)
        return await existing(connection, version)


def _backtester() -> Backtester:
    try:
        module = import_module(FITTING)
    except ImportError:
        raise fitting_not_installed() from None
    backtester: Backtester = module.backtest
    return backtester


def fitting_not_installed() -> Unavailable:
    """Retrying does not help, so there is no time to retry after."""
    return Unavailable(
        "fitting_not_installed", "Back-tests need the extra `fit`: pip install 'rapport[fit]' on the server."
    )
