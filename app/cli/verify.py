"""`rapport verify`: all checks with a progress bar, then a table, or JSON for whoever reads it by machine."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.cli import environment
from app.cli.failure import PARTIAL
from app.usecases import verify as work
from app.usecases.verify import Result


def verify(*, as_json: bool) -> int:
    """Check the database of the settings, print what was found; returns the exit code."""
    with environment.database(environment.load_settings()) as urls:
        results = environment.run(_verify(urls.app))
    if as_json:
        sys.stdout.write(json.dumps(_document(results), indent=2) + "\n")
    else:
        _print(results)
    return PARTIAL if any(result.differences for result in results) else 0


async def _verify(url: str) -> list[Result]:
    progress = Progress(
        TextColumn("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with progress:
        task = progress.add_task("")

        def watch(result: Result, rows: int | None) -> None:
            if not result.checked:
                progress.reset(task, description=result.check.name, total=rows)
            # New customers may come while we count.
            progress.update(
                task, completed=result.checked, total=None if rows is None else max(rows, result.checked)
            )

        async with environment.opened(url) as database:
            return await work.verify(database, watch)


def _document(results: Sequence[Result]) -> dict[str, Any]:
    return {
        "holds": not any(result.differences for result in results),
        "checks": [
            {
                "name": result.check.name,
                "promise": result.check.promise,
                "checked": result.checked,
                "differences": result.differences,
                "first": [
                    {
                        "customer_id": None if one.customer_id is None else str(one.customer_id),
                        "what": one.what,
                    }
                    for one in result.first
                ],
                "notes": result.notes,
            }
            for result in results
        ],
    }


def _print(results: Sequence[Result]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("check")
    table.add_column("what it promises")
    table.add_column("checked", justify="right")
    table.add_column("differences", justify="right")
    for result in results:
        colour = "red" if result.differences else "green"
        table.add_row(
            result.check.name,
            result.check.promise,
            f"{result.checked:,}",
            f"[{colour}]{result.differences:,}[/{colour}]",
        )
    # Another program that reads this must not get lines folded to 80 columns.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for result in results:
        for one in result.first:
            whose = "" if one.customer_id is None else f"customer {one.customer_id}: "
            console.print(f"{result.check.name}: {whose}{one.what}", markup=False)
        if result.differences > len(result.first):
            console.print(f"{result.check.name}: ... and {result.differences - len(result.first):,} more")
        for note in result.notes:
            console.print(f"{result.check.name}: note: {note}", markup=False)
