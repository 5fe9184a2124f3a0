"""`rapport replay-state` as its user has it."""

import json
from dataclasses import replace
from typing import Any

from app.domain.health.facts import fact_of
from app.domain.health.form import SHIPPED, form_of
from app.domain.health.history import fold
from app.domain.health.model import shipped
from app.domain.health.state import EMPTY
from tests.cli.test_verify import CUSTOMER, add_customer, execute


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


async def test_a_replay_moves_everybody_to_the_half_lives_of_the_active_model(
    rapport: Any, on_database: dict[str, str], owner_url: str
) -> None:
    await add_customer(owner_url, fold([fact_of("support_contact", 1_600_000_000, "shop/c")]).encode())
    await execute(
        owner_url,
        "INSERT INTO touchpoints (customer_id, origin_customer_id, source, id, kind, occurred_at, received_at,"
        " body_sha256, outcome) VALUES ($1, $1, 'shop', 'c', 'support_contact', to_timestamp(1600000000), now(),"
        " sha256('b'), 'null')",
        CUSTOMER,
    )
    await execute(owner_url, "UPDATE customer_states SET scored_by = '2026.1', scored_at = now()")
    await execute(
        owner_url,
        "UPDATE scoring_models SET draining_since = now() - interval '1 hour' WHERE version = '2026.1'",
    )
    slow = replace(shipped(), version="slow", form=form_of({**SHIPPED.half_lives, "contacts": 60}))
    await execute(
        owner_url,
        "INSERT INTO scoring_models (version, status, parameters, created_at, created_by, published_at)"
        " VALUES ('slow', 'active', $1::text::jsonb, now(), 'test', now())",
        json.dumps(slow.to_json()),
    )
    assert rapport("verify", env=on_database).returncode == 0
    done = rapport("replay-state", "--dry-run", env=on_database)
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        1,
        "1 states replayed, 1 would change, 0 failed",
    )
    done = rapport("replay-state", env=on_database)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "1 states replayed, 1 changed, 0 failed",
        "1 of them to the half-lives of the active model",
        "model 2026.1 scores nobody any more and is retired",
    ]
    assert rapport("verify", env=on_database).returncode == 0


def test_a_database_without_the_schema_is_said_in_one_line(
    rapport: Any, on_database: dict[str, str], database_server: Any
) -> None:
    with database_server.database() as name:
        url = {"RAPPORT_DATABASE_URL": database_server.owner_url(name)}
        done = rapport("replay-state", env=on_database | url)
    assert done.returncode == 2
    assert done.stderr.startswith("rapport: the database has no Rapport schema")
