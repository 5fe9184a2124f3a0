"""The harness has teeth: a service that lacks one safety does not pass.

Here three that show within a few seconds of load and need no kill; `make prove` does all of them, longer.
"""

import asyncio

import pytest

from tests.chaos.harness import Report, storm_on_mutant
from tests.chaos.mutants import MUTANTS
from tests.chaos.postgres import Postgres

SEED = 20261122
SECONDS = 3
QUICK = ("no_key", "no_lock", "no_second_look")


@pytest.fixture(scope="session")
async def reports(server: Postgres) -> dict[str, Report]:
    """All at once, each on a database of its own: what takes time is the start of their processes."""
    done = await asyncio.gather(
        *(storm_on_mutant(server, name, seed=SEED, seconds=SECONDS) for name in QUICK)
    )
    return dict(zip(QUICK, done, strict=True))


def test_without_the_unique_key_events_are_stored_twice(reports: dict[str, Report]) -> None:
    assert reports["no_key"].findings.doubled


def test_without_the_row_lock_states_are_not_those_of_their_logs(reports: dict[str, Report]) -> None:
    findings = reports["no_lock"].findings
    assert any("the stored state is not that of the log" in what for what in findings.unproven)


def test_without_a_second_look_a_refund_misses_the_order_it_waited_for(reports: dict[str, Report]) -> None:
    findings = reports["no_second_look"].findings
    assert any("the stored state is not that of the log" in what for what in findings.unproven)


def test_every_mutant_takes_something_else_out() -> None:
    assert len({mutant.patch for mutant in MUTANTS.values()}) == len(MUTANTS)
    assert {"commit_off", "no_key", "no_lock", "no_second_look", "no_bisection"} <= MUTANTS.keys()
