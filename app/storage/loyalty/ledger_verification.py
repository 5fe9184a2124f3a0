"""What `rapport verify` reads of loyalty: accounts page by page, with the entries that they should come to.

A sweep that only reads, by ranges of keys (schema rule 7); the entries of one account at a time are in memory.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.loyalty.account import Entry
from app.storage.loyalty.entries import COLUMNS, entries_of
from app.storage.verification import FIRST_ID, PREFETCH_ROWS


class Place(NamedTuple):
    """Where an account stands in the order of all."""

    customer_id: UUID
    program: str


FIRST_PLACE: Final = Place(FIRST_ID, "")


async def places_after(connection: asyncpg.Connection, after: Place, limit: int) -> list[Place]:
    """The next accounts in their order."""
    rows = await connection.fetch(
        """
        SELECT customer_id, program FROM loyalty_accounts
        WHERE (customer_id, program) > ($1, $2) ORDER BY customer_id, program LIMIT $3
        """,
        after.customer_id,
        after.program,
        limit,
    )
    return [Place(*row) for row in rows]


async def ledgers_in(
    connection: asyncpg.Connection, after: Place, last: Place
) -> AsyncIterator[tuple[Place, Sequence[Entry]]]:
    """The entries of each account behind `after` and up to `last`, account by account, also of those without a row.

    The first entry of each says the hash before it as a chain of nobody's does: whoever knows the account sets it.
    """
    gathered: list[asyncpg.Record] = []
    async for row in connection.cursor(
        f"""
        SELECT customer_id, program, {COLUMNS} FROM loyalty_entries
        WHERE (customer_id, program) > ($1, $2) AND (customer_id, program) <= ($3, $4)
        ORDER BY customer_id, program, seq
        """,  # noqa: S608 - our own columns
        *after,
        *last,
        prefetch=PREFETCH_ROWS,
    ):
        if gathered and (gathered[0]["customer_id"], gathered[0]["program"]) != (
            row["customer_id"],
            row["program"],
        ):
            yield _ledger(gathered)
            gathered = []
        gathered.append(row)
    if gathered:
        yield _ledger(gathered)


def _ledger(rows: Sequence[asyncpg.Record]) -> tuple[Place, Sequence[Entry]]:
    return Place(rows[0]["customer_id"], rows[0]["program"]), entries_of(rows, FIRST_ID)
