"""Referrals whose time has come: the referrer hears of the friend's order, rewards are given, and taken back.

Who is due comes from an index. Each referral is one transaction that locks both customers, so a worker may be killed at
any moment and several may run at once: what was done is not due any more.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

import asyncpg
import structlog

from app.domain.health.model import Model
from app.domain.loyalty.referrals import fell_due as after_window
from app.domain.problems import Unavailable
from app.storage import states
from app.storage.database import Database, is_canceled, is_retryable
from app.storage.loyalty import referrals
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.referrals import FIRST_PLACE, Place, StoredReferral
from app.usecases.loyalty.referrals.lock_both import lock_pair
from app.usecases.loyalty.referrals.make_code import version_at
from app.usecases.loyalty.referrals.refer import standing_of
from app.usecases.loyalty.referrals.reward import reward, sides, take_back
from app.usecases.loyalty.remembered_programs import RememberedPrograms, rules_named
from app.usecases.models.active_model import ActiveModel

log = structlog.get_logger(__name__)

PAGE: Final = 200
Done = Literal["told", "rewarded", "rejected", "reversed", "rested"]


@dataclass(slots=True)
class Settled:
    """What a look at the referrals did. `rested`: nobody is left to reward; `failed`: they stay due, see the log."""

    told: int = 0
    rewarded: int = 0
    rejected: int = 0
    reversed: int = 0
    rested: int = 0
    failed: int = 0

    def count(self, what: str) -> None:
        """One more of them."""
        setattr(self, what, getattr(self, what) + 1)


async def fell_due(
    connection: asyncpg.Connection, place: Place, known: Mapping[str, Rules], model: Model, now: datetime
) -> Done | None:
    """Do what is due about one referral, in the caller's transaction; None: somebody else did it already.

    Raises Unavailable `busy`.
    """
    seen = await referrals.find(connection, place.customer_id, place.id)
    if seen is None:
        return None
    pair = await lock_pair(connection, seen.other_customer_id, seen.customer_id)
    if pair is None:
        await states.lock(connection, [seen.customer_id])
        await referrals.rest(connection, seen)
        return "rested"
    # As it is under the lock.
    found = await referrals.find(connection, pair[1].customer_id, place.id)
    if found is None or found.due_at is None or found.due_at > now:
        return None
    return await _settled(connection, found, (pair[0].customer_id, pair[1].customer_id), known, model, now)


async def _settled(
    connection: asyncpg.Connection,
    found: StoredReferral,
    pair: tuple[UUID, UUID],
    known: Mapping[str, Rules],
    model: Model,
    now: datetime,
) -> Done:
    if found.state == "reversed":
        await take_back(connection, found, sides(*pair), known, now)
        await referrals.write(connection, found._replace(due_at=None), pair[0])
        return "reversed"
    if found.state != "pending" or found.kept_until is None:
        await referrals.write(connection, found._replace(due_at=None), pair[0])
        return "told" if found.state != "rejected" else "rejected"
    if now < found.kept_until:
        await referrals.write(connection, found._replace(due_at=found.kept_until), pair[0])
        return "told"
    return await _kept(connection, found, pair, known, model, now)


async def _kept(
    connection: asyncpg.Connection,
    found: StoredReferral,
    pair: tuple[UUID, UUID],
    known: Mapping[str, Rules],
    model: Model,
    now: datetime,
) -> Done:
    """The friend kept the order: both are rewarded, unless the referrer has had all of the year."""
    rules = await rules_named(connection, known, found.program, now)
    had = await standing_of(connection, found, pair[0], rules, now)
    most = version_at(rules, found.at).referrals.most
    # Two customers who turned out to be one bring nobody.
    is_self = pair[0] == pair[1]
    step = after_window(found.referral, now, is_over_limit=had.rewarded_this_year >= most)
    if is_self:
        step = step._replace(state="rejected", reason="self")
    after = found.after(step, None)
    if step.state == "rewarded":
        referrer, referee = await reward(connection, found, sides(*pair), known, model, now)
        after = after._replace(referrer_points=referrer, referee_points=referee)
    await referrals.write(connection, after, pair[0])
    return "rewarded" if step.state == "rewarded" else "rejected"


async def settle_referrals(
    database: Database, known: Mapping[str, Rules], model: Model, now: datetime, page: int = PAGE
) -> Settled:
    """Do what is due about all referrals at `now`.

    Raises what the database raises when it is away; what was done by then stays so.
    """
    settled, after, full = Settled(), FIRST_PLACE, True
    while full:
        async with database.hot_reading() as connection:
            due = await referrals.due(connection, now, page, after)
        for place in due:
            await _settle(database, place, known, model, now, settled)
        full = len(due) == page
        after = due[-1] if due else after
    return settled


async def _settle(
    database: Database,
    place: Place,
    known: Mapping[str, Rules],
    model: Model,
    now: datetime,
    settled: Settled,
) -> None:
    try:
        async with database.hot_transaction() as connection:
            done = await fell_due(connection, place, known, model, now)
    except Exception as error:
        if _passes(error):
            raise
        log.exception("referral_not_settled", referral_id=str(place.id))
        settled.count("failed")
    else:
        if done is not None:
            settled.count(done)


async def keep_settling(
    database: Database,
    programs: RememberedPrograms,
    model: ActiveModel,
    pause_seconds: float,
    tell: Callable[[Settled], None] = lambda _settled: None,
) -> None:
    """`settle_referrals` every `pause_seconds`, the first after one pause, until cancelled."""
    away = False
    while True:
        await asyncio.sleep(pause_seconds)
        try:
            settled = await settle_referrals(database, programs.current, model.current, datetime.now(UTC))
        except Exception as error:
            if not _passes(error):
                log.exception("referrals_not_settled")
            elif not away:
                log.warning("referrals_not_settled", error=type(error).__name__)
            away = True
        else:
            away = False
            tell(settled)


def _passes(error: BaseException) -> bool:
    return isinstance(error, Unavailable) or is_retryable(error) or is_canceled(error)
