"""`python -m tests.chaos --kills 200 --cuts 1000 --mutants --seed 7`: the long proof, as Markdown.

Ends with 1 when anything was lost, doubled, invented or wrong, or when a mutant was not caught.
"""

import argparse
import asyncio
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos import harness, postgres, report
from tests.chaos.disk import tiny_disk
from tests.chaos.harness import Report
from tests.chaos.mutants import MUTANTS
from tests.chaos.postgres import Postgres

MUTANT_SECONDS = 6.0
MUTANT_KILLS = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--faults", type=int, default=0, help="everything that can go wrong, so many times")
    parser.add_argument("--kills", type=int, default=0, help="processes to kill")
    parser.add_argument("--cuts", type=int, default=0, help="connections to cut around COMMIT")
    parser.add_argument("--mutants", action="store_true", help="show that broken services are caught")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=Path, help="write the tables there too")
    parser.add_argument("--log", type=Path, help="write there what the service logged")
    chosen = parser.parse_args()
    proof = asyncio.run(_prove(chosen))
    text = "\n\n".join(proof.parts) + "\n"
    sys.stdout.write(text)
    if chosen.output is not None:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(text)
    if chosen.log is not None:
        chosen.log.write_text("".join(done.log for done in proof.storms))
    return 0 if proof.holds else 1


@dataclass(slots=True)
class Proof:
    """Storms that the service must stand, mutants that must not, and what to print of both."""

    parts: list[str] = field(default_factory=list)
    storms: list[Report] = field(default_factory=list)
    mutants: dict[str, Report] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        stood = all(storm.holds for storm in self.storms)
        return stood and not any(report.holds for report in self.mutants.values())

    def add(self, title: str, table: str, storm: Report) -> None:
        self.storms.append(storm)
        self.parts += [title, table, report.outcome_table(storm), report.ledger_table(storm)]
        self.parts += [f"- {problem}" for problem in report.problems(storm)]


async def _prove(chosen: argparse.Namespace) -> Proof:
    # SIGTERM, as Ctrl+C, leaves through every `finally`: nothing that was started stays behind.
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    seed: int = chosen.seed
    proof = Proof([_heading(seed)])
    # Short, because a socket lives in it.
    if chosen.faults:
        with tiny_disk() as disk:
            async with postgres.running(disk.folder) as server:
                storm = await harness.storm_of_faults(
                    server, disk, seed=seed, faults=chosen.faults, watch=_watch("faults", chosen.faults)
                )
        table = f"{report.kills_table(storm)}\n\n{report.facts_table(storm)}"
        proof.add("## Faults", table, storm)
        if disk.missing:
            proof.parts.append(f"The disk was not filled: {disk.missing}.")
    if not (chosen.kills or chosen.cuts or chosen.mutants):
        return proof
    with tempfile.TemporaryDirectory(prefix="chaos-") as home:
        async with postgres.running(Path(home)) as server:
            if kills := chosen.kills:
                storm = await harness.storm_of_kills(
                    server, seed=seed, kills=kills, watch=_watch("kills", kills)
                )
                proof.add("## Kills", report.kills_table(storm), storm)
            if cuts := chosen.cuts:
                storm = await harness.storm_of_cuts(server, seed=seed, cuts=cuts, watch=_watch("cuts", cuts))
                proof.add("## Cuts around COMMIT", report.cuts_table(storm), storm)
            if chosen.mutants:
                proof.mutants = await _mutants(server, seed)
                proof.parts += ["## Mutants", report.mutants_table(proof.mutants)]
    return proof


async def _mutants(server: Postgres, seed: int) -> dict[str, Report]:
    reports: dict[str, Report] = {}
    for name in MUTANTS:
        _watch("mutants", len(MUTANTS))(len(reports))
        reports[name] = await harness.storm_on_mutant(
            server, name, seed=seed, seconds=MUTANT_SECONDS, kills=MUTANT_KILLS
        )
    return reports


def _heading(seed: int) -> str:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
    # How long a start takes, and so the gaps, depends on what else the machine does.
    load = f"load before the start {os.getloadavg()[0]:.1f}"
    return f"Seed {seed}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}, {load}"


def _watch(what: str, whole: int) -> Callable[[int], None]:
    def watch(done: int) -> None:
        sys.stderr.write(f"\r{what}: {done}/{whole} ")
        sys.stderr.flush()

    return watch


if __name__ == "__main__":
    sys.exit(main())
