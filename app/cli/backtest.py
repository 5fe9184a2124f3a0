"""`rapport backtest`: would the score have known? A file of purchases, looked back on from its own past."""

import csv
import gzip
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from rich.console import Console

from app.cli import environment, shop_log
from app.cli.csv_file import GZIP_MAGIC
from app.cli.failure import PARTIAL, Failure
from app.cli.purchases import SAMPLES, Columns, Fact, PurchaseFile
from app.domain import money
from app.domain.health.model import shipped

try:
    from app.fitting import page, report
    from app.fitting.backtest import Settings, backtest
    from app.fitting.purchases import Purchases, Row
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] not in {"numpy", "scipy"}:
        raise
    raise Failure(shop_log.FITTING_MISSING) from missing

GUESSES: Final = MappingProxyType(
    {
        "customer": (
            "customer",
            "customer_id",
            "customerid",
            "cust",
            "cust_id",
            "user_id",
            "user",
            "client_id",
        ),
        "time": ("time", "date", "ts", "timestamp", "datetime", "occurred_at", "created_at", "order_date"),
        "amount": ("amount", "value", "total", "revenue", "spend", "sales", "price"),
        "refund": ("is_refund", "refunded", "cancel", "cancelled", "is_return"),
    }
)
"""What columns usually go by, in lower case and the likeliest first: tried where the command line names none."""


@dataclass(slots=True)
class Reading:
    """What reading the file left out. `samples` are (code, detail) of the first unusable rows."""

    unusable: int = 0
    before_1970: int = 0
    samples: list[tuple[str, str]] = field(default_factory=list)

    def left_out(self) -> int:
        """Rows that are not part of the back-test."""
        return self.unusable + self.before_1970


def run(
    path: Path,
    customer: str | None,
    time: str | None,
    amount: str | None,
    refund: str | None,
    *,
    currency: str,
    horizon_days: int,
    json_path: Path | None,
    html_path: Path | None,
) -> int:
    """Read `path`, compare, print the tables and write what was asked for; returns the exit code.

    A column that is None is looked for by its usual names; an empty `refund` means that there is none.
    """
    columns = _columns(path, {"customer": customer, "time": time, "amount": amount, "refund": refund})
    messages = Console(stderr=True, highlight=False, soft_wrap=True)
    reading = Reading()
    with messages.status(f"Reading {path}") as status:
        log = Purchases.of_rows(_rows(PurchaseFile(path, columns, currency, UTC), reading))
        settings = Settings(horizon_days, value_unit_minor=10 ** money.EXPONENTS[currency])
        result = backtest(log, shipped(), settings, lambda what: status.update(f"{what} ..."))
    _say_what_is_left_out(messages, reading)
    used = {
        "customer": columns.customer,
        "time": columns.time,
        "amount": columns.amount,
        "refund": columns.refund,
    }
    result["source"] = {
        "file": path.name,
        "columns": used,
        "currency": currency,
        "rows_left_out": reading.left_out(),
    }
    _show(result, path.name, json_path, html_path)
    return PARTIAL if reading.left_out() else 0


def run_from_log(*, horizon_days: int, json_path: Path | None, html_path: Path | None) -> int:
    """The same on the log of the database of the settings, with all that it knows of refunds and their orders."""
    settings, now = environment.load_settings(), datetime.now(UTC)
    messages = Console(stderr=True, highlight=False, soft_wrap=True)
    unit = money.minor_per_major(settings.shop_currency)
    with messages.status("Reading the log") as status:
        with environment.database(settings) as urls:
            log, notes = environment.run(_read_log(urls.app, now, status.update))
        result = backtest(
            log,
            shipped(),
            Settings(horizon_days, value_unit_minor=unit),
            lambda what: status.update(f"{what} ..."),
        )
    result["notes"] += notes
    result["source"] = {"log": True, "as_of": now.isoformat(), "currency": settings.shop_currency}
    _show(result, "the shop's own log", json_path, html_path)
    return 0


async def _read_log(url: str, now: datetime, say: Callable[[str], None]) -> tuple[Purchases, list[str]]:
    async with environment.opened(url) as database:
        return await shop_log.read(database, now, say)


def _show(result: dict[str, Any], title: str, json_path: Path | None, html_path: Path | None) -> None:
    _write(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n" if json_path else "")
    _write(html_path, page.page(result, title) if html_path else "")
    # A table that loses columns to a narrow pipe would be no record of the run.
    Console(highlight=False, width=None if sys.stdout.isatty() else 140).print(report.text(result, title))


def _columns(path: Path, named: dict[str, str | None]) -> Columns:
    header = _header(path)
    found: dict[str, str | None] = {}
    for what, name in named.items():
        lowered = {column.lower(): column for column in reversed(header)}
        guess = next((lowered[usual] for usual in GUESSES[what] if usual in lowered), None)
        found[what] = (name or None) if name is not None else guess
    for what in ("customer", "time", "amount"):
        if found[what] is None:
            raise Failure(f"--{what}-column: {path} has the columns {', '.join(header)}; say which it is")
    return Columns(str(found["customer"]), str(found["time"]), str(found["amount"]), refund=found["refund"])


def _header(path: Path) -> list[str]:
    try:
        with path.open("rb") as start:
            zipped = start.read(2) == GZIP_MAGIC
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if zipped
            else path.open(encoding="utf-8-sig", newline="")
        ) as text:
            header = next(csv.reader(text), None)
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}") from error
    if header is None:
        raise Failure(f"{path} is empty")
    return [name.strip() for name in header]


def _rows(file: PurchaseFile, reading: Reading) -> Iterator[Row]:
    for row in file.rows():
        if not isinstance(row, Fact):
            reading.unusable += 1
            if len(reading.samples) < SAMPLES:
                reading.samples.append((row.code, row.detail))
            continue
        at = int(row.occurred_at.timestamp())
        if at < 0:
            reading.before_1970 += 1
            continue
        yield Row(row.customer, at, row.amount_minor, row.kind == "refund")


def _say_what_is_left_out(console: Console, reading: Reading) -> None:
    if reading.before_1970:
        console.print(f"{reading.before_1970:,} rows lie before 1970: left out.")
    if reading.unusable:
        console.print(f"{reading.unusable:,} rows cannot be used: left out. The first of them:")
    for code, detail in reading.samples:
        console.print(f"{code}: {detail}", markup=False)


def _write(path: Path | None, content: str) -> None:
    if path is None:
        return
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
