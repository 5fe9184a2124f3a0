"""Twenty seconds of kills on every run; `make prove` does two hundred kills (docs/reliability.md)."""

from tests.chaos import report
from tests.chaos.harness import storm_of_kills
from tests.chaos.postgres import Postgres

SEED = 20261122
SECONDS = 20


async def test_kills_of_any_process_lose_double_and_bend_nothing(server: Postgres) -> None:
    done = await storm_of_kills(server, seed=SEED, seconds=SECONDS)
    print(report.kills_table(done), report.outcome_table(done), sep="\n\n")  # noqa: T201 - shown when it fails
    assert report.problems(done) == []
    assert done.holds
    # That something happened at all: how much depends on the machine.
    assert done.kills.total() >= 3
    assert done.acknowledged > 100
