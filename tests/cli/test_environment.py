"""Which database the commands work on, and as whom."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from app.cli import environment
from app.cli.environment import Urls
from app.settings import Settings
from app.storage.migrate import head

OWNER, APP = "postgresql://owner@db/x", "postgresql://rapport_app@db/x"


@pytest.mark.parametrize(
    "migration_url, database_url, expected",
    [
        (OWNER, APP, Urls(OWNER, APP)),
        (OWNER, None, Urls(OWNER, OWNER)),
        (None, APP, Urls(APP, APP)),
    ],
)
def test_either_variable_names_the_database(
    migration_url: str | None, database_url: str | None, expected: Urls
) -> None:
    settings = Settings(migration_url=migration_url, database_url=database_url)
    with environment.database(settings) as urls:
        assert urls == expected


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"RAPPORT_{name.upper()}", "")
    settings = Settings()
    assert settings == Settings.model_construct()
    assert settings.database_url is None


def test_migrate_needs_the_owners_login_alone_and_starts_no_server(
    rapport: Any, database_server: Any, tmp_path: Path
) -> None:
    with database_server.database() as name:
        settings = {"RAPPORT_MIGRATION_URL": database_server.owner_url(name), "RAPPORT_DATABASE_URL": ""}
        done = rapport("migrate", env=settings)
        assert (done.returncode, head() in done.stdout) == (0, True), done.stderr
        assert rapport("keys", "list", env=settings).stdout == "There are no keys yet.\n"
    assert not (tmp_path / "postgres").exists()


def test_a_migration_url_that_is_none_is_named(rapport: Any) -> None:
    done = rapport("migrate", env={"RAPPORT_MIGRATION_URL": "mysql://a/b"})
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith("rapport: RAPPORT_MIGRATION_URL: not a URL like")


@pytest.fixture
def plain_postgres() -> Iterator[str]:
    """What a PostgreSQL without TLS says to who asks for it: N."""

    def refuse(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(8)
                client.sendall(b"N")
                client.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=refuse, args=(listener,), daemon=True).start()
        yield f"postgresql://u:hunter2@127.0.0.1:{listener.getsockname()[1]}/x"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("command", [("migrate",), ("serve", "--port", "0"), ("keys", "list")])
@pytest.mark.parametrize(
    "sslmode, says", [("require", "rejected SSL upgrade"), ("nonsense", "`sslmode` parameter must be one of")]
)
def test_a_server_that_cannot_encrypt_as_asked_is_one_line(
    rapport: Any, plain_postgres: str, command: tuple[str, ...], sslmode: str, says: str
) -> None:
    done = rapport(*command, env={"RAPPORT_DATABASE_URL": f"{plain_postgres}?sslmode={sslmode}"})
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("rapport: cannot reach the database: ")
    assert says in line
    assert "hunter2" not in line


def test_the_url_may_say_how_to_encrypt(rapport: Any, owner_url: str) -> None:
    url = make_url(owner_url).update_query_dict({"sslmode": "disable"}).render_as_string(hide_password=False)
    for command in (("migrate",), ("keys", "list")):
        done = rapport(*command, env={"RAPPORT_DATABASE_URL": url})
        assert (done.returncode, done.stderr) == (0, "")


def test_migrations_never_go_through_a_pooler(rapport: Any, database_url: str, owner_url: str) -> None:
    pooled = {"RAPPORT_PGBOUNCER": "1", "RAPPORT_DATABASE_URL": database_url}
    refused = rapport("migrate", env=pooled)
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "rapport: RAPPORT_PGBOUNCER: migrations need RAPPORT_MIGRATION_URL, which leads past the pooler"
    ]
    assert rapport("migrate", env=pooled | {"RAPPORT_MIGRATION_URL": owner_url}).returncode == 0


@pytest.mark.parametrize(
    "pgbouncer, migration_url, pooler", [(True, None, True), (True, "owner", False), (False, None, False)]
)
def test_a_start_does_not_migrate_through_a_pooler(
    pgbouncer: bool, migration_url: str | None, pooler: bool
) -> None:
    settings = Settings(database_url="app", migration_url=migration_url, pgbouncer=pgbouncer)
    assert environment.leads_to_pooler(settings) is pooler
