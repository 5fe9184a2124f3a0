"""The right to change what is otherwise only added to, taken for a few statements of one transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from app.storage.tables import PRIVACY_ROLE


@asynccontextmanager
async def as_privacy_role(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Inside: may UPDATE and DELETE append-only tables. The caller is in a transaction, whose end gives it back too.

    A login that owns the tables may change them anyway, and need not be a member of the role.
    """
    if await connection.fetchval("SELECT has_table_privilege('touchpoints', 'DELETE')"):
        yield
        return
    await connection.execute(f"SET LOCAL ROLE {PRIVACY_ROLE}")
    # Not in a finally: after an error the transaction takes no statement, and its end gives the role back.
    yield
    await connection.execute("SET LOCAL ROLE NONE")
