"""A purchase that is taken back loses what it has earned, as by a refund of all that is left."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import asyncpg

from app.domain.descriptions import order_id_of
from app.domain.identifiers import Reference
from app.domain.loyalty.account import Decision, Entry
from app.domain.loyalty.clawback import clawed_back
from app.domain.loyalty.earning import order_key
from app.domain.loyalty.orders import Parked
from app.domain.loyalty.passbook import KnownOrder, purchase_key
from app.storage.loyalty import orders
from app.storage.loyalty.orders import Money
from app.storage.timeline import Logged
from app.usecases.loyalty.change_account import busy, open_account, save_account
from app.usecases.loyalty.earn import Earning
from app.usecases.loyalty.referrals.follow_orders import order_refunded
from app.usecases.loyalty.referrals.order_steps import Refunded


async def take_back(connection: asyncpg.Connection, row: Logged, earning: Earning, now: datetime) -> int:
    """The points that went with a voided purchase of a locked customer, in every programme; 0 for any other kind.

    Its order, if it has one, is not paid any more: what pays it next earns anew. Raises Unavailable `busy`.
    """
    if row.kind != "purchase":
        return 0
    order_id = order_id_of(row.fact.thread)
    keys = [purchase_key(row.source, row.id)] if order_id is None else []
    if order_id is not None:
        found = await orders.find(connection, row.customer_id, order_id)
        known = next((one for one in found if (row.source, row.id) in one.touchpoints), None)
        if known is not None:
            keys = _undone(known, row, await orders.money_of(connection, row.customer_id, order_id))
            if known.is_changed and not await orders.save(connection, row.customer_id, [known], now):
                raise busy()
    if not keys or earning.program is None:
        return 0
    back = {row.customer_id: [Refunded(key, None) for key in keys]}
    await order_refunded(connection, back, earning.programs, now)
    taken = 0
    for program, rules in earning.programs.items():
        if rules.versions:
            taken += await _clawed(connection, row, program, keys, earning, now)
    return taken


def _undone(known: KnownOrder, row: Logged, money: Sequence[Money]) -> list[str]:
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
            Parked(
                one.id,
                one.occurred_at,
                None if one.kind == "order_cancelled" else one.amount_minor,
                None if one.source == known.source else one.source,
            )
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
    keys: list[str],
    earning: Earning,
    now: datetime,
) -> int:
    held = await open_account(
        connection, Reference(row.customer_id, ()), program, earning.programs, now, earns=keys
    )
    account, entries, taken = held.loaded.account, list[Entry](), 0
    for key in keys:
        if key not in account.earns:
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
