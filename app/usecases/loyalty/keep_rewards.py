"""Writing rewards down and changing them. What was redeemed keeps the price it had."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from app.domain.ids import uuid7
from app.domain.loyalty.rewards import coupons_of, reward_of
from app.domain.problems import Conflict, NotFound
from app.storage.loyalty import rewards
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.rewards import Coupon, StoredReward
from app.usecases.loyalty.remembered_programs import rules_named


async def create_reward(
    connection: asyncpg.Connection,
    program: str | None,
    body: Mapping[str, Any],
    known: Mapping[str, Rules],
    now: datetime,
) -> tuple[StoredReward, bool]:
    """A reward of a programme (None: the default one), and whether it is new: the same body again is the same reward.

    Raises what `reward_of` raises, NotFound `program_not_found`, Conflict `reward_exists`, `too_many_rewards`.
    """
    reward = reward_of(body)
    code = (await rules_named(connection, known, program, now)).program.code
    made = await rewards.insert(connection, code, reward, body, now)
    if made is not None:
        return made, True
    found = await rewards.find(connection, code, reward.code)
    if found is None:
        raise too_many_rewards()
    if found.reward != reward:
        raise reward_exists()
    return found, False


async def existing_reward(connection: asyncpg.Connection, program: str, code: str) -> StoredReward:
    """The reward with this code. Raises NotFound `reward_not_found`."""
    found = await rewards.find(connection, program, code)
    if found is None:
        raise reward_not_found()
    return found


async def change_reward(
    connection: asyncpg.Connection,
    program: str,
    code: str,
    patch: Mapping[str, Any],
    check: Callable[[StoredReward], None],
    now: datetime,
) -> StoredReward:
    """The reward with the members of a merge patch; `stock` says what is left now, `retired` whether it is to be had.

    `check` sees it under its lock and may raise Stale. Raises what `reward_of` raises, NotFound `reward_not_found`.
    """
    one = await _locked(connection, program, code)
    check(one)
    said = {name: value for name, value in patch.items() if name != "retired"}
    body = {name: value for name, value in {**one.body, **said}.items() if value is not None}
    reward_of(body)
    stock = said.get("stock") if "stock" in said else one.stock
    retired_at = one.retired_at
    if "retired" in patch:
        retired_at = (one.retired_at or now) if patch["retired"] else None
    if (body, stock, retired_at) == (one.body, one.stock, one.retired_at):
        return one
    return await rewards.change(connection, one, body, stock, retired_at, now)


async def add_coupons(
    connection: asyncpg.Connection, program: str, code: str, codes: Sequence[str], now: datetime
) -> tuple[int, int]:
    """Add given codes to a reward: how many are new, and how many nobody has. Sent again, none is new.

    Raises what `coupons_of` raises, NotFound `reward_not_found`, Conflict `no_given_coupons`.
    """
    given = coupons_of(codes)
    one = await _locked(connection, program, code)
    if one.reward.coupons != "given":
        raise no_given_coupons()
    # Ids of one millisecond keep the order of the list by their counting tail.
    unix_ms = int(now.timestamp() * 1000)
    fresh = [Coupon(uuid7(unix_ms, number.to_bytes(10)), text) for number, text in enumerate(given)]
    added = await rewards.add_coupons(connection, program, code, fresh, now)
    return added, await rewards.free_coupons(connection, program, code)


async def _locked(connection: asyncpg.Connection, program: str, code: str) -> StoredReward:
    one = await rewards.lock(connection, program, code)
    if one is None:
        raise reward_not_found()
    return one


def reward_not_found() -> NotFound:
    """No reward of this programme has this code, or it is retired."""
    return NotFound("reward_not_found", "There is no such reward.")


def reward_exists() -> Conflict:
    """The code stands for another reward."""
    return Conflict("reward_exists", "There is another reward with this code; PATCH changes it.")


def too_many_rewards() -> Conflict:
    """A programme has room for so many."""
    return Conflict("too_many_rewards", f"A programme has at most {rewards.MOST_REWARDS} rewards.")


def no_given_coupons() -> Conflict:
    """Only a reward with given coupons takes a list of them."""
    return Conflict("no_given_coupons", "This reward hands out no given coupons.")
