"""`rapport serve` as a process: what it prints, what it survives, how it ends."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil  # type: ignore[import-untyped]  # comes with the embedded server, without types
import pytest

from app.cli.failure import Failure
from app.cli.serve import _command, _when_it_recovered
from app.domain import keys
from app.storage.database import connect_arguments

ROOT = Path(__file__).parents[2]
START_SECONDS = 30
BODY = b'{"id": "evt-1", "customer": {"external_id": "42"}, "kind": "visit"}'


@pytest.fixture
def home() -> Iterator[Path]:
    """A home for an embedded server: short, because a socket lives in it."""
    folder = Path(tempfile.mkdtemp(prefix="rapport-cli-"))
    yield folder
    shutil.rmtree(folder)


async def stored_hashes(url: str) -> list[bytes]:
    connection = await asyncpg.connect(**connect_arguments(url))
    try:
        return [row["sha256"] for row in await connection.fetch("SELECT sha256 FROM api_keys")]
    finally:
        await connection.close()


def keys_answer(url: str, key: str | None) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    # The address is announced when clients may queue; on a busy machine the first answer takes seconds longer.
    return httpx.get(f"{url}/v1/keys", headers=headers, timeout=START_SECONDS).status_code


def until(condition: Callable[[], Any], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def workers(pid: int) -> list[int]:
    """The worker processes of a supervisor that live: the children of the process that has imported the service."""
    return [worker.pid for preloaded in preloaded_by(pid) for worker in living_children(preloaded)]


def preloaded_by(pid: int) -> list[psutil.Process]:
    """The processes from which a supervisor's workers are forked: one, or none while it is started again."""
    return [
        one
        for one in living_children(psutil.Process(pid))
        if "multiprocessing.forkserver" in " ".join(one.cmdline())
    ]


