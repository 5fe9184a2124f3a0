"""A purchase or an occasion that is taken back loses what it has earned, as by a refund of all that is left."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import asyncpg

from app.domain.descriptions import order_id_of
from app.domain.identifiers import Reference
from app.domain.loyalty.account import Decision, Entry
from app.domain.loyalty.clawback import clawed_back
from app.domain.loyalty.earning import occasion_key, order_key
from app.domain.loyalty.known_orders import KnownOrder, purchase_key
from app.domain.loyalty.occasions import OCCASIONS, Occasion, keys_of, occasion_of
from app.storage.loyalty import occasions, orders
from app.storage.loyalty.orders import Money
from app.storage.loyalty.programs import Rules, all_rules
from app.storage.timeline import Logged
from app.usecases.loyalty.change_account import busy, open_account, save_account
from app.usecases.loyalty.referrals.follow_orders import order_refunded
from app.usecases.loyalty.referrals.order_steps import Refunded


async def take_back(connection: asyncpg.Connection, row: Logged, shop_currency: str, now: datetime) -> int:
    """The points that went with a voided touchpoint of a locked customer, in every programme; 0 where it earned none.

    The order of a purchase is not paid any more: what pays it next earns anew. A member joined, and a review stands, as
    long as some touchpoint that stands says so; the next one after the last earns anew. Raises Unavailable `busy`.
    """
    occasion = occasion_of(row)
    if row.kind != "purchase" and occasion is None:
        return 0
    # A process may have heard of no programme yet in which another one has let this earn.
    known = await all_rules(connection)
    if occasion is not None:
        told = await occasions.standing_of_kinds(connection, row.customer_id, _kinds_of(occasion))
        if any(_is_same(occasion_of(one), occasion) for one in told):
            return 0
        keys = {
            program: keys_of(occasion_key(occasion.event, occasion.at, rules.programme, occasion.about))
            for program, rules in known.items()
        }
    else:
        bought = await _bought_by(connection, row, shop_currency, now)
        keys = dict.fromkeys(known, tuple(bought))
        if known and bought:
            back = {row.customer_id: [Refunded(key, None) for key in bought]}
            await order_refunded(connection, back, known, now)
    taken = 0
    for program, rules in known.items():
        if rules.versions and keys[program]:
            taken += await _clawed(connection, row, program, keys[program], known, now)
    return taken


def _kinds_of(occasion: Occasion) -> list[str]:
    return [kind for kind, event in OCCASIONS.items() if event == occasion.event]


def _is_same(one: Occasion | None, other: Occasion) -> bool:
    """Whether they earn once together: they are the same event about the same thing, whenever each occurred."""
    return one is not None and (one.event, one.about) == (other.event, other.about)


async def _bought_by(
    connection: asyncpg.Connection, row: Logged, shop_currency: str, now: datetime
) -> Sequence[str]:
    """The keys of what a purchase has earned; its order goes on without it."""
    order_id = order_id_of(row.fact.thread)
    if order_id is None:
        return [purchase_key(row.source, row.id)]
    found = await orders.find(connection, row.customer_id, order_id)
    known = next((one for one in found if (row.source, row.id) in one.touchpoints), None)
    if known is None:
        return []
    money = await orders.money_of(connection, row.customer_id, order_id)
    keys = _undone(known, row, money, shop_currency)
    if known.is_changed and not await orders.save(connection, row.customer_id, [known], now):
        raise busy()
    return keys


def _undone(known: KnownOrder, row: Logged, money: Sequence[Money], shop_currency: str) -> list[str]:
    """The keys of what the purchase has earned; the order goes on without it. None when it never paid the order.

    `money` is what still stands of the order: its refunds wait again for a payment, as they do for health.
    """
    order = known.order
    paid = {order.adopted} | {
        name for _, name in known.touchpoints if name.endswith((":purchase", ":repayment"))
    }
    prefix = f"order:{known.order_id}:"
    version = row.id.removeprefix(prefix).removesuffix(":addition")
    if row.id == f"{prefix}{version}:addition" and version.isdecimal():
        addition = int(version)
        chunks = [chunk for chunk in order.chunks if chunk.addition == addition]
        kept = [
            chunk._replace(refunded_minor=chunk.paid_minor) if chunk in chunks else chunk
            for chunk in order.chunks
        ]
        known.take(replace(order, chunks=tuple(kept)))
    elif row.id in paid and order.is_paid:
        chunks = list(order.chunks)
        waiting = tuple(
            one.refund(shop_currency, known.source)
            for one in money
            if one.kind != "purchase" and (one.source, one.id) in known.touchpoints
        )
        known.take(replace(order, is_paid=False, adopted=None, chunks=(), parked=waiting))
    else:
        return []
    return [order_key(known.source, known.order_id, order.cycle, chunk.addition) for chunk in chunks]


async def _clawed(
    connection: asyncpg.Connection,
    row: Logged,
    program: str,
    keys: Sequence[str],
    known: Mapping[str, Rules],
    now: datetime,
) -> int:
    held = await open_account(connection, Reference(row.customer_id, ()), program, known, now, earns=keys)
    account, entries, taken = held.loaded.account, list[Entry](), 0
    for key in keys:
        if key not in account.earns or account.earns[key].is_taken_back:
            continue
        decision: Decision[Any] = clawed_back(
            account,
            key,
            id=f"void:{row.source}/{row.id}",
            amount_minor=None,
            policy=held.version_at(now).clawback,
            now=now,
        )
        account = decision.account
        entries += decision.entries
        taken += decision.result.taken + decision.result.indebted
    await save_account(connection, held, Decision(account, tuple(entries), None), now)
    return taken
