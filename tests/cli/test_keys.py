"""`rapport keys` and `rapport migrate`, on a database of the test's own."""

import asyncio
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.api.keys import _NEW_KEY_EXAMPLES
from app.cli.keys import _create_first
from app.domain import keys
from app.storage.database import connect_arguments
from app.storage.migrate import head

DatabaseServer = Any


def test_a_new_admin_key_is_well_formed_and_needs_no_database(rapport: Any) -> None:
    done = rapport("keys", "new", env={"RAPPORT_DATABASE_URL": "postgresql://nowhere.invalid/x"})
    assert keys.is_well_formed(done.stdout.removesuffix("\n"))
    assert done.returncode == 0


def test_a_created_key_opens_the_service_until_it_is_revoked(
    rapport: Any, serve: Any, on_database: dict[str, str]
) -> None:
    serving = serve("--port", "0", env=on_database)
    created = rapport(
        "keys",
        "create",
        "--preset",
        "support",
        "--source",
        "helpdesk",
        "--expires-in-days",
        "30",
        env=on_database,
    )
    key = created.stdout.strip()
    assert keys.is_well_formed(key)
    assert key not in created.stderr

    def opens() -> int:
        return httpx.get(f"{serving.url}/v1/keys", headers={"X-API-Key": key}, timeout=30).status_code

    assert opens() == 403  # known, and not an admin's

    listed = rapport("keys", "list", env=on_database).stdout
    (line,) = [line for line in listed.splitlines() if "helpdesk" in line]
    key_id, preset, source, last_four = line.split()[:4]
    assert (preset, source, last_four) == ("support", "helpdesk", key[-4:])
    assert f"live until {datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}" in line

    assert rapport("keys", "revoke", key_id, env=on_database).returncode == 0
    assert rapport("keys", "revoke", key_id, env=on_database).returncode == 0
    assert "revoked" in rapport("keys", "list", env=on_database).stdout
    time.sleep(1.1)  # what a revocation may take to reach a running service
    assert opens() == 401
    assert serving.end(signal.SIGTERM) == 0


async def test_a_key_of_the_command_line_has_its_networks_and_rate_and_is_in_the_audit_log(
    rapport: Any, on_database: dict[str, str], owner_url: str
) -> None:
    said = ("--network", "203.0.113.0/24", "--network", "2001:db8::1", "--rate-per-minute", "60")
    arguments = ("keys", "create", "--preset", "support", "--source", "desk", *said)
    created = await asyncio.to_thread(rapport, *arguments, env=on_database)
    assert created.returncode == 0, created.stderr
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    row = await connection.fetchrow("SELECT networks, rate_per_minute FROM api_keys WHERE source = 'desk'")
    assert dict(row) == {"networks": ["203.0.113.0/24", "2001:db8::1/128"], "rate_per_minute": 60}
    told = await connection.fetch("SELECT actor, action FROM audit_log")
    assert [tuple(each) for each in told] == [("cli", "key_created")]
    await connection.close()


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("create", "--preset", "root", "--source", "x"), "preset must be one of"),
        (("create", "--preset", "admin", "--source", "two words"), "A source is"),
        (("create", "--preset", "publishable", "--source", "x", "--origin", "shop.example"), "An origin is"),
        (
            ("create", "--preset", "admin", "--source", "x", "--origin", "https://a.example"),
            "Only publishable",
        ),
        (("create", "--preset", "admin", "--source", "x", "--network", "10.0.0.1/8"), "A network is"),
        (("revoke", "nonsense"), "'nonsense' is not a key's id"),
        (("revoke", "01934b2e-0000-7000-8000-000000000000"), "there is no key 01934b2e"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    rapport: Any, on_database: dict[str, str], arguments: tuple[str, ...], says: str
) -> None:
    done = rapport("keys", *arguments, env=on_database)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith(f"rapport: {says}")


def test_migrate_brings_an_empty_database_to_the_newest_schema_and_may_be_repeated(
    rapport: Any, database_server: DatabaseServer
) -> None:
    with database_server.database() as name:
        environment = {"RAPPORT_DATABASE_URL": database_server.owner_url(name)}
        before = rapport("keys", "list", env=environment)
        assert (before.returncode, "run `rapport migrate` first" in before.stderr) == (2, True)
        for _ in range(2):
            done = rapport("migrate", env=environment)
            assert (done.returncode, head() in done.stdout) == (0, True)
        assert rapport("keys", "list", env=environment).returncode == 0


def test_a_login_that_is_refused_is_one_line_without_its_password(
    rapport: Any, database_server: DatabaseServer
) -> None:
    url = database_server.admin_url.set(username="nobody_known", password="hunter2")  # noqa: S106 - no account has it
    done = rapport("keys", "list", env={"RAPPORT_DATABASE_URL": url.render_as_string(hide_password=False)})
    assert done.returncode == 2
    assert done.stderr.startswith("rapport: the database refused the connection")
    assert "hunter2" not in done.stderr


async def test_services_that_start_at_once_make_one_admin_key_together(
    database_url: str, owner_url: str
) -> None:
    now = datetime.now(UTC)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    owner, watcher = [await asyncpg.connect(**connect_arguments(owner_url)) for _ in range(2)]
    try:
        async with owner.transaction():
            # Keys can be read but none be added, until everybody who could find none has looked.
            await owner.execute("LOCK TABLE api_keys IN SHARE MODE")
            starts = [asyncio.create_task(_create_first(database_url, now)) for _ in range(4)]
            async with asyncio.timeout(20):
                while await watcher.fetchval(waiting) < len(starts):  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(0.02)
        made = await asyncio.gather(*starts)
    finally:
        await owner.close()
        await watcher.close()
    assert len([key for key in made if key is not None]) == 1
    assert await _create_first(database_url, now) is None


def test_examples_give_a_publishable_key_a_source_of_its_own(rapport: Any) -> None:
    shown = rapport("keys", "create", "--help").stdout
    assert "--preset storefront --source shop-eu" in shown
    assert "--preset publishable --source web" in shown
    examples: Any = _NEW_KEY_EXAMPLES
    assert examples["web page"]["source"] != examples["storefront"]["source"]
