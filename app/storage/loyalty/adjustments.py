"""What people gave and took, and what they propose: one row each, by its natural key."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.loyalty.account import Adjusted
from app.storage.loyalty.rows import terms_row


class Adjustment(NamedTuple):
    """One adjustment. `state`: proposed, booked or declined; `entry` is its number in the ledger once it is booked.

    `customer_id` is whom it was told of. Should they be merged it stays with their name, and is booked on the
    survivor's ledger.
    """

    customer_id: UUID
    program: str
    key: str
    id: UUID
    proposal_id: str | None
    kind: str
    state: str
    points: int
    reason_code: str
    note: str
    about: str | None
    allow_debt: bool
    expires_at: datetime | None
    actor: str
    proposed_at: datetime
    approver: str | None = None
    booked_at: datetime | None = None
    debt: int | None = None
    entry: int | None = None


_COLUMNS: Final = ", ".join(Adjustment._fields)


async def find(
    connection: asyncpg.Connection, owners: Collection[UUID], program: str, key: str, origin: UUID
) -> Adjustment | None:
    """The adjustment with this natural key that one of these customers has; that of `origin` if several have one."""
    row = await connection.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM loyalty_adjustments
        WHERE customer_id = ANY ($1::uuid[]) AND program = $2 AND key = $3
        ORDER BY customer_id <> $4, id
        LIMIT 1
        """,  # noqa: S608 - our own columns
        owners,
        program,
        key,
        origin,
    )
    return None if row is None else Adjustment(*row)


async def find_by_id(connection: asyncpg.Connection, customer_id: UUID, own_id: UUID) -> Adjustment | None:
    """The adjustment with this id."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM loyalty_adjustments WHERE customer_id = $1 AND id = $2",  # noqa: S608 - our own columns
        customer_id,
        own_id,
    )
    return None if row is None else Adjustment(*row)


async def newest(connection: asyncpg.Connection, state: str, limit: int, before: UUID) -> list[Adjustment]:
    """All adjustments in a state, the newest first (schema rule 7: a list, which only reads)."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM loyalty_adjustments WHERE state = $1 AND id < $2 ORDER BY id DESC LIMIT $3",  # noqa: S608 - our own columns
        state,
        before,
        limit,
    )
    return [Adjustment(*row) for row in rows]


async def given_between(
    connection: asyncpg.Connection,
    owners: Collection[UUID],
    program: str,
    reason_code: str,
    since: datetime,
    until: datetime,
) -> int:
    """Points that these customers were given for one reason in [since, until)."""
    points: int = await connection.fetchval(
        """
        SELECT coalesce(sum(points), 0)::bigint FROM loyalty_adjustments
        WHERE customer_id = ANY ($1::uuid[]) AND program = $2 AND state = 'booked' AND reason_code = $3
          AND booked_at >= $4 AND booked_at < $5
        """,
        owners,
        program,
        reason_code,
        since,
        until,
    )
    return points


_PLACES: Final = ", ".join(f"${number}" for number in range(1, len(Adjustment._fields) + 1))
_WRITE: Final = f"""
INSERT INTO loyalty_adjustments ({_COLUMNS}, terms)
VALUES ({_PLACES}, ${len(Adjustment._fields) + 1}::text::jsonb)
ON CONFLICT (customer_id, program, key) DO UPDATE
SET state = excluded.state, approver = excluded.approver, booked_at = excluded.booked_at,
  debt = excluded.debt, entry = excluded.entry, terms = excluded.terms
"""  # noqa: S608 - our own columns and numbers


async def write(connection: asyncpg.Connection, one: Adjustment, booked: Adjusted | None) -> None:
    """Write it down, or what became of it. The customer is locked."""
    await connection.execute(_WRITE, *one, None if booked is None else json.dumps(terms_row(booked.terms)))


async def write_many(connection: asyncpg.Connection, booked: Sequence[tuple[Adjustment, Adjusted]]) -> None:
    """Write down what was booked for locked customers, in one round trip."""
    await connection.executemany(_WRITE, [(*one, json.dumps(terms_row(done.terms))) for one, done in booked])


class Booked(NamedTuple):
    """In which ledger an adjustment is."""

    customer_id: UUID
    account_id: UUID


def ledger_key(one: Adjustment, customer_id: UUID) -> str:
    """The natural key of its entry in the ledger of `customer_id`: two who were merged may both have had an id."""
    return one.key if one.customer_id == customer_id else f"{one.customer_id}:{one.key}"


async def ledger_of(
    connection: asyncpg.Connection, owners: Collection[UUID], one: Adjustment
) -> Booked | None:
    """Where a booked adjustment is found: with whom it was told of, or with one of these whom they are by now."""
    row = await connection.fetchrow(
        """
        SELECT e.customer_id, a.account_id
        FROM loyalty_entries e
        JOIN loyalty_accounts a ON a.customer_id = e.customer_id AND a.program = e.program
        WHERE e.customer_id = ANY ($1::uuid[]) AND a.customer_id = ANY ($1::uuid[]) AND e.program = $2
          AND e.kind = 'adjust' AND e.seq = $3
          AND e.key = CASE WHEN e.customer_id = $4 THEN $5 ELSE $4::text || ':' || $5 END
        LIMIT 1
        """,
        [*owners, one.customer_id],
        one.program,
        one.entry,
        one.customer_id,
        one.key,
    )
    return None if row is None else Booked(*row)
