"""`rapport fit`: a scoring model from the shop's own log, tried against the active one and written down as a draft."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from app.cli import environment
from app.cli.failure import Failure
from app.cli.shop_log import FITTING_MISSING, read
from app.domain.health.cases import Case
from app.domain.health.model import Model, shipped
from app.domain.health.versions import Gate
from app.domain.money import minor_per_major
from app.domain.touchpoints import EPOCH, seconds
from app.settings import Settings
from app.storage.database import Database, driver
from app.storage.models import Origin
from app.usecases.models.active_model import ActiveModel
from app.usecases.models.propose_model import Proposal, propose_model
from app.usecases.models.read_cases import read_cases

try:
    from app.fitting import report
    from app.fitting.comparison import FIGURES
    from app.fitting.model_fit import ModelFit, fit_model, unlearnt
    from app.fitting.purchases import Purchases
    from app.fitting.service_weights import fit_service
    from app.fitting.trial import CHAMPION, Question, Trial, origin, trial
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] not in {"numpy", "scipy"}:
        raise
    raise Failure(FITTING_MISSING) from missing

_FALL_BACKS: Final = {
    "mbg_and_defaults": "the shipped coefficients over the shop's own MBG/NBD",
    "defaults": "the shipped model as it is; nothing was written",
}


@dataclass(frozen=True, slots=True)
class _Taught:
    """What is learnt from: purchases, and complaints that were closed."""

    log: Purchases
    cases: Sequence[Case]


@dataclass(frozen=True, slots=True)
class _Done:
    """What came of it; `tried` is None and nothing is written where the log taught nothing."""

    log: Purchases
    fitted: ModelFit
    tried: Trial | None
    is_new: bool


def fit(as_of: date | None, horizon_days: int | None, *, dry_run: bool) -> int:
    """Fit on the log of the database of the settings up to `as_of`, print what was found; returns the exit code."""
    settings, now = environment.load_settings(), datetime.now(UTC)
    until = _until(as_of, now)
    with environment.database(settings) as urls:
        done = environment.run(_fit(urls.app, settings, until, horizon_days, dry_run=dry_run))
    _print(done, until, dry_run=dry_run)
    return 0


def _until(as_of: date | None, now: datetime) -> datetime:
    if as_of is None:
        return now
    if as_of > now.date():
        raise Failure(f"--as-of {as_of}: lies in the future")
    end = datetime.combine(as_of, time.max, UTC)
    if end < EPOCH:
        raise Failure(f"--as-of {as_of}: lies before 1970")
    return min(end, now)


async def _fit(
    url: str, settings: Settings, until: datetime, horizon_days: int | None, *, dry_run: bool
) -> _Done:
    messages = Console(stderr=True, highlight=False)
    async with environment.opened(url) as database:
        active = ActiveModel(database)
        await active.refresh()
        with messages.status("Reading the log") as status:
            log, notes = await read(database, until, status.update)
            horizon = horizon_days or round(active.current.horizon_days)
            status.update("Reading closed complaints")
            cases = await read_cases(database, until, horizon, active.current.form)
            status.update("Fitting ...")
            fitted, tried = _fit_and_try(
                _Taught(log, cases), active.current, until, horizon, settings.shop_currency
            )
        if tried is not None:
            tried.report["notes"] += notes
        is_new = False
        if tried is not None and not dry_run:
            is_new = await _write(database, fitted, tried, active.current)
    return _Done(log, fitted, tried, is_new)


def _fit_and_try(
    taught: _Taught, active: Model, until: datetime, horizon: int, currency: str
) -> tuple[ModelFit, Trial | None]:
    log, now = taught.log, seconds(until)
    fitted = fit_model(
        log,
        now,
        horizon_days=horizon,
        base=unlearnt(active, shipped()),
        value_unit_minor=minor_per_major(currency),
        target=log.daily(),
    )
    if fitted.path == "defaults":
        return fitted, None
    fitted = fitted.with_service(fit_service(taught.cases, fitted.model, shipped()))
    question = Question(fitted.model, active, now, horizon, minor_per_major(currency), learnt_until=now)
    return fitted, trial(log, question)


async def _write(database: Database, fitted: ModelFit, tried: Trial, active: Model) -> bool:
    told = origin(fitted)
    proposal = Proposal(
        version=fitted.model.version,
        parameters=fitted.parameters,
        origin=Origin(told["priors"], told["windows"], told["row_counts"], told["data_hash"]),
        backtest=tried.report,
        gate=None if tried.passed is None else Gate(tried.passed, tried.reasons),
    )
    async with database.transaction() as session:
        _, is_new = await propose_model(
            await driver(session), proposal, active, "rapport fit", datetime.now(UTC)
        )
    return is_new


def _print(done: _Done, until: datetime, *, dry_run: bool) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    fitted, version = done.fitted, done.fitted.model.version
    console.print(
        f"{len(done.log):,} purchases and refunds of {done.log.customers:,} customers up to {until:%Y-%m-%d}"
    )
    if fitted.path == "fitted":
        console.print(f"Fitted on {fitted.why}.", markup=False)
    else:
        console.print(f"Fell back to {_FALL_BACKS[fitted.path]}, because {fitted.why}.", markup=False)
    if done.tried is None:
        return
    service = fitted.metadata["service_weights"]
    if service["path"] == "fitted":
        console.print(f"Weights of service fitted on {service['why']}.", markup=False)
    else:
        console.print(f"Weights of service stay as they are, because {service['why']}.", markup=False)
    console.print(_table(done.tried.report))
    for note in done.tried.report["notes"]:
        console.print(f"Note: {note}", markup=False)
    _print_gate(console, done.tried)
    if dry_run:
        console.print(f"{version} was not written (--dry-run)", markup=False)
        return
    written = "Written as a draft" if done.is_new else "These numbers are written already"
    console.print(f"{written}: {version}", markup=False)
    console.print(f"To let it score: POST /v1/scoring-models/{version}/publish", markup=False)


def _print_gate(console: Console, tried: Trial) -> None:
    word = {None: "not decided, see the notes", True: "passed", False: "failed"}[tried.passed]
    console.print(f"Promotion gate: {word}")
    for reason in tried.reasons:
        console.print(f"  {reason}", markup=False)


def _table(found: dict[str, Any]) -> Table:
    window = found["window"]
    when = "no closed window" if window is None else f"{window[0]} to {window[1]}"
    table = Table(title=f"The newest closed window: {when}", title_justify="left")
    table.add_column("", no_wrap=True)
    for figure in FIGURES:
        table.add_column(report.HEADINGS[figure][0], justify="right")
    names = {CHAMPION: f"Active: {found['champion']}"} | dict(report.TITLES)
    for name, figures in found["models"].items():
        table.add_row(names[name], *(report.number(figures[figure]) for figure in FIGURES))
    return table
