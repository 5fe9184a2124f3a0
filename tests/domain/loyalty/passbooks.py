"""A customer's passbook for tests: touchpoints go in one after the other, and what was told comes back."""

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from app.domain.health.facts import fact_of
from app.domain.loyalty.account import opened
from app.domain.loyalty.earning import order_key
from app.domain.loyalty.known_orders import KnownOrder, OrderStep
from app.domain.loyalty.orders import Order, OrderState, added_of, changed, purchase_of
from app.domain.loyalty.passbook import Draft, NewMoney, Passbook
from app.domain.loyalty.versions import Programme, Published, version_of
from app.domain.touchpoints import Touchpoint, seconds
from tests.domain.loyalty.ledgers import START, day
from tests.domain.loyalty.programmes import BASE, CLUB

LONG_AGO = datetime(2020, 1, 1, tzinfo=START.tzinfo)


def draft(programme: Programme = CLUB, number: int = 1, **rules: Any) -> Draft:
    """An account without entries under rules that have long been in force: active at once, 1 point per 100."""
    said = {"earning_rules": [BASE], "pending_days": 0, **rules}
    return Draft(programme, [Published(7, version_of(said), LONG_AGO)], opened(UUID(int=number)), None, 0, {})


def touchpoint(
    kind: str, name: str, amount: int | None = None, order: str | None = None, **said: Any
) -> Touchpoint:
    """What a shop posted at the time at which it took place."""
    at = said.pop("at", START)
    return Touchpoint(
        **{
            "source": "shop",
            "id": name,
            "kind": kind,
            "occurred_at": at,
            "received_at": at,
            "body_sha256": sha256(name.encode()).digest(),
            "fact": fact_of(kind, seconds(at), name),
            "thread": None if order is None else f"order:{order}",
            "amount_minor": amount,
            "currency": None if amount is None else "EUR",
            "value_minor": amount,
            **said,
        }
    )


class Customer:
    """One customer with a passbook, whose days go by."""

    def __init__(self, *drafts: Draft, shop_currency: str = "EUR", orders: Sequence[KnownOrder] = ()) -> None:
        all_drafts = drafts or (draft(),)
        by_id: dict[str, list[KnownOrder]] = {}
        for known in orders:
            by_id.setdefault(known.order_id, []).append(known)
        self.book = Passbook(
            all_drafts[0].programme.code,
            shop_currency,
            {one.programme.code: one for one in all_drafts},
            by_id,
        )
        self.draft = all_drafts[0]
        self.now = START

    def at(self, number: float) -> "Customer":
        self.now = day(number)
        return self

    def says(
        self, kind: str, name: str, amount: int | None = None, order: str | None = None, **said: Any
    ) -> Any:
        """What following a posted touchpoint is told."""
        flags = {"is_first_purchase": said.pop("first", False), "is_bought": said.pop("is_bought", False)}
        one = touchpoint(kind, name, amount, order, **{"at": self.now, **said})
        return json.loads(self.book.follow(NewMoney(one, **flags)))

    def buys(self, amount: int, name: str = "p", order: str | None = None, **said: Any) -> Any:
        return self.says("purchase", name, amount, order, **said)

    def returns(self, amount: int, name: str = "r", order: str | None = "A", **said: Any) -> Any:
        return self.says("refund", name, amount, order, **said)

    def cancels(self, name: str = "c", order: str | None = "A", **said: Any) -> Any:
        return self.says("order_cancelled", name, None, order, **said)

    def sends(
        self, order: Order, state: OrderState, source: str = "shop", **said: Any
    ) -> tuple[Order, list[Any]]:
        """The order after a whole state, with what each of its touchpoints was told."""
        done = changed(order, state)
        told = []
        for effect in done.effects:
            key = order_key(source, state.order_id, effect.cycle, effect.addition)
            bought = None
            if effect.what == "addition":
                bought = added_of(order.state, state, effect.amount_minor, key)
            elif effect.kind == "purchase":
                bought = purchase_of(state, key)
            step = OrderStep(source, state.order_id, effect, bought, done.applied if bought else ())
            one = touchpoint(effect.kind, effect.id, effect.amount_minor, state.order_id, at=self.now)
            flags = {"is_first_purchase": said.get("first", False), "is_bought": False}
            told.append(json.loads(self.book.follow(NewMoney(one, step=step, **flags))))
        return done.order, told

    def order(self, order_id: str = "A", source: str = "shop") -> KnownOrder:
        return self.book.order_of(order_id, source)

    def clawbacks(self) -> list[tuple[str, int]]:
        return [(one.key, -one.points) for one in self.draft.entries if one.kind == "clawback"]

    def earns(self) -> list[tuple[str, int]]:
        return [(one.key, one.points) for one in self.draft.entries if one.kind == "earn"]
