"""How rows travel into a statement of the write path: many as one JSON text, one as arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

JSON_TYPES = ("json", "jsonb")


@dataclass(frozen=True, slots=True)
class RowShape:
    """The columns of rows that a statement is given, with their types."""

    columns: Mapping[str, str]

    def of_json(self, source: str, name: str) -> str:
        """SQL for a FROM item: rows of a JSON array of objects; `source` is SQL for it.

        One text and not an array for each column: asyncpg takes 4 us for an array.
        """
        columns = ", ".join(f"{column} {kind}" for column, kind in self.columns.items())
        return f"json_to_recordset({source}) AS {name} ({columns})"

    def of_arguments(self, first: int, name: str) -> str:
        """SQL for a FROM item: the one row that `arguments` are, from number `first` on.

        A lone row costs the server half of what it costs as JSON.
        """
        columns = ", ".join(
            f"${number}{'::text' if kind in JSON_TYPES else ''}::{kind} AS {column}"
            for number, (column, kind) in enumerate(self.columns.items(), first)
        )
        return f"(SELECT {columns}) AS {name}"

    def arguments(self, row: Mapping[str, Any]) -> list[Any]:
        """The arguments of one row; what it does not name is NULL."""
        return [
            to_json(value).decode() if kind in JSON_TYPES and value is not None else value
            for value, kind in zip(map(row.get, self.columns), self.columns.values(), strict=True)
        ]
