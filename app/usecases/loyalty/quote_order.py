"""What an order would earn and what its customer could have for points, before anybody buys. Writes nothing."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.customers import segments_of
from app.domain.identifiers import Reference
from app.domain.loyalty.balances import balance
from app.domain.loyalty.clock import until_the_end
from app.domain.loyalty.conditions import Member
from app.domain.loyalty.explain import Quote, quoted
from app.domain.loyalty.purchases import Purchase
from app.domain.loyalty.rewards import Buyer, Reward
from app.domain.loyalty.rules import cap_windows, in_period
from app.domain.loyalty.versions import Version, in_force
from app.storage import customers
from app.storage.loyalty import accounts, redemptions, rewards
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.programs import Rules
from app.usecases.find_customer import find_customer
from app.usecases.loyalty.hold_points import buyer_of, open_for
from app.usecases.loyalty.remembered_programs import program_not_found, rules_named

PROSPECT = "prospect"


class Quoted(NamedTuple):
    """A quote for one customer, at the balance and the tier they have now."""

    customer_id: UUID
    program: str
    available: int
    tier: str
    quote: Quote


async def quote_order(
    connection: asyncpg.Connection,
    reference: Reference,
    program: str | None,
    purchase: Purchase,
    shop_currency: str,
    known: Mapping[str, Rules],
    now: datetime,
) -> Quoted:
    """What `purchase` would earn under the version in force when it is placed, and the rewards within reach now.

    Its exchange rate is to the shop's currency: a programme in another one knows none.
    Raises what `find_customer` raises, NotFound `program_not_found`.
    """
    identity = await find_customer(connection, reference)
    rules = await rules_named(connection, known, program, now)
    if rules.program.currency != shop_currency:
        purchase = purchase._replace(exchange_rate=None)
    found = in_force(rules.published, purchase.occurred_at)
    version = None if found is None else found.version
    code, zone = rules.program.code, rules.programme.zone
    capped = () if version is None else version.rules
    day = purchase.occurred_at.astimezone(zone).date()
    wanted = Wanted(identity.customer_id, code, caps=cap_windows(capped, day))
    loaded = (await accounts.load(connection, [wanted], now)).get((identity.customer_id, code))
    if loaded is None:
        raise program_not_found()
    available = balance(until_the_end(loaded.account, rules.programme.ends_at), now).available
    present = in_force(rules.published, now)
    buyer = buyer_of(loaded.standing, Version() if present is None else present.version, available, 0)
    customer = await customers.existing(connection, identity.customer_id)
    member = Member(
        tier=buyer.tier,
        segments=segments_of(customer.profile.tags),
        is_first_purchase=customer.stage == PROSPECT,
        in_period=in_period(capped, day, loaded.given),
    )
    offered = await _offered(connection, loaded, buyer, now)
    quote = quoted(version, rules.programme, purchase, member, rewards=offered, at=now)
    return Quoted(identity.customer_id, code, available, buyer.tier, quote)


async def _offered(
    connection: asyncpg.Connection, loaded: Loaded, buyer: Buyer, now: datetime
) -> list[tuple[Reward, int | None, Buyer]]:
    """The rewards that are to be had, with what is left of each; of limited ones what the customer has had."""
    stored = await rewards.listed(connection, loaded.program, rewards.MOST_REWARDS)
    standing = [one for one in stored if one.retired_at is None]
    limited = [one.code for one in standing if one.reward.per_customer is not None]
    had = await redemptions.times_taken(connection, loaded.customer_id, loaded.program, limited)
    return [
        (one.reward, one.stock, buyer._replace(taken=had.get(one.code, 0) + _open(loaded, one.code, now)))
        for one in standing
    ]


def _open(loaded: Loaded, reward: str, now: datetime) -> int:
    return open_for(loaded.account.holds, reward, now)
