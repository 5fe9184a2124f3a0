"""Everything that is held about a person, table by table, in pages that each are one look-up by key."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.storage.privacy.ways import Holding
from app.storage.tables import metadata

PAGE: Final = 200
"""Rows of one statement; a row of the log may have 32 KB."""


class Page:
    """Rows as JSON objects, and behind which key the next page begins; None after the last."""

    def __init__(self, rows: Sequence[str], after: tuple[Any, ...] | None) -> None:
        self.rows = rows
        self.after = after


async def page(
    connection: asyncpg.Connection,
    holding: Holding,
    customer_ids: Sequence[UUID],
    after: tuple[Any, ...] | None,
    limit: int = PAGE,
) -> Page:
    """The next rows of a table that are about these customers, in the order of its key."""
    table = metadata.tables[holding.table]
    shown = ", ".join(f't."{column.name}"' for column in table.c if column.name not in holding.withheld)
    key = [f't."{column.name}"' for column in table.primary_key.columns]
    arguments: list[Any] = [customer_ids, limit]
    behind = ""
    if after is not None:
        places = ", ".join(f"${len(arguments) + number}" for number in range(1, len(after) + 1))
        arguments += after
        behind = f"AND ({', '.join(key)}) > ({places})"
    rows = await connection.fetch(
        f"""
        SELECT (SELECT row_to_json(shown)::text FROM (SELECT {shown}) AS shown) AS line, {", ".join(key)}
        FROM {holding.table} t
        WHERE {holding.whose} {behind}
        ORDER BY {", ".join(key)}
        LIMIT $2
        """,  # noqa: S608 - this package's words
        *arguments,
    )
    last = tuple(rows[-1])[1:] if len(rows) == limit else None
    return Page([row["line"] for row in rows], last)
