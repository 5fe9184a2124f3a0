"""A hold becomes a redemption: the points are spent, the reward's stock and a coupon are taken, the log is told.

Locks are taken in one order by everybody: the customer, then the reward.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.canonical import body_sha256
from app.domain.health.model import Model
from app.domain.ids import opaque_id, uuid7
from app.domain.loyalty.account import Decision, Hold, Spend
from app.domain.loyalty.public_ids import own_id
from app.domain.loyalty.rewards import COUPON_BYTES, Redeemed, coupon_of, not_redeemed, redeemed
from app.domain.loyalty.spending import Captured, captured
from app.domain.problems import Conflict, Problem, refused
from app.domain.recording import Recorded
from app.domain.silence import SOURCE
from app.domain.touchpoints import Touchpoint, propose
from app.storage.loyalty import redemptions, rewards
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.rewards import Coupon, StoredReward, Taker
from app.storage.recording import LostRace
from app.usecases.loyalty.change_account import (
    Opened,
    Seen,
    save_account,
)
from app.usecases.loyalty.hold_points import hold_own_id, open_hold
from app.usecases.record_touchpoints import (
    Entry,
    record_touchpoints,
)

_COUPON_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Redemption:
    """A captured hold and its spend. `health` is the JSON of what the touchpoint did to the score."""

    customer_id: UUID
    program: str
    hold_id: UUID
    id: UUID
    hold: Hold
    spend: Spend
    coupon: str | None
    health: str


class _Taken(NamedTuple):
    """The decision, with the coupon that it hands out."""

    decision: Decision[Redeemed]
    coupon: str | None


async def capture_hold(
    connection: asyncpg.Connection,
    public_id: str,
    points: int | None,
    known: Mapping[str, Rules],
    model: Model,
    now: datetime,
) -> Redemption | Conflict:
    """The redemption; again it is the same one.

    A Conflict that is returned (`sold_out`, `coupon_failed`) has freed the hold or restored the points: the caller's
    transaction must commit. Raises NotFound `hold_not_found`; Invalid `invalid_points`, `more_than_held`,
    `whole_reward`; Conflict `hold_expired`, `hold_released`, `already_captured`; what `open_account` raises.
    """
    opened, name = await open_hold(connection, public_id, known, now)
    account = opened.loaded.account
    hold = account.holds.get(name)
    if hold is None or hold.reward is None:
        done = captured(account, name, now, points)
        await save_account(connection, opened, done, now)
        return await _told(connection, opened, done.result, None, model, now)
    if points is not None and points != hold.points:
        raise whole_reward(hold.points)
    taken = await _taken(connection, opened, hold, now)
    await save_account(connection, opened, taken.decision, now)
    result = taken.decision.result
    if result.spend is not None and taken.decision.account is not account:
        await redemptions.hand_out(
            connection, opened.loaded.customer_id, opened.loaded.program, name, taken.coupon, result.failed
        )
    failure = not_redeemed(result)
    if failure is not None:
        return failure
    if result.spend is None:
        raise AssertionError("a capture without its spend")
    spent = Captured(result.hold, result.spend)
    return await _told(connection, opened, spent, taken.coupon, model, now)


async def _taken(connection: asyncpg.Connection, opened: Opened, hold: Hold, now: datetime) -> _Taken:
    """What becomes of a hold for a reward, with one of the stock and a coupon taken where it is captured."""
    program = opened.loaded.program
    grace = opened.version_at(now).reinstatement_grace
    account = opened.loaded.account
    if hold.state != "open":
        handed = await redemptions.handed(connection, opened.loaded.customer_id, program, hold.id)
        coupon = None if handed is None else handed.coupon
        again = redeemed(
            account, hold.id, stock=None, coupon=coupon, needs_coupon=False, grace=grace, now=now
        )
        return _Taken(again, coupon)
    reward = await rewards.lock(connection, program, hold.reward or "")
    if reward is None:
        raise AssertionError("a hold for a reward that never was")
    is_there = reward.stock is None or reward.stock > 0
    coupon = None
    if is_there and reward.reward.coupons is not None and now < hold.expires_at:
        coupon = await _coupon(connection, reward, Taker(opened.loaded.customer_id, hold.id, now))
    decision = redeemed(
        account,
        hold.id,
        stock=reward.stock,
        coupon=coupon,
        needs_coupon=reward.reward.coupons is not None,
        grace=grace,
        now=now,
    )
    if decision.result.failed is None and not await rewards.take_one(connection, program, reward.code):
        raise LostRace
    return _Taken(decision, coupon)


async def _coupon(connection: asyncpg.Connection, reward: StoredReward, taker: Taker) -> str | None:
    """A code for the redemption; None when no given one is left."""
    if reward.reward.coupons == "given":
        return await rewards.take_given(connection, reward.program, reward.code, taker)
    for _ in range(_COUPON_ATTEMPTS):
        code = coupon_of(os.urandom(COUPON_BYTES), reward.reward.coupon_prefix)
        coupon = Coupon(uuid7(int(taker.at.timestamp() * 1000)), code)
        if await rewards.take_generated(connection, reward.program, reward.code, coupon, taker):
            return code
    return None


async def _told(
    connection: asyncpg.Connection,
    seen: Seen,
    done: Captured,
    coupon: str | None,
    model: Model,
    now: datetime,
) -> Redemption:
    """The redemption with its line in the customer's log; said again, the line is the one that stands there."""
    redemption_id, touchpoint = captured_line(seen, done.spend, now)
    entry = Entry(seen.loaded.customer_id, touchpoint)
    (outcome,) = await record_touchpoints(connection, [entry], model)
    if isinstance(outcome, Problem):
        raise outcome
    if not isinstance(outcome, Recorded):
        raise LostRace
    return redemption_of(seen, redemption_id, done, coupon, outcome)


def captured_line(seen: Seen, spend: Spend, now: datetime) -> tuple[UUID, Touchpoint]:
    """The own id of the redemption, and its line for the log."""
    loaded = seen.loaded
    redemption_id = own_id(loaded.account.id, "spend", spend.id, spend.at)
    return redemption_id, _touchpoint(opaque_id("redemption", loaded.customer_id, redemption_id), spend, now)


def redemption_of(
    seen: Seen, redemption_id: UUID, done: Captured, coupon: str | None, recorded: Recorded
) -> Redemption:
    """A captured hold whose line is in the log."""
    loaded = seen.loaded
    hold_id = hold_own_id(loaded.account.id, done.hold)
    return Redemption(
        loaded.customer_id,
        loaded.program,
        hold_id,
        redemption_id,
        done.hold,
        done.spend,
        coupon,
        recorded.stored.outcome,
    )


def _touchpoint(redemption_id: str, spend: Spend, now: datetime) -> Touchpoint:
    said = {"points": spend.points, "redemption_id": redemption_id, "reward": spend.reward}
    properties = {name: value for name, value in said.items() if value is not None}
    digest, _ = body_sha256({"kind": "points_redeemed", "properties": properties}, frozenset())
    return propose(
        source=SOURCE,
        id=redeemed_line_id(redemption_id),
        kind="points_redeemed",
        occurred_at=min(spend.at, now),
        now=now,
        body_sha256=digest,
        shop_currency="",  # points are no money
        order_id=spend.order_id,
        properties=properties,
    )


def redeemed_line_id(redemption_id: str) -> str:
    """The id of the line that tells of a redemption, by the public id that it had then."""
    return f"redeemed:{redemption_id}"


def whole_reward(points: int) -> Problem:
    """A reward is had whole."""
    return refused("#/points", "whole_reward", f"a reward takes all {points} points of its hold")
