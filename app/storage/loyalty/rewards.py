"""Rewards with their stock, and the coupons that are handed out for them.

Stock and coupons are taken with the reward's row locked: after the customers' rows and in reward order, so that nobody
waits in a circle.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import from_json

from app.domain.loyalty.rewards import Reward, coupon_key, reward_of

MOST_REWARDS: Final = 500
"""Of one programme: a quote looks at all of them."""


@dataclass(frozen=True)
class StoredReward:
    """A reward as it was sent; `stock` is what is left of it, None without a limit."""

    program: str
    code: str
    body: dict[str, Any]
    stock: int | None
    revision: int
    created_at: datetime
    updated_at: datetime
    retired_at: datetime | None

    @cached_property
    def reward(self) -> Reward:
        """What rules ask about it."""
        return reward_of(self.body)


class Coupon(NamedTuple):
    """A code to hand out. `id` orders them."""

    id: UUID
    code: str


class Taker(NamedTuple):
    """For whom, and for which redemption, a coupon is taken."""

    customer_id: UUID
    spend_id: str
    at: datetime


_COLUMNS: Final = "program, code, body::text, stock, revision, created_at, updated_at, retired_at"


def _stored(row: asyncpg.Record) -> StoredReward:
    return StoredReward(row[0], row[1], from_json(row[2]), *row[3:])


def _json(body: Mapping[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


async def insert(
    connection: asyncpg.Connection, program: str, reward: Reward, body: Mapping[str, Any], now: datetime
) -> StoredReward | None:
    """Write a reward down; None when there is one with this code or there are MOST_REWARDS."""
    row = await connection.fetchrow(
        f"""
        INSERT INTO loyalty_rewards (
          program, code, body, stock, coupons, coupon_prefix, revision, created_at, updated_at
        )
        SELECT $1, $2, $3::text::jsonb, $4, $5, $6, 1, $7, $7
        WHERE (SELECT count(*) FROM loyalty_rewards WHERE program = $1) < $8
        ON CONFLICT DO NOTHING
        RETURNING {_COLUMNS}
        """,  # noqa: S608 - our own columns
        program,
        reward.code,
        _json(body),
        reward.stock,
        reward.coupons,
        reward.coupon_prefix,
        now,
        MOST_REWARDS,
    )
    return None if row is None else _stored(row)


async def find(connection: asyncpg.Connection, program: str, code: str) -> StoredReward | None:
    """The reward with this code."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM loyalty_rewards WHERE program = $1 AND code = $2",  # noqa: S608 - our own columns
        program,
        code,
    )
    return None if row is None else _stored(row)


async def lock(connection: asyncpg.Connection, program: str, code: str) -> StoredReward | None:
    """The same, and nobody else takes or changes it until the transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM loyalty_rewards WHERE program = $1 AND code = $2 FOR UPDATE",  # noqa: S608 - our own columns
        program,
        code,
    )
    return None if row is None else _stored(row)


async def listed(
    connection: asyncpg.Connection, program: str, limit: int, after: str = ""
) -> list[StoredReward]:
    """The rewards of a programme by their codes, from behind `after` on; retired ones too."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM loyalty_rewards WHERE program = $1 AND code > $2 ORDER BY code LIMIT $3",  # noqa: S608 - our own columns
        program,
        after,
        limit,
    )
    return [_stored(row) for row in rows]


async def change(
    connection: asyncpg.Connection,
    one: StoredReward,
    body: Mapping[str, Any],
    stock: int | None,
    retired_at: datetime | None,
    now: datetime,
) -> StoredReward:
    """Let a locked reward be another one from now on."""
    reward = reward_of(body)
    row = await connection.fetchrow(
        f"""
        UPDATE loyalty_rewards
        SET body = $3::text::jsonb, stock = $4, coupons = $5, coupon_prefix = $6, retired_at = $7, updated_at = $8,
          revision = revision + 1
        WHERE program = $1 AND code = $2
        RETURNING {_COLUMNS}
        """,  # noqa: S608 - our own columns
        one.program,
        one.code,
        _json(body),
        stock,
        reward.coupons,
        reward.coupon_prefix,
        retired_at,
        now,
    )
    return _stored(row)


async def take_one(connection: asyncpg.Connection, program: str, code: str) -> bool:
    """Take one of the stock; False when there is none left. Without a limit there is always one."""
    status = await connection.execute(
        """
        UPDATE loyalty_rewards SET stock = stock - 1 WHERE program = $1 AND code = $2 AND (stock IS NULL OR stock > 0)
        """,
        program,
        code,
    )
    return bool(status == "UPDATE 1")


async def give_back_one(connection: asyncpg.Connection, program: str, code: str) -> None:
    """Put one back into the stock of a reward that has one. The customer who had it is locked."""
    await connection.execute(
        "UPDATE loyalty_rewards SET stock = stock + 1 WHERE program = $1 AND code = $2 AND stock IS NOT NULL",
        program,
        code,
    )


# --- coupons ---------------------------------------------------------------------------------------------------------


async def add_coupons(
    connection: asyncpg.Connection, program: str, reward: str, coupons: Sequence[Coupon], now: datetime
) -> int:
    """Keep codes to hand out, in their order; how many are new. A code that the programme knows is passed over."""
    status = await connection.execute(
        """
        INSERT INTO loyalty_coupons (program, key, reward, code, id, added_at)
        SELECT $1, new.key, $2, new.code, new.id, $3
        FROM unnest($4::text[], $5::text[], $6::uuid[]) AS new (key, code, id)
        ON CONFLICT DO NOTHING
        """,
        program,
        reward,
        now,
        [coupon_key(coupon.code) for coupon in coupons],
        [coupon.code for coupon in coupons],
        [coupon.id for coupon in coupons],
    )
    return int(status.rpartition(" ")[2])


async def free_coupons(connection: asyncpg.Connection, program: str, reward: str) -> int:
    """How many given codes nobody has."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM loyalty_coupons WHERE program = $1 AND reward = $2 AND taken_by IS NULL",
        program,
        reward,
    )
    return count


async def take_given(connection: asyncpg.Connection, program: str, reward: str, taker: Taker) -> str | None:
    """The next given code, taken; None when there is none left."""
    code: str | None = await connection.fetchval(
        """
        UPDATE loyalty_coupons SET taken_by = $3, taken_for = $4, taken_at = $5
        WHERE program = $1 AND taken_by IS NULL AND key = (
          SELECT key FROM loyalty_coupons
          WHERE program = $1 AND reward = $2 AND taken_by IS NULL ORDER BY id LIMIT 1
          FOR UPDATE
        )
        RETURNING code
        """,
        program,
        reward,
        *taker,
    )
    return code


async def take_generated(
    connection: asyncpg.Connection, program: str, reward: str, coupon: Coupon, taker: Taker
) -> bool:
    """Keep a generated code as taken; False when the programme has one that reads alike."""
    status = await connection.execute(
        """
        INSERT INTO loyalty_coupons (program, key, reward, code, id, added_at, taken_by, taken_for, taken_at)
        VALUES ($1, $2, $3, $4, $5, $8, $6, $7, $8)
        ON CONFLICT DO NOTHING
        """,
        program,
        coupon_key(coupon.code),
        reward,
        coupon.code,
        coupon.id,
        *taker,
    )
    return bool(status == "INSERT 0 1")
