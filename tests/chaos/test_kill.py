"""Twenty seconds of faults on every run; `make chaos` does two hundred (docs/reliability.md)."""

from collections.abc import AsyncIterator

import pytest

from tests.chaos import postgres, report
from tests.chaos.disk import Disk, tiny_disk
from tests.chaos.harness import storm_of_faults
from tests.chaos.postgres import Postgres

SEED = 20261122
SECONDS = 20
# On a machine that is busy with other things a start of the service takes as long as all of this.
LEAST = 3


@pytest.fixture
async def on_tiny_disk() -> AsyncIterator[tuple[Postgres, Disk]]:
    with tiny_disk() as disk:
        async with postgres.running(disk.folder) as server:
            yield server, disk


async def test_faults_of_any_kind_lose_double_and_bend_nothing(on_tiny_disk: tuple[Postgres, Disk]) -> None:
    done = await storm_of_faults(*on_tiny_disk, seed=SEED, seconds=SECONDS, least=LEAST)
    tables = (
        report.kills_table(done),
        report.facts_table(done),
        report.outcome_table(done),
        report.ledger_table(done),
    )
    print(*tables, sep="\n\n")  # noqa: T201 - shown when it fails
    assert report.problems(done) == []
    assert done.holds
    # That something happened at all: how much depends on the machine.
    assert done.kills.total() >= LEAST
    assert done.acknowledged > 50
    assert done.facts["touchpoint"].acknowledged < done.acknowledged
    assert done.ledger["earn"] > 0
    assert done.facts["hold"].sent + done.facts["order"].sent + done.facts["adjustment"].sent > 0


def test_a_full_disk_refuses_and_a_freed_one_takes() -> None:
    with tiny_disk() as disk:
        if disk.missing:
            pytest.skip(f"no disk of its own here: {disk.missing}")  # mounting takes rights that not all have
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "more").write_bytes(bytes(100_000))
        disk.free()
        (disk.folder / "more").write_bytes(bytes(100_000))
