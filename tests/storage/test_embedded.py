import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.storage import embedded
from app.storage.database import connect_arguments
from app.storage.embedded import (
    EmbeddedServer,
    EmbeddedServerError,
    is_running,
    postmaster_pid,
    start_embedded,
    stop_embedded,
)
from app.storage.embedded_account import server_account

ROOT = Path(__file__).resolve().parents[2]
TEMPORARY = Path(tempfile.gettempdir()).resolve()
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="about what root meets")


@pytest.fixture
def home() -> Iterator[Path]:
    """A closed folder with a short name, and no server left in it afterwards."""
    with tempfile.TemporaryDirectory(prefix="rapport-test-") as folder:
        path = Path(folder) / "home"
        yield path
        if is_running(path):
            stop_embedded(start_embedded(path))


async def query(server: EmbeddedServer, statement: str) -> object:
    connection = await asyncpg.connect(**connect_arguments(server.url()))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def kill(home: Path) -> int:
    """End the postmaster as a crash does, and answer its number."""
    pid = postmaster_pid(home)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while is_running(home):
        time.sleep(0.01)
    return pid


def in_another_process(home: Path, then: str) -> subprocess.Popen[str]:
    """A process that starts the server, says so with its number, and then does something."""
    code = (
        "import os, signal, sys, time; from pathlib import Path; from app.storage.embedded import *;"
        f"home = Path({str(home)!r}); server = start_embedded(home);"
        f"print(postmaster_pid(home), flush=True); {then}"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


async def test_the_server_is_postgresql_18_durable_and_not_on_the_network(home: Path) -> None:
    server = start_embedded(home)
    settings = ["fsync", "full_page_writes", "synchronous_commit", "data_checksums"]
    assert [await query(server, f"SHOW {name}") for name in settings] == ["on"] * 4
    assert await query(server, "SHOW listen_addresses") == ""
    assert str(await query(server, "SHOW server_version")).startswith("18.")
    assert await query(server, "SHOW log_error_verbosity") == "terse"
    stop_embedded(server)
    assert not is_running(home)


def test_only_its_own_account_reaches_data_and_socket(home: Path) -> None:
    server = start_embedded(home)
    data = (home / "postgres").stat()
    assert (stat.S_IMODE(data.st_mode), data.st_uid) == (0o700, server_account().uid)
    assert server.socket_directory == (home / "postgres").resolve()
    assert not home.stat().st_mode & (stat.S_IRWXO | stat.S_IRGRP | stat.S_IWGRP)
    stop_embedded(server)


def test_a_server_stops_when_the_last_who_uses_it_lets_go(home: Path) -> None:
    first = start_embedded(home)
    pid = postmaster_pid(home)
    second = start_embedded(home)
    assert first == second
    stop_embedded(first)
    stop_embedded(first)
    assert postmaster_pid(home) == pid
    stop_embedded(second)
    assert postmaster_pid(home) is None


def test_a_process_that_stops_leaves_the_server_to_the_others(home: Path) -> None:
    other = in_another_process(home, "sys.stdin.read(); stop_embedded(server)")
    assert other.stdout is not None
    pid = int(other.stdout.readline())
    server = start_embedded(home)
    other.communicate(timeout=30)
    assert postmaster_pid(home) == pid
    stop_embedded(server)
    assert not is_running(home)


def test_a_killed_process_leaves_a_server_that_the_next_one_finds_and_stops(home: Path) -> None:
    other = in_another_process(home, "os.kill(os.getpid(), signal.SIGKILL)")
    pid = int(other.communicate(timeout=30)[0])
    server = start_embedded(home)
    assert postmaster_pid(home) == pid
    stop_embedded(server)
    assert not is_running(home)


def test_processes_that_start_at_once_share_one_server(home: Path) -> None:
    others = [in_another_process(home, "sys.stdin.read(); stop_embedded(server)") for _ in range(3)]
    pids = {other.stdout.readline() for other in others if other.stdout is not None}
    assert len(pids) == 1
    for other in others:
        other.communicate(timeout=30)
    assert not is_running(home)


async def test_what_was_committed_is_there_after_a_crash(home: Path) -> None:
    server = start_embedded(home)
    await query(server, "CREATE TABLE sample AS SELECT generate_series(1, 1000) AS n")
    killed = kill(home)
    restarted = start_embedded(home)
    assert postmaster_pid(home) != killed
    assert await query(restarted, "SELECT sum(n) FROM sample") == 500_500
    stop_embedded(server)
    stop_embedded(restarted)
    assert not is_running(home)


def test_the_number_of_a_killed_server_may_belong_to_somebody_else_by_now(home: Path) -> None:
    server = start_embedded(home)
    kill(home)
    account = server_account()
    user = None if account.is_ours else account.uid
    sleeper = subprocess.Popen(["/bin/sleep", "60"], user=user, cwd="/")
    try:
        for lock_file in (
            home / "postgres" / "postmaster.pid",
            server.socket_directory / ".s.PGSQL.5432.lock",
        ):
            _, _, rest = lock_file.read_text().partition("\n")
            lock_file.write_text(f"{sleeper.pid}\n{rest}")
        assert not is_running(home)
        restarted = start_embedded(home)
        assert postmaster_pid(home) != sleeper.pid
    finally:
        sleeper.kill()
        sleeper.wait()
    stop_embedded(server)
    stop_embedded(restarted)


async def test_a_deep_home_has_its_socket_in_a_private_temporary_folder(home: Path) -> None:
    deep = home.joinpath(*["a folder with a long name"] * 8)
    server = start_embedded(deep)
    socket_directory = server.socket_directory
    found = socket_directory.stat()
    assert socket_directory.parent == TEMPORARY
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, server_account().uid)
    assert await query(server, "SELECT 1") == 1
    again = start_embedded(deep)
    assert again == server
    stop_embedded(server)
    stop_embedded(again)
    assert not socket_directory.exists()


