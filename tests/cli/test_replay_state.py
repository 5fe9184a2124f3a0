"""`rapport replay-state` as its user has it."""

from typing import Any

from app.domain.health.state import EMPTY
from tests.cli.test_verify import CUSTOMER, add_customer


async def test_a_dry_run_names_what_would_change_and_a_replay_changes_it(
    rapport: Any, on_database: dict[str, str], owner_url: str
) -> None:
    await add_customer(owner_url, EMPTY._replace(eng30=1).encode())
    done = rapport("replay-state", "--dry-run", env=on_database)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"customer {CUSTOMER}: the stored state is not that of the log: eng30",
        "1 states replayed, 1 would change, 0 failed",
    ]
    done = rapport("replay-state", env=on_database)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "1 states replayed, 1 changed, 0 failed"
    done = rapport("replay-state", "--dry-run", env=on_database)
    assert (done.returncode, done.stdout) == (0, "1 states replayed, 0 would change, 0 failed\n")
    assert rapport("verify", env=on_database).returncode == 0


def test_a_database_without_the_schema_is_said_in_one_line(
    rapport: Any, on_database: dict[str, str], database_server: Any
) -> None:
    with database_server.database() as name:
        url = {"RAPPORT_DATABASE_URL": database_server.owner_url(name)}
        done = rapport("replay-state", env=on_database | url)
    assert done.returncode == 2
    assert done.stderr.startswith("rapport: the database has no Rapport schema")
