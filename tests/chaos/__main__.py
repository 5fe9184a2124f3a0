"""`python -m tests.chaos --kills 200 --cuts 1000 --mutants --seed 7`: the long proof, as Markdown.

Ends with 1 when anything was lost, doubled, invented or wrong, or when a mutant was not caught.
"""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos import harness, postgres, report
from tests.chaos.harness import Report
from tests.chaos.mutants import MUTANTS
from tests.chaos.postgres import Postgres

MUTANT_SECONDS = 6.0
MUTANT_KILLS = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--kills", type=int, default=0, help="processes to kill")
    parser.add_argument("--cuts", type=int, default=0, help="connections to cut around COMMIT")
    parser.add_argument("--mutants", action="store_true", help="show that broken services are caught")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=Path, help="write the tables there too")
    chosen = parser.parse_args()
    text, holds = asyncio.run(_prove(chosen))
    sys.stdout.write(text)
    if chosen.output is not None:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(text)
    return 0 if holds else 1


async def _prove(chosen: argparse.Namespace) -> tuple[str, bool]:
    parts = [_heading(chosen.seed)]
    reports: list[Report] = []
    caught = True
    # Short, because a socket lives in it.
    with tempfile.TemporaryDirectory(prefix="chaos-") as home:
        async with postgres.running(Path(home)) as server:
            if chosen.kills:
                done = await harness.storm_of_kills(
                    server, seed=chosen.seed, kills=chosen.kills, watch=_watch("kills", chosen.kills)
                )
                reports.append(done)
                parts += ["## Kills", report.kills_table(done), report.outcome_table(done)]
            if chosen.cuts:
                done = await harness.storm_of_cuts(
                    server, seed=chosen.seed, cuts=chosen.cuts, watch=_watch("cuts", chosen.cuts)
                )
                reports.append(done)
                parts += ["## Cuts around COMMIT", report.cuts_table(done), report.outcome_table(done)]
            if chosen.mutants:
                mutants = await _mutants(server, chosen.seed)
                caught = not any(done.holds for done in mutants.values())
                parts += ["## Mutants", report.mutants_table(mutants)]
    if log := os.environ.get("CHAOS_LOG"):
        Path(log).write_text("".join(done.log for done in reports))
    broken = [problem for done in reports for problem in report.problems(done)]
    parts += [f"- {problem}" for problem in broken]
    return "\n\n".join(parts) + "\n", caught and all(done.holds for done in reports)


async def _mutants(server: Postgres, seed: int) -> dict[str, Report]:
    reports = {}
    for name in MUTANTS:
        _watch("mutants", len(MUTANTS))(len(reports))
        reports[name] = await harness.storm_on_mutant(
            server, name, seed=seed, seconds=MUTANT_SECONDS, kills=MUTANT_KILLS
        )
    return reports


def _heading(seed: int) -> str:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
    return f"Seed {seed}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}"


def _watch(what: str, whole: int) -> Callable[[int], None]:
    def watch(done: int) -> None:
        sys.stderr.write(f"\r{what}: {done}/{whole} ")
        sys.stderr.flush()

    return watch


if __name__ == "__main__":
    sys.exit(main())
