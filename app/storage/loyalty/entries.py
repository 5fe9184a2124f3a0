"""The ledger's lines: read in order, never changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import from_json

from app.domain.loyalty.account import Entry, opened
from app.storage.loyalty.rows import movements_of

# JSON as text: SQLAlchemy's connections decode it and bare ones do not.
COLUMNS: Final = """seq, kind, points, at, effective_at, movements::text AS movements, hash, key, debt_change,
  forgiven, qualifying, qualified_at, activates_at, expires_at, tier"""


class Face(NamedTuple):
    """Which account, and how far it has come."""

    program: str
    account_id: UUID
    seq: int


async def faces(connection: asyncpg.Connection, customer_id: UUID) -> list[Face]:
    """The accounts of a customer, a handful."""
    rows = await connection.fetch(
        "SELECT program, account_id, seq FROM loyalty_accounts WHERE customer_id = $1 ORDER BY program",
        customer_id,
    )
    return [Face(*row) for row in rows]


async def page(
    connection: asyncpg.Connection, customer_id: UUID, face: Face, after_seq: int, limit: int
) -> list[Entry]:
    """The entries after number `after_seq`, in order. Each says the hash before it, so one more row is read."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM loyalty_entries
        WHERE customer_id = $1 AND program = $2 AND seq >= $3
        ORDER BY seq LIMIT $4
        """,  # noqa: S608 - our own columns
        customer_id,
        face.program,
        after_seq,
        limit + 1,
    )
    read = entries_of(rows, face.account_id)
    return [entry for entry in read if entry.seq > after_seq][:limit]


async def all_of(connection: asyncpg.Connection, customer_id: UUID, face: Face) -> list[Entry]:
    """The whole ledger of one account, in order."""
    return await page(connection, customer_id, face, 0, face.seq)


async def qualifying(
    connection: asyncpg.Connection, customer_id: UUID, program: str, since: datetime
) -> list[Entry]:
    """What counts towards a tier from `since` on; what they say of the hash before is empty."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM loyalty_entries
        WHERE customer_id = $1 AND program = $2 AND qualifying <> 0 AND qualified_at >= $3
        ORDER BY seq
        """,  # noqa: S608 - our own columns
        customer_id,
        program,
        since,
    )
    return [entry_of(row, b"") for row in rows]


async def explanation(
    connection: asyncpg.Connection, customer_id: UUID, program: str, key: str
) -> dict[str, Any] | None:
    """Why an earn earned what it did."""
    text = await connection.fetchval(
        "SELECT explain::text FROM loyalty_earns WHERE customer_id = $1 AND program = $2 AND key = $3",
        customer_id,
        program,
        key,
    )
    return None if text is None else from_json(text)


def entries_of(rows: Sequence[asyncpg.Record], account_id: UUID) -> list[Entry]:
    """Rows in order as entries; the first one's hash before is the account's own when it is number 1."""
    previous = opened(account_id).head
    read = []
    for row in rows:
        read.append(entry_of(row, previous))
        previous = row["hash"]
    return read


def entry_of(row: asyncpg.Record, previous: bytes) -> Entry:
    """A row with these columns."""
    return Entry(
        seq=row["seq"],
        kind=row["kind"],
        points=row["points"],
        at=row["at"],
        effective_at=row["effective_at"],
        movements=movements_of(from_json(row["movements"])),
        previous=previous,
        hash=row["hash"],
        key=row["key"],
        debt_change=row["debt_change"],
        forgiven=row["forgiven"],
        qualifying=row["qualifying"],
        qualified_at=row["qualified_at"],
        activates_at=row["activates_at"],
        expires_at=row["expires_at"],
        tier=row["tier"],
    )
