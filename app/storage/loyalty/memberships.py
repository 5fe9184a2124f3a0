"""One member for whoever talks to them: the account in one JSON array, beside whatever else is asked about them."""

from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from pydantic_core import from_json

from app.domain.loyalty.account import BEGINNING, Account
from app.domain.loyalty.membership import Known
from app.domain.loyalty.tiers import Standing
from app.storage.loyalty.rows import HOLD, LOT, hold_of, lot_of, micros, time_of

_NOBODY: Final = UUID(int=0)


def membership_of(customer: str, program: str, zone: str, since: str) -> str:
    """SQL of a customer's account in a programme as `known` reads it; NULL for who is no member.

    `since`: the start of the tier's window. What qualifies is summed by local day, so that it does not grow with the
    number of purchases.
    """
    own = "x.customer_id = a.customer_id AND x.program = a.program"
    return f"""(
    SELECT json_build_array(
      a.program, a.seq, {micros("a.last_at")}, a.debt, a.lifetime_earned, a.lifetime_burned, a.lifetime_expired,
      a.tier, {micros("a.tier_since")}, {micros("a.review_at")}, {micros("a.grace_until")}, (
        SELECT json_agg({LOT}) FROM loyalty_lots x WHERE {own} AND x.remaining > 0
      ), (
        SELECT json_agg({HOLD}) FROM loyalty_holds x WHERE {own} AND x.state = 'open'
      ), (
        SELECT json_object_agg(q.day, q.points) FROM (
          SELECT (x.qualified_at AT TIME ZONE {zone})::date AS day, sum(x.qualifying)::bigint AS points
          FROM loyalty_entries x WHERE {own} AND x.qualifying <> 0 AND x.qualified_at >= {since}
          GROUP BY 1
        ) q
      )
    )
    FROM loyalty_accounts a
    WHERE a.customer_id = {customer} AND a.program = {program}
  )"""  # noqa: S608 - constants of this package and numbers of arguments


_FIND: Final = "SELECT" + membership_of("$1::uuid", "$2::text", "$3::text", "$4::timestamptz") + "::text"


async def find(
    connection: asyncpg.Connection, customer_id: UUID, program: str, zone: str, since: datetime
) -> Known | None:
    """One member; None for who is none."""
    text = await connection.fetchval(_FIND, customer_id, program, zone, since)
    return None if text is None else known(from_json(text))


def known(row: list[Any] | None) -> Known | None:
    """What `membership_of` found. The account's chain is not read: nothing is written by this."""
    if row is None:
        return None
    program, seq, last_at, debt, earned, burned, expired, tier, since, review, grace, lots, holds, days = row
    account = Account(
        id=_NOBODY,
        seq=seq,
        last_at=BEGINNING if last_at is None else time_of(last_at),
        debt=debt,
        lifetime_earned=earned,
        lifetime_burned=burned,
        lifetime_expired=expired,
        lots={one[0]: lot_of(one) for one in lots or ()},
        holds={one[0]: hold_of(one) for one in holds or ()},
    )
    standing = None
    if tier is not None:
        standing = Standing(tier, time_of(since), time_of(review), None if grace is None else time_of(grace))
    counted = {date.fromisoformat(day): points for day, points in (days or {}).items()}
    return Known(program, account, standing, counted)
