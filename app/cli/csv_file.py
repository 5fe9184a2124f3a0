"""A CSV file with a header, gzipped or not: its columns by name, its rows with their line numbers."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

from app.cli.failure import Failure

GZIP_MAGIC: Final = b"\x1f\x8b"


class Unusable(Exception):
    """A row that cannot be used; `code` is a word like those of the service's problems."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class CsvFile:
    """The file and its header. Raises Failure where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as text:
            header = next(self._guarded(csv.reader(text)), None)
        if header is None:
            raise Failure(f"{path} is empty")
        self.header = [name.strip() for name in header]

    def index(self, name: str | None) -> int | None:
        """Where a column stands. Raises Failure when there is none of this name."""
        if name is None:
            return None
        if name not in self.header:
            raise Failure(f"{self._path} has no column {name!r}; there are: {', '.join(self.header)}")
        return self.header.index(name)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row after the header with the number of its last line (the header is line 1); blank lines are none."""
        with self._open() as text:
            reader = csv.reader(text)
            rows = self._guarded(reader)
            next(rows, None)
            for row in rows:
                if row:
                    yield reader.line_num, row

    def check_width(self, row: Sequence[str]) -> None:
        """Raises Unusable for a row that has other columns than the header."""
        if len(row) != len(self.header):
            raise Unusable(
                "bad_row", f"the row has {len(row)} fields where the header has {len(self.header)}"
            )

    def _open(self) -> TextIO:
        try:
            with self._path.open("rb") as start:
                zipped = start.read(2) == GZIP_MAGIC
            # A byte order mark, which spreadsheets write, is not part of the first column's name.
            if zipped:
                return gzip.open(self._path, "rt", encoding="utf-8-sig", newline="")
            return self._path.open(encoding="utf-8-sig", newline="")
        except OSError as error:
            raise Failure(f"{self._path}: {error.strerror}") from error

    def _guarded(self, reader: Iterator[list[str]]) -> Iterator[list[str]]:
        try:
            yield from reader
        except UnicodeDecodeError as error:
            raise Failure(
                f"{self._path} is not UTF-8: convert it first (iconv -f latin1 -t utf-8)"
            ) from error
        except csv.Error as error:
            raise Failure(f"{self._path} is not CSV: {error}") from error
        except (OSError, EOFError, zlib.error) as error:
            raise Failure(f"{self._path} cannot be read: {error}") from error


def cell(row: Sequence[str], index: int | None) -> str:
    """A field without the space around it, empty for a column that is not there."""
    return "" if index is None else row[index].strip()
