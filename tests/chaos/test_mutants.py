"""The harness has teeth: a service that lacks one safety does not pass.

Here the one that shows within seconds of any load; `make prove` does all of them, longer, and what the lock and the
look at the row's version are for is shown without chance in tests/usecases/test_write_path_safeties.py.
"""

import asyncio

import pytest

from tests.chaos.harness import Report, storm_on_mutant
from tests.chaos.mutants import MUTANTS
from tests.chaos.postgres import Postgres

SEED = 20261122
SECONDS = 3
QUICK = ("no_key",)


@pytest.fixture(scope="session")
async def reports(server: Postgres) -> dict[str, Report]:
    """All at once, each on a database of its own: what takes time is the start of their processes."""
    done = await asyncio.gather(
        *(storm_on_mutant(server, name, seed=SEED, seconds=SECONDS) for name in QUICK)
    )
    return dict(zip(QUICK, done, strict=True))


def test_without_the_unique_key_events_are_stored_twice(reports: dict[str, Report]) -> None:
    assert reports["no_key"].findings.doubled


def test_every_mutant_takes_something_else_out() -> None:
    assert len({mutant.patch for mutant in MUTANTS.values()}) == len(MUTANTS)
    assert {"commit_off", "no_key", "no_lock", "no_check", "no_bisection", "no_hold_state"} <= MUTANTS.keys()
