"""What orders do to referrals outside the write path (there it is a part of its one statement, earn.py): a purchase
that is taken back, say.

Only the friend is locked where an order is written, so only the friend's row moves here. A worker brings the
referrer's row after, rewards and takes back (settle_referrals.py).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from app.storage.loyalty import referrals
from app.storage.loyalty.programs import Rules
from app.usecases.loyalty.change_account import busy
from app.usecases.loyalty.referrals.order_steps import Paid, Refunded, followed


async def order_paid(
    connection: asyncpg.Connection,
    paid: Mapping[UUID, Sequence[Paid]],
    known: Mapping[str, Rules],
    now: datetime,
) -> None:
    """Let orders of locked customers, in their order, qualify the referrals by which these came, or end them.

    Two statements however many there are; the second only where a referral moves. Raises Unavailable `busy`.
    """
    await _follow(connection, paid, known, now)


async def order_refunded(
    connection: asyncpg.Connection,
    refunded: Mapping[UUID, Sequence[Refunded]],
    known: Mapping[str, Rules],
    now: datetime,
) -> None:
    """Let refunds of locked customers reverse the referrals that their orders had qualified. As `order_paid`."""
    await _follow(connection, refunded, known, now)


async def _follow(
    connection: asyncpg.Connection,
    moves: Mapping[UUID, Sequence[Paid | Refunded]],
    known: Mapping[str, Rules],
    now: datetime,
) -> None:
    moved = []
    for before in await referrals.open_of(connection, moves.keys()):
        rules = known.get(before.program)
        if rules is None:
            continue
        after = followed(before, moves[before.customer_id], rules.published, rules.programme, now)
        if after is not None:
            moved.append(after)
    if moved and not await referrals.step(connection, moved):
        raise busy()
