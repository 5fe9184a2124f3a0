"""Codes that customers give to friends: unique in the shop, so in a table of their own."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg


class Code(NamedTuple):
    """What a customer gives to friends. `network`: from where it was asked for, None where nobody said."""

    code: str
    program: str
    customer_id: UUID
    created_at: datetime
    network: bytes | None


async def find(connection: asyncpg.Connection, code: str) -> Code | None:
    """Whose code this is."""
    row = await connection.fetchrow(
        "SELECT code, program, customer_id, created_at, network FROM referral_codes WHERE code = $1", code
    )
    return None if row is None else Code(*row)


async def newest(connection: asyncpg.Connection, customer_ids: Collection[UUID], program: str) -> Code | None:
    """The code that a customer was given last, under any of these names of theirs."""
    row = await connection.fetchrow(
        """
        SELECT code, program, customer_id, created_at, network FROM referral_codes
        WHERE customer_id = ANY ($1::uuid[]) AND program = $2 ORDER BY created_at DESC, code LIMIT 1
        """,
        list(customer_ids),
        program,
    )
    return None if row is None else Code(*row)


async def claim(connection: asyncpg.Connection, code: Code) -> bool:
    """Take a new code; False when somebody has it."""
    status = await connection.execute(
        """
        INSERT INTO referral_codes (code, program, customer_id, created_at, network) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING
        """,
        *code,
    )
    return bool(status == "INSERT 0 1")
