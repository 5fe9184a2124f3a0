"""`rapport loyalty import`: opening balances from a CSV file, directly in the database."""

import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.cli import environment
from app.cli.csv_file import CsvFile, Unusable, cell
from app.cli.failure import PARTIAL, Failure
from app.cli.purchases import Repeats
from app.domain.admission import Admission
from app.domain.identifiers import Reference, identifier
from app.domain.loyalty.periods import end_of_day
from app.domain.loyalty.points import points_of
from app.domain.problems import Problem
from app.storage.database import Database
from app.storage.loyalty import programs
from app.usecases.loyalty.import_openings import MOST, Opening, import_openings

SHOWN: Final = 20
ACTOR: Final = "import"


class Columns(NamedTuple):
    """Which column says what; `id` None: a row's id is made of what it says."""

    customer: str
    points: str
    expires: str | None
    id: str | None


class Row(NamedTuple):
    """One row that was read, and where it stands."""

    line: int
    opening: Opening


class Bad(NamedTuple):
    """A row that is not booked, and why."""

    line: int
    code: str
    detail: str


@dataclass(slots=True)
class Tally:
    """What became of the rows so far."""

    booked: int = 0
    known: int = 0
    points: int = 0
    refused: int = 0
    bad: list[Bad] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)

    def refuse(self, bad: Bad) -> None:
        """Count it; the first are kept to be shown."""
        self.refused += 1
        self.codes[bad.code] += 1
        if len(self.bad) < SHOWN:
            self.bad.append(bad)


class OpeningFile:
    """The file, read row by row; days end in the programme's time zone. Raises Failure where it cannot be read."""

    def __init__(self, path: Path, columns: Columns, identifier_type: str, zone: ZoneInfo) -> None:
        self._file = CsvFile(path)
        self._type, self._zone = identifier_type, zone
        self._customer, self._points, self._expires, self._id = (self._file.index(name) for name in columns)

    def rows(self, repeats: Repeats | None = None) -> Iterator[Row | Bad]:
        """Each row in its order. `repeats` has noted all of them: rows that are alike are as many balances."""
        for line, row in self._file.rows():
            try:
                yield Row(line, self._opening(row, repeats))
            except Unusable as unusable:
                yield Bad(line, unusable.code, unusable.detail)
            except Problem as problem:
                yield Bad(line, problem.code, problem.detail)

    def note(self, repeats: Repeats) -> int:
        """The first reading: how many rows there are, and which are alike."""
        count = 0
        for _, row in self._file.rows():
            count += 1
            repeats.note(_likeness(row))
        return count

    def _opening(self, row: Sequence[str], repeats: Repeats | None) -> Opening:
        self._file.check_width(row)
        customer = cell(row, self._customer)
        if not customer:
            raise Unusable("no_customer", "the row names no customer")
        named = cell(row, self._id)
        if self._id is not None and not named:
            raise Unusable("no_id", "the row has no id")
        nth = 1 if repeats is None else repeats.nth(_likeness(row))
        made = hashlib.sha256(json.dumps([[one.strip() for one in row], nth]).encode()).hexdigest()[:32]
        return Opening(
            id=named or f"row-{made}",
            customer=Reference(None, (identifier(self._type, customer, "#/customer"),)),
            points=_points(cell(row, self._points)),
            expires_at=self._end(cell(row, self._expires)),
        )

    def _end(self, text: str) -> datetime | None:
        """When points stop: a date is the last day on which they live, a time without an offset is local."""
        if not text:
            return None
        try:
            if len(text) == len("2026-11-22"):
                return end_of_day(date.fromisoformat(text), self._zone)
            parsed = datetime.fromisoformat(text)
            aware = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=self._zone)
            return aware.astimezone(UTC)
        except (ValueError, OverflowError):
            raise Unusable(
                "bad_time", "the expiry is not ISO 8601, like 2027-12-31 or 2027-12-31T23:00:00Z"
            ) from None


def _points(text: str) -> int:
    try:
        return points_of(int(text) if text.isascii() else None)
    except ValueError:
        raise Unusable("invalid_points", "points are a whole number of at least 1") from None


def _likeness(row: Sequence[str]) -> bytes:
    return hashlib.sha256(json.dumps([one.strip() for one in row]).encode()).digest()[:16]


def import_file(path: Path, columns: Columns, program: str, identifier_type: str, *, dry_run: bool) -> int:
    """Book the balances of `path`, print what became of them; returns the exit code."""
    tally = Tally()
    settings = environment.load_settings()
    with environment.database(settings) as urls:
        work = _import(
            urls.app, path, columns, program, identifier_type, settings.admission(), tally, dry_run=dry_run
        )
        try:
            environment.run(work)
        except KeyboardInterrupt:
            raise Failure(
                f"stopped after {tally.booked:,} balances, which are safe: run the same command again to go on",
                exit_code=PARTIAL,
            ) from None
    _print(path, tally, dry_run=dry_run)
    return PARTIAL if tally.refused else 0


async def _import(
    url: str,
    path: Path,
    columns: Columns,
    program: str,
    identifier_type: str,
    admission: Admission,
    tally: Tally,
    *,
    dry_run: bool,
) -> None:
    async with environment.opened(url) as database:
        async with database.hot_reading() as connection:
            found = await programs.find(connection, program)
        if found is None:
            raise Failure(f"there is no loyalty programme {program!r}")
        file = OpeningFile(path, columns, identifier_type, found.programme.zone)
        repeats = Repeats()
        total = await asyncio.to_thread(file.note, repeats)
        with _progress() as progress:
            task = progress.add_task("Trying" if dry_run else "Booking", total=total)
            read = file.rows(repeats)
            while rows := list(islice(read, MOST)):
                await _book(database, rows, program, admission, tally, dry_run=dry_run)
                progress.advance(task, len(rows))


async def _book(
    database: Database,
    rows: Sequence[Row | Bad],
    program: str,
    admission: Admission,
    tally: Tally,
    *,
    dry_run: bool,
) -> None:
    good = [row for row in rows if isinstance(row, Row)]
    async with database.hot_reading() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            outcomes = await import_openings(
                connection, [row.opening for row in good], program, ACTOR, admission, datetime.now(UTC)
            )
        except BaseException:
            await transaction.rollback()
            raise
        await (transaction.rollback() if dry_run else transaction.commit())
    for bad in rows:
        if isinstance(bad, Bad):
            tally.refuse(bad)
    for row, outcome in zip(good, outcomes, strict=True):
        if outcome.problem is not None:
            tally.refuse(Bad(row.line, outcome.problem.code, outcome.problem.detail))
        elif outcome.status == "known":
            tally.known += 1
        else:
            tally.booked += 1
            tally.points += row.opening.points


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def _print(path: Path, tally: Tally, *, dry_run: bool) -> None:
    messages = Console(stderr=True, highlight=False, soft_wrap=True)
    for line, code, detail in sorted(tally.bad):
        messages.print(f"line {line}: {code}: {detail}", markup=False)
    if tally.refused > len(tally.bad):
        counts = ", ".join(f"{code} {count:,}" for code, count in tally.codes.most_common())
        messages.print(f"... and {tally.refused - len(tally.bad):,} more ({counts})", markup=False)
    table = Table(title=path.name, title_justify="left", show_header=False)
    table.add_row("would be booked" if dry_run else "booked", f"{tally.booked:,}")
    table.add_row("points", f"{tally.points:,}")
    table.add_row("known from before", f"{tally.known:,}")
    table.add_row("refused", f"{tally.refused:,}")
    Console(highlight=False).print(table)
