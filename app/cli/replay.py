"""`rapport replay`: a file of purchases through the HTTP batch call. Running it again goes on where it ended."""

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from app.cli import delivery, purchases
from app.cli.delivery import Tally
from app.cli.failure import PARTIAL, Failure
from app.cli.purchases import Columns, Fact, PurchaseFile, Survey
from app.domain import money


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send it and how fast. `key` is the caller's; ids are unique within its source."""

    url: str
    key: str
    identifier_type: str
    batch: int
    concurrency: int


class EventsPerSecond(ProgressColumn):
    """The speed of the last moments."""

    def render(self, task: Task) -> Text:
        """A whole number, right-aligned so that the line does not dance."""
        return Text(f"{task.speed or 0:7,.0f} events/s")


def replay(
    path: Path,
    columns: Columns,
    currency: str,
    zone: tzinfo,
    target: Target,
    *,
    shuffle: int | None,
) -> int:
    """Read `path`, send it, print what became of it; returns the exit code."""
    file = PurchaseFile(path, columns, currency, zone)
    messages = Console(stderr=True, highlight=False, soft_wrap=True)
    with messages.status(f"Reading {path}"):
        survey = purchases.survey(file)
    _say_what_is_left_out(messages, survey)
    facts: Iterator[Fact] = (row for row in file.rows() if isinstance(row, Fact))
    if shuffle is not None:
        facts = iter(_shuffled(facts, shuffle))
    tally = Tally()
    bodies = purchases.touchpoints(facts, survey.repeats, target.identifier_type)
    started = time.monotonic()
    try:
        asyncio.run(_send(bodies, survey.usable, target, tally, messages))
    except KeyboardInterrupt:
        raise Failure(
            f"stopped after {tally.stored + tally.duplicates:,} touchpoints, which are safe: "
            "run the same command again to go on",
            exit_code=PARTIAL,
        ) from None
    seconds = time.monotonic() - started
    _say_what_was_refused(messages, tally)
    Console(highlight=False).print(_summary(path, survey, tally, currency, seconds))
    return PARTIAL if tally.rejected or survey.unusable else 0


def _shuffled(facts: Iterator[Fact], seed: int) -> list[Fact]:
    """All facts in an order of the seed: the one reading that holds the whole file in memory."""
    everything = list(facts)
    random.Random(seed).shuffle(everything)  # noqa: S311 - an order to repeat, not a secret
    return everything


async def _send(
    bodies: Iterator[dict[str, Any]], total: int, target: Target, tally: Tally, console: Console
) -> None:
    progress = Progress(
        TextColumn("Sending"),
        BarColumn(),
        MofNCompleteColumn(),
        EventsPerSecond(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=console,
        disable=not sys.stderr.isatty(),
        speed_estimate_period=10,
    )
    async with delivery.service(target.url, target.key) as service:
        with progress:
            task = progress.add_task("", total=total)
            await delivery.deliver(
                service,
                bodies,
                tally,
                batch=target.batch,
                concurrency=target.concurrency,
                advance=lambda size: progress.advance(task, size),
            )


def _say_what_is_left_out(console: Console, survey: Survey) -> None:
    if survey.without_customer:
        console.print(f"{survey.without_customer:,} rows name no customer: left out.")
    if survey.rounded:
        console.print(f"{survey.rounded:,} amounts have more digits than the currency: rounded half even.")
    for row, code, detail in survey.samples:
        console.print(f"row {row}: {code}: {detail}", markup=False)
    _say_how_many_more(console, survey.unusable.total(), len(survey.samples))


def _say_what_was_refused(console: Console, tally: Tally) -> None:
    for body, code, detail in tally.samples:
        (customer,) = body["customer"].values()
        console.print(
            f"rejected: customer {customer}, {body['kind']} of {body['occurred_at']}: {code}: {detail}",
            markup=False,
        )
    _say_how_many_more(console, tally.rejected, len(tally.samples))


def _say_how_many_more(console: Console, count: int, shown: int) -> None:
    if count > shown:
        console.print(f"... and {count - shown:,} more like these")


def _summary(path: Path, survey: Survey, tally: Tally, currency: str, seconds: float) -> Table:
    table = Table(title=path.name, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    refused = tally.codes + survey.unusable
    lines = {
        "rows": f"{survey.rows:,}",
        "purchases": f"{survey.purchases:,}",
        "refunds": f"{survey.refunds:,}",
        "customers": f"{len(survey.customers):,}",
        "without customer (left out)": f"{survey.without_customer:,}",
        "stored": f"{tally.stored:,}",
        "duplicates (known already)": f"{tally.duplicates:,}",
        "rejected": f"{refused.total():,}",
        **{f"  {code}": f"{count:,}" for code, count in refused.most_common()},
        "seconds": f"{seconds:,.1f}",
        "events/s": f"{(tally.stored + tally.duplicates) / seconds:,.0f}",
        "sum of purchases": f"{money.decimal_string(survey.purchases_minor, currency)} {currency}",
        "sum of refunds": f"{money.decimal_string(survey.refunds_minor, currency)} {currency}",
    }
    for name, value in lines.items():
        table.add_row(name, value)
    return table