def living_children(process: psutil.Process) -> list[psutil.Process]:
    """Its children; zombies are none."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in process.children():
            with suppress(psutil.NoSuchProcess):
                if child.cmdline():
                    found.append(child)
    return found


async def test_the_first_start_makes_a_key_and_later_starts_do_not(
    serve: Any, on_database: dict[str, str]
) -> None:
    first = serve("--port", "0", env=on_database)
    assert keys.is_well_formed(first.key)
    assert [keys.is_well_formed(key) for key in re.findall(r"rap_sk_\w+", first.printed)] == [True, True]
    assert keys_answer(first.url, first.key) == 200
    assert await stored_hashes(on_database["RAPPORT_DATABASE_URL"]) == [
        hashlib.sha256(first.key.encode()).digest()
    ]
    assert first.end(signal.SIGTERM) == 0

    second = serve("--port", "0", env=on_database)
    assert second.key is None
    assert keys_answer(second.url, first.key) == 200
    assert second.end(signal.SIGINT) == 0


def test_what_the_first_start_prints_can_be_typed_as_it_stands(
    serve: Any, on_database: dict[str, str], tmp_path: Path
) -> None:
    first = serve("--port", "0", env=on_database)
    command = first.printed.splitlines()[-1]
    assert "│" not in command
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
    done = subprocess.run(
        [*shlex.split(command), "--customers", "3"],
        env=inherited | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "3 customers" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("is_installed", [True, False])
def test_a_command_is_said_as_it_was_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_installed: bool
) -> None:
    script = tmp_path / "a folder" / "rapport"
    script.parent.mkdir()
    if is_installed:
        script.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "serve"])
    assert _command() == (f"'{script}'" if is_installed else "rapport")
    monkeypatch.chdir(script.parent)
    monkeypatch.setattr(sys, "argv", ["rapport", "serve"])
    assert _command() == "rapport"


async def test_an_admin_key_of_the_settings_is_used_and_no_other_is_made(
    serve: Any, on_database: dict[str, str]
) -> None:
    key = keys.new_key(publishable=False)
    serving = serve("--port", "0", env=on_database | {"RAPPORT_ADMIN_KEY": key})
    assert serving.key is None
    assert keys_answer(serving.url, key) == 200
    assert await stored_hashes(on_database["RAPPORT_DATABASE_URL"]) == []


def test_answers_name_no_server_software(serve: Any, on_database: dict[str, str]) -> None:
    serving = serve("--port", "0", env=on_database)
    assert "server" not in httpx.get(f"{serving.url}/healthz", timeout=START_SECONDS).headers


def test_a_port_in_use_is_one_line_and_nothing_is_started(rapport: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = rapport("serve", "--port", str(port))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"rapport: port {port} on 127.0.0.1 is in use: stop what uses it, or take another one with --port {port + 1}"
    ]
    assert not (tmp_path / "postgres").exists()


def test_a_request_under_way_is_answered_before_the_service_stops(
    serve: Any, on_database: dict[str, str]
) -> None:
    serving = serve("--port", "0", env=on_database)
    assert keys_answer(serving.url, serving.key) == 200  # it runs by now, and not only queues
    head = (
        f"POST /v1/touchpoints HTTP/1.1\r\nHost: x\r\nX-API-Key: {serving.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", serving.port)) as connection:
        connection.sendall(head.encode() + BODY[:10])
        time.sleep(0.3)
        serving.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert serving.process.poll() is None
        connection.sendall(BODY[10:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")
    assert serving.process.wait(timeout=10) == 0


def talk(connection: socket.socket, sent: bytes) -> tuple[bytes, dict[str, Any]]:
    """The status line and the problem that answer what was sent, once the service has closed the connection."""
    connection.sendall(sent)
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return head.split(b"\r\n")[0], json.loads(body)


def test_a_client_that_does_not_finish_its_request_is_let_go(serve: Any, on_database: dict[str, str]) -> None:
    serving = serve("--port", "0", env=on_database | {"RAPPORT_REQUEST_TIMEOUT_SECONDS": "0.5"})
    head = f"POST /v1/touchpoints HTTP/1.1\r\nHost: x\r\nX-API-Key: {serving.key}\r\n"
    body = "Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    for sent in ("", head, head + body):
        with socket.create_connection(("127.0.0.1", serving.port), timeout=10) as connection:
            status, problem = talk(connection, sent.encode())
        assert (status, problem["code"]) == (b"HTTP/1.1 408 Request Timeout", "request_timeout")
    # Whoever has sent all of it may take as long as the answer takes, and may stay for the next request.
    with httpx.Client(base_url=serving.url, timeout=START_SECONDS) as client:
        assert client.get("/healthz").status_code == 200
        time.sleep(0.8)
        assert client.get("/healthz").status_code == 200


def test_bytes_that_are_no_http_are_told_so_in_a_problem_document(
    serve: Any, on_database: dict[str, str]
) -> None:
    serving = serve("--port", "0", env=on_database)
    with socket.create_connection(("127.0.0.1", serving.port), timeout=10) as connection:
        status, problem = talk(connection, b"\x16\x03\x01 hello\r\n\r\n")
    assert (status, problem["code"]) == (b"HTTP/1.1 400 Bad Request", "malformed_http")


def test_a_head_without_end_is_cut_off(serve: Any, on_database: dict[str, str]) -> None:
    serving = serve("--port", "0", env=on_database)
    line = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(20_000))
    chunked = b"POST /v1/touchpoints HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
    endless = (b"GET /" + b"a" * 200_000, line + b"X: " + b"a" * 200_000, line + many, chunked + many)
    for sent in endless:
        with socket.create_connection(("127.0.0.1", serving.port), timeout=START_SECONDS) as connection:
            # In pieces: the service may close before all of it was taken.
            with suppress(BrokenPipeError, ConnectionResetError):
                for begin in range(0, len(sent), 8192):
                    connection.sendall(sent[begin : begin + 8192])
                    time.sleep(0.001)
            with suppress(ConnectionResetError):
                answer = connection.recv(65536)
                assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 401 ")), answer
    large = {"X-Large": "a" * 30_000}
    with httpx.Client(base_url=serving.url, timeout=START_SECONDS) as client:
        # What fits is read, also when more requests follow on the same connection.
        assert [client.get("/healthz", headers=large).status_code for _ in range(5)] == [200] * 5


def test_connections_beyond_the_limit_are_refused_until_others_end(
    serve: Any, on_database: dict[str, str]
) -> None:
    serving = serve("--port", "0", env=on_database | {"RAPPORT_MAX_CONNECTIONS": "2"})
    address = ("127.0.0.1", serving.port)
    with socket.create_connection(address), socket.create_connection(address):
        time.sleep(0.2)
        with socket.create_connection(address, timeout=10) as third:
            status, problem = talk(third, b"")
        assert (status, problem["code"]) == (b"HTTP/1.1 503 Service Unavailable", "too_many_connections")
    until(lambda: httpx.get(f"{serving.url}/healthz", timeout=START_SECONDS).status_code == 200)


def test_a_worker_that_dies_is_replaced(serve: Any, on_database: dict[str, str]) -> None:
    serving = serve("--port", "0", "--workers", "2", env=on_database)
    until(lambda: len(workers(serving.process.pid)) == 2)
    killed = workers(serving.process.pid)[0]
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(workers(serving.process.pid)) == 2 and killed not in workers(serving.process.pid))
    assert keys_answer(serving.url, serving.key) == 200
    assert serving.end(signal.SIGTERM) == 0


def test_a_worker_that_dies_while_it_is_asked_whether_it_lives_is_replaced_at_once(
    serve: Any, on_database: dict[str, str]
) -> None:
    serving = serve("--port", "0", "--workers", "2", env=on_database)
    until(lambda: len(workers(serving.process.pid)) == 2)
    killed = workers(serving.process.pid)[0]
    os.kill(killed, signal.SIGSTOP)
    time.sleep(1.5)  # by now its supervisor has asked, and waits
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(workers(serving.process.pid)) == 2 and killed not in workers(serving.process.pid), 5)
    assert serving.end(signal.SIGTERM) == 0


def test_workers_are_replaced_with_the_process_that_forked_them(
    serve: Any, on_database: dict[str, str]
) -> None:
    serving = serve("--port", "0", "--workers", "2", env=on_database)
    until(lambda: len(workers(serving.process.pid)) == 2)
    before = workers(serving.process.pid)
    (preloaded,) = preloaded_by(serving.process.pid)
    preloaded.kill()
    until(lambda: len(workers(serving.process.pid)) == 2 and not any(map(psutil.pid_exists, before)))
    assert httpx.get(f"{serving.url}/readyz").status_code == 200


def test_workers_do_not_outlive_a_supervisor_that_was_killed(serve: Any, on_database: dict[str, str]) -> None:
    first = serve("--port", "0", "--workers", "2", env=on_database)
    until(lambda: len(workers(first.process.pid)) == 2)
    left = workers(first.process.pid)
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    second = serve("--port", str(first.port), "--workers", "2", env=on_database)
    assert keys_answer(second.url, first.key) == 200
    until(lambda: not any(psutil.pid_exists(pid) for pid in left))


def test_a_killed_service_starts_again_on_its_embedded_server(serve: Any, home: Path) -> None:
    environment = {"RAPPORT_HOME": str(home)}
    first = serve("--port", "0", env=environment)
    headers = {"X-API-Key": first.key, "Content-Type": "application/json"}
    assert (
        httpx.post(
            f"{first.url}/v1/touchpoints", content=BODY, headers=headers, timeout=START_SECONDS
        ).status_code
        == 201
    )
    first.end(signal.SIGKILL)

    second = serve("--port", "0", env=environment)
    assert second.key is None
    again = httpx.post(f"{second.url}/v1/touchpoints", content=BODY, headers=headers, timeout=START_SECONDS)
    assert (again.status_code, again.json()["duplicate"]) == (200, True)
    assert second.end(signal.SIGTERM) == 0
    assert not (home / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize(
    "variable, value, says",
    [
        ("RAPPORT_LANES", "3", "RAPPORT_LANES: must be a power of two"),
        ("RAPPORT_ADMIN_KEY", "rap_sk_typo", "RAPPORT_ADMIN_KEY: malformed"),
        ("RAPPORT_DATABASE_URL", "mysql://a/b", "RAPPORT_DATABASE_URL: not a URL like postgresql://"),
        ("RAPPORT_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/x", "cannot reach the database"),
    ],
)
def test_an_environment_that_cannot_work_is_one_line(
    rapport: Any, variable: str, value: str, says: str
) -> None:
    done = rapport("serve", "--port", "0", env={variable: value})
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr
    assert "secret" not in done.stderr


def test_a_database_that_is_recovering_is_waited_for() -> None:
    """By the words of the protocol: three times "the database system is starting up", then another refusal."""
    refusals = [b"57P03"] * 3 + [b"28000"]
    heard = []

    def refuse(listener: socket.socket) -> None:
        for code in refusals:
            client, _ = listener.accept()
            with client:
                heard.append(client.recv(1024))
                fields = b"SFATAL\0VFATAL\0C" + code + b"\0Mnot now\0\0"
                client.sendall(b"E" + (4 + len(fields)).to_bytes(4) + fields)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        port = listener.getsockname()[1]
        url = f"postgresql://somebody@127.0.0.1:{port}/shop?sslmode=disable"
        with pytest.raises(Failure, match="refused the connection"):
            _when_it_recovered(url)
        thread.join()
    assert len(heard) == len(refusals)
