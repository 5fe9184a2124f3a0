"""A disk so small that it can be filled: a tmpfs of its own, where this process may mount one."""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# A cluster, a handful of databases, and the WAL that postgres.TINY_WAL leaves it.
SIZE_MB = 640
_STEP_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Disk:
    """`folder` is on it. `missing`: why there is none, and `folder` is on a usual disk; then it is never filled."""

    folder: Path
    missing: str | None

    def fill(self) -> None:
        """Take every byte that is left."""
        assert self.missing is None
        ballast = os.open(self._ballast, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            for step in (_STEP_BYTES, 4096):
                self._append(ballast, bytes(step))
        finally:
            os.close(ballast)

    def _append(self, ballast: int, zeros: bytes) -> None:
        try:
            while os.write(ballast, zeros) == len(zeros):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


@contextmanager
def tiny_disk() -> Iterator[Disk]:
    """A new one while the block lasts."""
    # Short, because a socket lives in it.
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    missing = _mount(folder)
    try:
        yield Disk(folder, missing)
    finally:
        if missing is None:
            subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: S607 - where it is, differs
        shutil.rmtree(folder)


def _mount(folder: Path) -> str | None:
    """Why it could not be mounted, if it could not."""
    if shutil.which("mount") is None:
        return "there is no mount command"
    options = f"size={SIZE_MB}m,mode=0700"
    command = ["mount", "-t", "tmpfs", "-o", options, "chaos", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip() or f"mount ended with {done.returncode}"
