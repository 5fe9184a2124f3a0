"""A storefront sends an order whole; what happened since the state before becomes touchpoints, points included."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import asyncpg

from app.domain.admission import Admission
from app.domain.canonical import canonical_json
from app.domain.health.model import Model
from app.domain.identifiers import Reference
from app.domain.loyalty.earning import order_key
from app.domain.loyalty.known_orders import KnownOrder, OrderStep, gathered
from app.domain.loyalty.orders import (
    PAID,
    Changed,
    Effect,
    Order,
    OrderState,
    added_of,
    adopted,
    changed,
    purchase_of,
    refund_arrived,
)
from app.domain.loyalty.purchases import Purchase
from app.domain.problems import Conflict, NotFound, Problem, refused
from app.domain.recording import Recorded
from app.domain.touchpoints import CLOCK_TOLERANCE, Touchpoint, propose
from app.storage.loyalty import orders
from app.storage.loyalty.orders import Money, state_row
from app.storage.recording import LostRace
from app.usecases.find_customer import find_customer
from app.usecases.lock_customer import lock_or_create_customer
from app.usecases.loyalty.change_account import busy
from app.usecases.loyalty.earn import Earning
from app.usecases.record_touchpoints import Entry, record_touchpoints

BUYING: Final = frozenset(("purchase", "addition", "repayment"))


@dataclass(frozen=True, slots=True)
class Told:
    """What a storefront says. `changed_at`: when the order came to stand so."""

    customer: Reference
    source: str
    state: OrderState
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Put:
    """The order as it stands, and the effects of this state as first answered: JSON objects.

    `is_new`: they were written with this call.
    """

    customer_id: UUID
    known: KnownOrder
    effects: Sequence[dict[str, Any]]
    ignored: Literal["stale_version"] | None = None
    is_new: bool = False


async def put_order(
    connection: asyncpg.Connection,
    told: Told,
    model: Model,
    earning: Earning,
    admission: Admission,
    now: datetime,
    check: Callable[[KnownOrder], None],
) -> Put:
    """The order after this state. The same version again is answered the same, an older one is ignored.

    `check` raises when the order is not as its sender has seen it. Raises what stands against the customer, Invalid
    `in_the_future` or `value_too_large`, Conflict `id_reused`, Unavailable `busy`.
    """
    if told.state.placed_at > now + CLOCK_TOLERANCE:
        raise refused("#/placed_at", "in_the_future", "more than 5 minutes ahead of the server's clock")
    if told.changed_at > now + CLOCK_TOLERANCE:
        raise refused("#/changed_at", "in_the_future", "more than 5 minutes ahead of the server's clock")
    locked = await lock_or_create_customer(connection, told.customer, now, admission)
    customer_id, order_id = locked.customer_id, told.state.order_id
    same_id = await orders.find(connection, customer_id, order_id)
    known = next((one for one in same_id if one.source == told.source), None)
    if known is None:
        known = KnownOrder(told.source, order_id)
    check(known)
    if known.order.state == told.state:
        return Put(customer_id, known, _answered(known))
    money = await orders.money_of(connection, customer_id, order_id)
    catch_up(known, money, same_id, earning.shop_currency)
    order = gathered(known.order, known, same_id) if told.state.status in PAID else known.order
    done = changed(order, told.state)
    if done.ignored is not None:
        return Put(customer_id, known, (), done.ignored)
    known.currency = known.currency or told.state.currency
    effects = await _write(connection, customer_id, told, known, done, model, earning, now)
    known.answer = json.dumps({"effects": effects}, ensure_ascii=False, separators=(",", ":"))
    known.take(done.order)
    others = [one for one in same_id if one.is_changed and one is not known]
    if not await orders.save(connection, customer_id, [known, *others], now):
        raise busy()
    known.revision += 1
    return Put(customer_id, known, effects, is_new=True)


async def find_order(
    connection: asyncpg.Connection, reference: Reference, order_id: str, source: str | None, own: str
) -> tuple[UUID, KnownOrder]:
    """The order of a customer: of `source`, else of the asker's `own` one, else of whichever has sent it whole.

    Raises what `find_customer` raises, NotFound `order_not_found`.
    """
    identity = await find_customer(connection, reference)
    found = [
        one
        for one in await orders.find(connection, identity.customer_id, order_id)
        if one.order.state is not None and source in {None, one.source}
    ]
    if not found:
        raise order_not_found()
    return identity.customer_id, next((one for one in found if one.source == own), found[0])


def catch_up(
    known: KnownOrder, money: Sequence[Money], same_id: Sequence[KnownOrder], shop_currency: str
) -> None:
    """Take into the order what was posted of it and it has not heard of: before it was sent whole, or while there was
    no programme and nobody followed. Nothing was earned by that, and nothing is clawed.
    """
    heard = {name for one in (known, *same_id) for name in one.touchpoints}
    for row in money:
        name = (row.source, row.id)
        if name in heard:
            continue
        order = _after(known, row, shop_currency)
        if order is None:
            continue
        known.order, known.is_changed = order, True
        known.touchpoints.append(name)


def _after(known: KnownOrder, row: Money, shop_currency: str) -> Order | None:
    order = known.order
    if row.kind == "purchase":
        if row.source != known.source:
            return None
        if not order.is_paid:
            known.currency = row.currency
        return adopted(order, row.id, row.amount_minor or 0)
    refund = row.refund(shop_currency, known.source).in_currency(known.currency)
    was_paid = order.is_paid
    order, _ = refund_arrived(order, refund)
    return replace(order, is_paid=False) if was_paid and refund.amount_minor is None else order


async def _write(
    connection: asyncpg.Connection,
    customer_id: UUID,
    told: Told,
    known: KnownOrder,
    done: Changed,
    model: Model,
    earning: Earning,
    now: datetime,
) -> list[dict[str, Any]]:
    """Write a touchpoint for each effect; what each did, as it is answered."""
    entries = [
        Entry(
            customer_id,
            _touchpoint(told, effect, earning.shop_currency, now),
            step=_step(told, known, done, effect),
        )
        for effect in done.effects
    ]
    try:
        outcomes = await record_touchpoints(connection, entries, model, earning) if entries else []
    except LostRace:
        raise busy() from None
    effects = []
    for effect, entry, outcome in zip(done.effects, entries, outcomes, strict=True):
        if isinstance(outcome, Problem):
            raise outcome
        if not isinstance(outcome, Recorded):
            raise busy()
        known.touchpoints.append((entry.touchpoint.source, entry.touchpoint.id))
        effects.append(_shown(effect, outcome))
    return effects


def _step(told: Told, known: KnownOrder, done: Changed, effect: Effect) -> OrderStep:
    purchase: Purchase | None = None
    applied = done.applied if effect.what in {"purchase", "repayment"} else ()
    if effect.what in BUYING:
        key = order_key(told.source, told.state.order_id, effect.cycle, effect.addition)
        purchase = (
            purchase_of(told.state, key)
            if effect.addition is None
            else added_of(known.order.state, told.state, effect.amount_minor, key)
        )
    return OrderStep(told.source, told.state.order_id, effect, purchase, applied)


def _touchpoint(told: Told, effect: Effect, shop_currency: str, now: datetime) -> Touchpoint:
    state = told.state
    said = {"what": effect.what, "amount_minor": effect.amount_minor, "order": state_row(state)}
    is_bought = effect.what in BUYING
    items = [
        {
            "sku": line.sku or line.line_id,
            "quantity": line.quantity,
            "amount_minor": line.net_minor + line.tax_minor,
            **({"category": line.category} if line.category else {}),
        }
        for line in state.lines
    ]
    return propose(
        source=told.source,
        id=effect.id,
        kind=effect.kind,
        occurred_at=state.placed_at if effect.what == "purchase" else told.changed_at,
        now=now,
        body_sha256=hashlib.sha256(canonical_json(said)).digest(),
        shop_currency=shop_currency,
        channel=state.channel,
        amount_minor=effect.amount_minor,
        currency=state.currency,
        exchange_rate=state.exchange_rate,
        order_id=state.order_id,
        items=items if is_bought and effect.addition is None else None,
        properties={"what": effect.what, "version": state.version},
    )


def _shown(effect: Effect, recorded: Recorded) -> dict[str, Any]:
    stored = recorded.stored
    return {
        "id": effect.id,
        "what": effect.what,
        "kind": effect.kind,
        "amount_minor": effect.amount_minor,
        "health": json.loads(stored.outcome),
        "loyalty": None if stored.loyalty is None else json.loads(stored.loyalty),
    }


def _answered(known: KnownOrder) -> list[dict[str, Any]]:
    return [] if known.answer is None else list(json.loads(known.answer)["effects"])


def order_not_found() -> NotFound:
    """Nobody has sent such an order whole."""
    return NotFound("order_not_found", "This customer has no order with this id.")


def id_reused() -> Conflict:
    """The version said something else."""
    return Conflict("id_reused", "This version of the order said something else.", version=7)