def test_a_socket_folder_that_others_may_use_is_refused(home: Path) -> None:
    deep = home.joinpath(*["a folder with a long name"] * 8)
    server = start_embedded(deep)
    stop_embedded(server)
    server.socket_directory.mkdir(mode=0o755)
    try:
        with pytest.raises(EmbeddedServerError, match="not a private folder"):
            start_embedded(deep)
    finally:
        server.socket_directory.rmdir()


async def test_an_interrupted_first_start_is_done_again(home: Path) -> None:
    unfinished = home / "postgres.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    server = start_embedded(home)
    assert await query(server, "SELECT 1") == 1
    assert not unfinished.exists()
    stop_embedded(server)


async def test_libpq_variables_for_another_server_are_not_obeyed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "6543", "PGHOST": "nowhere.invalid", "PGDATA": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    server = start_embedded(home)
    assert await query(server, "SELECT 1") == 1
    stop_embedded(server)


def test_a_server_that_cannot_start_says_why_in_one_line(home: Path) -> None:
    stop_embedded(start_embedded(home))
    with (home / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("shared_buffers = 'a lot'\n")
    with pytest.raises(EmbeddedServerError, match=r"^the embedded PostgreSQL did not start: .+$"):
        start_embedded(home)
    assert not is_running(home)


def test_a_home_that_is_no_folder_is_refused_in_one_line(home: Path) -> None:
    home.write_text("")
    with pytest.raises(EmbeddedServerError, match=r"^cannot use .*File exists$"):
        start_embedded(home)


def test_a_missing_extra_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _name: None)
    with pytest.raises(EmbeddedServerError, match=r"RAPPORT_DATABASE_URL.*rapport\[embedded\]"):
        start_embedded(home)


@root_only
def test_root_opens_closed_folders_of_its_own_for_the_servers_account_alone(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    closed = home / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    caplog.set_level("WARNING")
    server = start_embedded(closed / "home")
    assert str(closed) in caplog.text
    found = closed.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o710, server_account().gid)
    stop_embedded(server)


@root_only
def test_root_leaves_closed_folders_of_others_closed(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(parents=True)
    os.chown(closed, 12345, 12345)
    closed.chmod(0o700)
    with pytest.raises(EmbeddedServerError, match="start Rapport as an ordinary user"):
        start_embedded(closed / "home")
    found = closed.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o700, 12345)


@root_only
def test_data_of_another_account_is_left_alone(home: Path) -> None:
    stop_embedded(start_embedded(home))
    os.chown(home / "postgres", 12345, 12345)
    with pytest.raises(EmbeddedServerError, match="belongs to another account"):
        start_embedded(home)
