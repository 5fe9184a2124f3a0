"""Holds and redemptions by their public ids, what was handed out for them, and how often a reward was had."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import from_json

from app.domain.loyalty.account import Hold, Spend
from app.storage.loyalty.rows import HOLD, SPEND, hold_of, spend_of


class StoredHold(NamedTuple):
    """A hold as it was last written: one that has run out since may still say that it is open."""

    customer_id: UUID
    program: str
    id: UUID
    hold: Hold

    def state(self, now: datetime) -> str:
        """What it is, whether or not a sweeper came by."""
        return "expired" if self.hold.state == "open" and self.hold.expires_at <= now else self.hold.state


class Handed(NamedTuple):
    """What a redemption brought: its id, the coupon, or why there is none."""

    id: UUID
    coupon: str | None
    failed: str | None


class StoredSpend(NamedTuple):
    """A redemption. `hold`: the own id of the hold it was captured from. `reasons`: why, by the name of a refund."""

    customer_id: UUID
    program: str
    handed: Handed
    spend: Spend
    hold: UUID | None
    reasons: dict[str, str]


_FIND_HOLD: Final = f"""
SELECT x.customer_id, x.program, x.id, {HOLD}::text
FROM loyalty_holds x WHERE x.customer_id = $1 AND x.id = $2
"""  # noqa: S608 - our own columns

_FIND_HOLDS: Final = f"""
SELECT x.customer_id, x.program, x.id, {HOLD}::text
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (customer_id, id)
JOIN loyalty_holds x ON x.customer_id = wanted.customer_id AND x.id = wanted.id AND x.customer_id = ANY ($1::uuid[])
"""  # noqa: S608 - our own columns

_FIND_SPEND: Final = f"""
SELECT x.customer_id, x.program, x.id, x.coupon, x.failed, {SPEND}::text, h.id, x.reasons::text
FROM loyalty_spends x
LEFT JOIN loyalty_holds h ON h.customer_id = x.customer_id AND h.program = x.program AND h.hold_id = x.spend_id
WHERE x.customer_id = $1 AND x.id = $2
"""  # noqa: S608 - our own columns


async def find_hold(connection: asyncpg.Connection, customer_id: UUID, own_id: UUID) -> StoredHold | None:
    """The hold with this id."""
    row = await connection.fetchrow(_FIND_HOLD, customer_id, own_id)
    return None if row is None else StoredHold(row[0], row[1], row[2], hold_of(from_json(row[3])))


async def find_holds(
    connection: asyncpg.Connection, ids: Sequence[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], StoredHold]:
    """The holds with these ids: of the customer and of the hold."""
    if not ids:
        return {}
    rows = await connection.fetch(_FIND_HOLDS, [one[0] for one in ids], [one[1] for one in ids])
    return {(row[0], row[2]): StoredHold(row[0], row[1], row[2], hold_of(from_json(row[3]))) for row in rows}


async def find_redemption(
    connection: asyncpg.Connection, customer_id: UUID, own_id: UUID
) -> StoredSpend | None:
    """The redemption with this id."""
    row = await connection.fetchrow(_FIND_SPEND, customer_id, own_id)
    if row is None:
        return None
    spend, reasons = spend_of(from_json(row[5])), from_json(row[7])
    return StoredSpend(row[0], row[1], Handed(*row[2:5]), spend, row[6], reasons)


async def handed(
    connection: asyncpg.Connection, customer_id: UUID, program: str, spend_id: str
) -> Handed | None:
    """What the redemption that its caller named so brought."""
    row = await connection.fetchrow(
        "SELECT id, coupon, failed FROM loyalty_spends WHERE customer_id = $1 AND program = $2 AND spend_id = $3",
        customer_id,
        program,
        spend_id,
    )
    return None if row is None else Handed(*row)


async def hand_out(
    connection: asyncpg.Connection,
    customer_id: UUID,
    program: str,
    spend_id: str,
    coupon: str | None,
    failed: str | None,
) -> None:
    """Keep what a redemption brought. Its customer is locked."""
    await connection.execute(
        """
        UPDATE loyalty_spends SET coupon = $4, failed = $5
        WHERE customer_id = $1 AND program = $2 AND spend_id = $3
        """,
        customer_id,
        program,
        spend_id,
        coupon,
        failed,
    )


async def keep_reason(
    connection: asyncpg.Connection, customer_id: UUID, program: str, spend_id: str, refund: str, reason: str
) -> None:
    """Keep why points came back, by the name of the refund. Its customer is locked."""
    await connection.execute(
        """
        UPDATE loyalty_spends SET reasons = reasons || jsonb_build_object($4::text, $5::text)
        WHERE customer_id = $1 AND program = $2 AND spend_id = $3
        """,
        customer_id,
        program,
        spend_id,
        refund,
        reason,
    )


async def times_taken(
    connection: asyncpg.Connection, customer_id: UUID, program: str, rewards: Collection[str]
) -> dict[str, int]:
    """How often a customer has had each of these rewards; one that was given back whole was not had."""
    if not rewards:
        return {}
    rows = await connection.fetch(
        """
        SELECT reward, count(*) FROM loyalty_spends
        WHERE customer_id = $1 AND program = $2 AND reward = ANY ($3::text[]) AND refundable > 0
        GROUP BY reward
        """,
        customer_id,
        program,
        list(rewards),
    )
    return dict(rows)
