"""`make bench`: every promise about speed and memory as a ratio to a yardstick that ran beside it."""

import argparse
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import measure, report, rows
from bench.rows import BY_NAME, ROWS, Outcome

BUILD = Path(__file__).resolve().parents[1] / "build"
MEMORY_EVENTS = 20_000
MEMORY_MB = 250


def main() -> int:
    options = _options()
    console = Console(stderr=True)
    # So that the processes are stopped however this one is asked to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    detail: dict[str, Any] = {"options": vars(options)}
    try:
        with (
            console.status("starting PostgreSQL") as status,
            tempfile.TemporaryDirectory(prefix="rb") as logs,
        ):
            outcomes = _measure(options, Path(logs), detail, status.update)
    except (RuntimeError, TimeoutError) as error:
        console.print(f"The bench failed: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    report.show(outcomes, Console(width=None if console.is_terminal else 200))
    report.write(BUILD, outcomes, detail)
    ceiling = detail["driver_ceiling"]
    print(
        f"The driver alone: {ceiling['rate']:,.0f} requests/s. Files: {BUILD}/bench.json, bench-detail.json"
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="per measurement")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(BY_NAME), metavar="NAME,NAME"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: does it run at all?")
    options = parser.parse_args()
    unknown = set(options.only) - set(BY_NAME)
    if unknown:
        parser.error(f"unknown rows: {', '.join(sorted(unknown))}; known: {', '.join(BY_NAME)}")
    options.memory_events = MEMORY_EVENTS
    if options.quick:
        options.rounds, options.customers, options.seconds, options.memory_events = 2, 10_000, 1.0, 2_000
    return options


def _measure(
    options: argparse.Namespace, logs: Path, detail: dict[str, Any], say: Callable[[str], None]
) -> list[Outcome]:
    wanted = [row for row in ROWS if row.name in options.only]
    outcomes: dict[str, Outcome] = {}
    with measure.stage(logs, options.customers, options.seconds) as stage:
        detail["driver_ceiling"] = asdict(measure.ceiling(stage))
        names = {name for row in wanted for name in row.needs}
        played = []
        if main := [name for name in measure.MAIN if name in names]:
            played.append(measure.main_phase(stage, main, options.rounds, say))
        if names & measure.GROWTH.keys():
            played.append(measure.growth_phase(stage, options.rounds, say))
        for phase in played:
            detail.setdefault("rounds", []).extend(_plain(figures) for figures in phase)
            outcomes |= {
                row.name: rows.outcome(row, phase) for row in wanted if row.needs and row.needs[0] in phase[0]
            }
        if "memory" in options.only:
            outcomes["memory"] = _memory(measure.memory_phase(stage, options.memory_events, say), detail)
    if "fold_score_vs_validate" in options.only:
        outcomes["fold_score_vs_validate"] = _fold(measure.fold_and_validate(max(options.rounds, 5)))
    return [outcomes[row.name] for row in wanted]


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: asdict(one) for name, one in figures.items()}


def _memory(resident: tuple[float, float], detail: dict[str, Any]) -> Outcome:
    before, after = resident
    detail["resident_mb"] = {
        "first": before,
        "last": after,
        "most_allowed": MEMORY_MB,
        "within": after <= MEMORY_MB,
    }
    size = f"{before:.0f} MB, then {after:.0f} MB ({'within' if after <= MEMORY_MB else 'MORE THAN'} {MEMORY_MB} MB)"
    return Outcome(BY_NAME["memory"], after / before, (after / before,), size)


def _fold(rounds: Sequence[tuple[float, float]]) -> Outcome:
    ratios = tuple(ours / theirs for ours, theirs in rounds)
    ours, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    size = f"fold and score {ours:.1f} µs, validate {theirs:.1f} µs"
    return Outcome(BY_NAME["fold_score_vs_validate"], statistics.median(ratios), ratios, size)


if __name__ == "__main__":
    sys.exit(main())
