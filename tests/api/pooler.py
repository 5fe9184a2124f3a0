"""PgBouncer in transaction mode between the service and its database, with fewer sessions than clients."""

import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, make_url

from app.storage.embedded_account import server_account

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
# So few that the statements of one client are spread over sessions that others have used just before.
SESSIONS = 3
PORT = 6432  # names the socket file; nothing listens on it
START_SECONDS = 30
IDLE_TRANSACTION_SECONDS = 5


@contextmanager
def pooled(database_url: str) -> Iterator[str]:
    """The same database through a pooler, while the block lasts."""
    assert PGBOUNCER is not None
    url = make_url(database_url)
    # PgBouncer refuses to run as root, and the embedded server's socket is its own account's.
    account = server_account()
    folder = Path(tempfile.mkdtemp(prefix="rapport-pool-"))
    try:
        configuration = _configure(folder, url)
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, account.uid, account.gid)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [PGBOUNCER, str(configuration)],
                user=account.uid,
                group=account.gid,
                extra_groups=[],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            _await_socket(folder, process)
            through = url.set(host=None, port=None).update_query_dict(
                {"host": str(folder), "port": str(PORT)}
            )
            yield through.render_as_string(hide_password=False)
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)
    finally:
        shutil.rmtree(folder)


def _configure(folder: Path, url: URL) -> Path:
    host, port = url.query.get("host") or url.host, url.query.get("port") or url.port or 5432
    password = url.password or secrets.token_hex(8)
    (folder / "users").write_text(f'"{url.username}" "{password}"\n')
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        "[databases]\n"
        f"{url.database} = host={host} port={port}\n"
        "[pgbouncer]\n"
        "listen_addr =\n"
        f"unix_socket_dir = {folder}\n"
        f"listen_port = {PORT}\n"
        "auth_type = trust\n"
        f"auth_file = {folder}/users\n"
        "pool_mode = transaction\n"
        f"default_pool_size = {SESSIONS}\n"
        "max_client_conn = 200\n"
        f"idle_transaction_timeout = {IDLE_TRANSACTION_SECONDS}\n"
    )
    return configuration


def _await_socket(folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(folder / f".s.PGSQL.{PORT}")) == 0:
                return
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
