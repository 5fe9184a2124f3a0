"""Overrides and sentiments of customers who are several: what was said of each name, so that an undo can part it.

There is one row for each customer. Since a merge it may be said by the alias' name (`said_of`), and then covers what
was said of the survivor; `covered` keeps the last word of each other name, by the name's UUID.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

TABLES: Final = ("health_overrides", "health_sentiments")

_BESIDES: Final = frozenset(("customer_id", "said_of", "covered"))

Words = dict[UUID, dict[str, Any]]
"""Rows without what says whose they are, by the name of which they were said."""


async def covering(connection: asyncpg.Connection, table: str, customer_id: UUID, said_of: UUID) -> str:
    """What a new word said of this name is to keep as `covered`: the last words of all other names, as JSON."""
    words = await _words(connection, table, customer_id)
    words.pop(said_of, None)
    return _json(words)


async def part(connection: asyncpg.Connection, survivor: UUID, alias: UUID, origins: Sequence[UUID]) -> None:
    """Give the alias what was said in their names (`origins`) since the merge. Both are locked.

    What they had before it has been returned by now, and is older.
    """
    for table in TABLES:
        words = await _words(connection, table, survivor)
        going = {name: word for name, word in words.items() if name in origins}
        if not going:
            continue
        await _put(connection, table, alias, await _words(connection, table, alias) | going)
        staying = {name: word for name, word in words.items() if name not in origins}
        await _put(connection, table, survivor, staying)


async def _words(connection: asyncpg.Connection, table: str, customer_id: UUID) -> Words:
    text = await connection.fetchval(
        f"SELECT to_jsonb(t)::text FROM {table} t WHERE t.customer_id = $1",  # noqa: S608 - our own names
        customer_id,
    )
    if text is None:
        return {}
    row = json.loads(text)
    words = {UUID(name): word for name, word in row["covered"].items()}
    shown = {name: value for name, value in row.items() if name not in _BESIDES}
    return words | {UUID(row["said_of"] or row["customer_id"]): shown}


def _json(words: Mapping[UUID, Mapping[str, Any]]) -> str:
    return json.dumps({str(name): word for name, word in words.items()}, ensure_ascii=False)


async def _put(connection: asyncpg.Connection, table: str, customer_id: UUID, words: Words) -> None:
    """The newest word is shown, the others are covered by it; without any there is no row."""
    await connection.execute(
        f"DELETE FROM {table} WHERE customer_id = $1",  # noqa: S608 - our own names
        customer_id,
    )
    if not words:
        return
    # Times as PostgreSQL writes them in JSON, all in UTC.
    newest = max(words, key=lambda name: (words[name]["set_at"], name))
    others = {name: word for name, word in words.items() if name != newest}
    row = words[newest] | {"customer_id": str(customer_id), "said_of": str(newest)}
    await connection.execute(
        f"""
        INSERT INTO {table}
        SELECT (jsonb_populate_record(
          NULL::{table}, $1::text::jsonb || jsonb_build_object('covered', $2::text::jsonb)
        )).*
        ON CONFLICT DO NOTHING
        """,
        json.dumps(row, ensure_ascii=False),
        _json(others),
    )
