"""What the clients send: by seed, colliding on a few customers, each event with an id of its own."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.deeds import said
from tests.chaos.events import Event
from tests.chaos.postgres import POISON
from tests.chaos.till import Till

SHARED_CUSTOMERS = 6
SHARES = {"shared": 0.85, "hot": 0.4, "poison": 0.01, "order_first": 0.8}
# What a log must not repeat, whatever happens: parts of the clients' identifiers, and of rows.
PERSONAL = ("@example.com", "-shared-", "Failing row")
KINDS = {"purchase": 45, "visit": 30, "refund": 20}
# Slower than touchpoints, each in a transaction of its own: enough to keep the pool busy.
DEED_KINDS = {"answer": 10, "complaint": 3}
EVENTS_PER_NEW_CUSTOMER = 10
OLDEST_DAYS = 400


def shared_customers(seed: int) -> list[str]:
    """External ids of those that all clients write for."""
    return [f"{seed}-shared-{number}" for number in range(SHARED_CUSTOMERS)]


class Script:
    """The events of one client, one after the other."""

    def __init__(self, seed: int, client: int) -> None:
        self.chance = random.Random(f"chaos {seed}/{client}")
        self._seed = seed
        self._prefix = f"{seed}-{client}"
        self._count = 0
        self._orders: list[tuple[dict[str, str], str]] = []
        self._awaited: list[tuple[dict[str, str], str]] = []
        self.till = Till(self.chance, self._prefix, self._shared)

    def event(self) -> Event:
        if self._awaited and self.chance.random() < 0.5:
            return self._event("purchase", *self._awaited.pop())
        (kind,) = self.chance.choices(list(KINDS), list(KINDS.values()))
        return self._event(kind, self._customer())

    def order_and_refund(self) -> tuple[Event, Event]:
        """An order and its refund, to be sent at once: whichever is written second must know of the first."""
        order = self._event("purchase", self._customer())
        return order, self._event("refund", order.body["customer"], order.body["order_id"])

    def deed(self) -> Event:
        """For one of the customers that everybody writes for."""
        self._count += 1
        (kind,) = self.chance.choices(list(DEED_KINDS), list(DEED_KINDS.values()))
        name, customer = f"{self._prefix}-{self._count}", self._shared()
        body = said(kind, self.chance) | {"customer": customer, "source_id": name}
        return Event(name, body, kind, customer["external_id"])

    def _event(self, kind: str, customer: dict[str, str], *order_id: str) -> Event:
        self._count += 1
        body: dict[str, Any] = {"id": f"{self._prefix}-{self._count}"}
        body |= getattr(self, f"_{kind}")(customer, *order_id)
        if self.chance.random() < SHARES["poison"]:
            body["description"] = POISON
        if self.chance.random() < 0.5:
            ago = timedelta(seconds=self.chance.randrange(OLDEST_DAYS * 86400))
            body["occurred_at"] = (datetime.now(UTC) - ago).isoformat()
        return Event(body["id"], body, kind, body["customer"]["external_id"])

    def _customer(self) -> dict[str, str]:
        """One of a few that everybody writes for, or one that the clients create together."""
        if self.chance.random() < SHARES["shared"]:
            return self._shared()
        name = f"{self._seed}-new-{self._count // EVENTS_PER_NEW_CUSTOMER}"
        # Some know more of the customer than others, so identifiers are also added while the customer is being made.
        more = {"email": f"{name}@example.com"} if self.chance.random() < 0.5 else {}
        return {"external_id": name} | more

    def _shared(self) -> dict[str, str]:
        hot = self.chance.random() < SHARES["hot"]
        return {
            "external_id": shared_customers(self._seed)[0 if hot else self.chance.randrange(SHARED_CUSTOMERS)]
        }

    def _purchase(self, customer: dict[str, str], order_id: str | None = None) -> dict[str, Any]:
        order_id = order_id or f"order-{self._prefix}-{self._count}"
        self._orders.append((customer, order_id))
        return {"kind": "purchase", "customer": customer, "order_id": order_id, **self._money()}

    def _visit(self, customer: dict[str, str]) -> dict[str, Any]:
        return {"kind": "visit", "customer": customer, "channel": "web"}

    def _refund(self, customer: dict[str, str], order_id: str | None = None) -> dict[str, Any]:
        """Of this order, of one that was sent before, or of one that comes later."""
        if order_id is not None:
            pass
        elif self._orders and self.chance.random() < SHARES["order_first"]:
            customer, order_id = self.chance.choice(self._orders[-20:])
        else:
            order_id = f"order-{self._prefix}-late-{self._count}"
            self._awaited.append((customer, order_id))
        return {"kind": "refund", "customer": customer, "order_id": order_id, **self._money()}

    def _money(self) -> dict[str, Any]:
        return {"amount_minor": self.chance.randrange(1, 20_000), "currency": "EUR"}
