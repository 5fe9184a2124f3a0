"""Points are put aside for a time, for one purchase: so many, or what a reward costs. And given up again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.identifiers import Reference
from app.domain.ids import parse_opaque_id
from app.domain.loyalty.account import Decision, Hold
from app.domain.loyalty.balances import balance
from app.domain.loyalty.public_ids import own_id
from app.domain.loyalty.rewards import Buyer, check_offer, offer
from app.domain.loyalty.settling import Released
from app.domain.loyalty.spending import held, released
from app.domain.loyalty.tiers import Standing
from app.domain.loyalty.versions import Version
from app.domain.problems import Conflict, NotFound
from app.storage.loyalty import redemptions, rewards
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.redemptions import StoredHold
from app.usecases.loyalty.change_account import (
    Opened,
    Seen,
    open_account,
    save_account,
)
from app.usecases.loyalty.keep_rewards import reward_not_found


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be put aside: `points` or a `reward`. `id` is the caller's, unique for the customer and the source."""

    source: str
    id: str
    customer: Reference
    program: str | None
    points: int | None
    reward: str | None
    order_id: str | None
    ttl_seconds: int | None

    @property
    def name(self) -> str:
        """What the ledger knows it by; no source has a slash."""
        return f"{self.source}/{self.id}"


class Placed(NamedTuple):
    """A hold, and whether it is new: the same again answers it as it is now, resolved or not."""

    stored: StoredHold
    is_new: bool
    identity_revision: int


async def hold_points(
    connection: asyncpg.Connection, asked: Asked, known: Mapping[str, Rules], now: datetime
) -> Placed:
    """The hold, decided under the customer's lock.

    Raises what `open_account`, `held` and `check_offer` raise, NotFound `reward_not_found`.
    """
    opened = await open_account(connection, asked.customer, asked.program, known, now, spends=[asked.name])
    points = asked.points
    if asked.reward is not None and asked.name not in opened.loaded.account.holds:
        points = await _price(connection, opened, asked.reward, now)
    decision, is_new = decided(opened, asked, points, now)
    await save_account(connection, opened, decision, now)
    return placed(opened, decision.result, is_new=is_new)


def placed(seen: Seen, hold: Hold, *, is_new: bool) -> Placed:
    """What a caller is told of a hold."""
    return Placed(_stored(seen, hold), is_new, seen.loaded.owner.identity_revision)


def decided(seen: Seen, asked: Asked, points: int | None, now: datetime) -> tuple[Decision[Hold], bool]:
    """The hold that stands there already, or a new one and True. Raises Conflict `id_reused`, and as `held`."""
    account = seen.loaded.account
    before = account.holds.get(asked.name)
    if before is not None:
        _check_same(before, asked)
        return Decision(account, (), before), False
    decision = held(
        account,
        id=asked.name,
        points=0 if points is None else points,
        ttl_seconds=asked.ttl_seconds or seen.version_at(now).hold_ttl_seconds,
        now=now,
        order_id=asked.order_id,
        reward=asked.reward,
    )
    return decision, True


async def release(
    connection: asyncpg.Connection, public_id: str, known: Mapping[str, Rules], now: datetime
) -> tuple[StoredHold, Released]:
    """The hold given up, and what returned to its lots; again it is the same, and nothing returns.

    Raises NotFound `hold_not_found`, Conflict `hold_captured`, and what `open_account` raises.
    """
    opened, name = await open_hold(connection, public_id, known, now)
    decision = released(opened.loaded.account, name, now)
    await save_account(connection, opened, decision, now)
    return _stored(opened, decision.result.hold), decision.result


async def read_hold(connection: asyncpg.Connection, public_id: str) -> StoredHold:
    """The hold with this id. Raises NotFound `hold_not_found`."""
    ids = parse_opaque_id("hold", public_id)
    found = None if ids is None else await redemptions.find_hold(connection, *ids)
    if found is None:
        raise hold_not_found()
    return found


async def open_hold(
    connection: asyncpg.Connection, public_id: str, known: Mapping[str, Rules], now: datetime
) -> tuple[Opened, str]:
    """The locked account of a hold, and the name of the hold there. Raises as `release` but for the conflict."""
    found = await read_hold(connection, public_id)
    reference = Reference(found.customer_id, ())
    opened = await open_account(connection, reference, found.program, known, now, spends=[found.hold.id])
    return opened, found.hold.id


def buyer_of(standing: Standing | None, version: Version, available: int, taken: int) -> Buyer:
    """What rewards ask about a member; who has no entry yet is where everybody begins."""
    codes = [tier.code for tier in version.tier_rules.tiers]
    return Buyer(codes[0] if standing is None else standing.tier, codes, available, taken)


async def _price(connection: asyncpg.Connection, opened: Opened, code: str, now: datetime) -> int:
    """What the reward costs a customer who can have it now. Holds that are open count as had."""
    program, loaded = opened.rules.program.code, opened.loaded
    stored = await rewards.find(connection, program, code)
    if stored is None or stored.retired_at is not None:
        raise reward_not_found()
    taken = 0
    if stored.reward.per_customer is not None:
        had = await redemptions.times_taken(connection, loaded.customer_id, program, [code])
        taken = had.get(code, 0) + open_for(loaded.account.holds, code, now)
    buyer = buyer_of(loaded.standing, opened.version_at(now), balance(loaded.account, now).available, taken)
    check_offer(offer(stored.reward, stored.stock, buyer, now))
    return stored.reward.points


def open_for(holds: Mapping[str, Hold], reward: str, now: datetime) -> int:
    """How many of these holds are open for a reward at `now`."""
    return sum(
        hold.reward == reward and hold.state == "open" and now < hold.expires_at for hold in holds.values()
    )


def _check_same(before: Hold, asked: Asked) -> None:
    said = (asked.points if asked.reward is None else before.points, asked.order_id, asked.reward)
    lives = before.expires_at - before.opened_at
    other_ttl = asked.ttl_seconds is not None and lives != timedelta(seconds=asked.ttl_seconds)
    if (before.points, before.order_id, before.reward) != said or other_ttl:
        raise id_reused(before.state)


def _stored(opened: Seen, hold: Hold) -> StoredHold:
    account = opened.loaded.account
    return StoredHold(opened.loaded.customer_id, opened.loaded.program, hold_own_id(account.id, hold), hold)


def hold_own_id(account_id: UUID, hold: Hold) -> UUID:
    """What the public id of a hold carries."""
    return own_id(account_id, "hold", hold.id, hold.opened_at)


def hold_not_found() -> NotFound:
    """No hold has this id."""
    return NotFound("hold_not_found", "There is no such hold.")


def id_reused(state: str) -> Conflict:
    """The id stands for something else."""
    return Conflict("id_reused", "This id stands for another hold.", state=state)
