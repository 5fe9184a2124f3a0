"""`rapport keys` and `rapport migrate`, on a database of the test's own."""

import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.domain import keys
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
