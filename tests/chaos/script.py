"""What the clients send: by seed, colliding on a few customers, each event with an id of its own."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.deeds import DEEDS, Deed
from tests.chaos.postgres import POISON

SHARED_CUSTOMERS = 6
SHARES = {"shared": 0.85, "hot": 0.4, "poison": 0.01, "order_first": 0.8}
# What a log must not repeat, whatever happens: parts of the clients' identifiers, and of rows.
PERSONAL = ("@example.com", "-shared-", "Failing row")
KINDS = {"purchase": 45, "visit": 30, "refund": 20}
# Slower than touchpoints, each in a transaction of its own: enough to keep the pool busy.
DEED_KINDS = {"answer": 10, "complaint": 3}
SINGLE = "/v1/touchpoints"
# What a retry of a touchpoint must be told again; `duplicate` and `pending_match` may change.
REMEMBERED = ("id", "customer_id", "kind", "occurred_at", "received_at", "source", "health", "loyalty")
EVENTS_PER_NEW_CUSTOMER = 10
OLDEST_DAYS = 400


@dataclass(slots=True)
class Event:
    """One touchpoint, or one deed (deeds.py), and what became of it.

    `answers` are what single posts of it were told (what must be remembered of it, as JSON); `acknowledged`: some
    answer, also of a batch, said that it is stored; `refused`: it is poison, and was told so alone;
    `failed`: refused for good without being poison.
    """

    body: dict[str, Any]
    kind: str
    attempts: int = 0
    acknowledged: bool = False
    refused: bool = False
    failed: bool = False
    answers: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        found: str = self.body["source_id" if self.deed else "id"]
        return found

    @property
    def deed(self) -> Deed | None:
        """What it is when it is no touchpoint of the storefront's own."""
        return DEEDS.get(self.kind)

    @property
    def path(self) -> str:
        return self.deed.path if self.deed else SINGLE

    def remembered(self, answer: Mapping[str, Any]) -> str:
        """What a single post was told, as far as it must be told again."""
        return json.dumps(
            {name: answer[name] for name in (self.deed.remembered if self.deed else REMEMBERED)}
        )

    @property
    def external_id(self) -> str:
        found: str = self.body["customer"]["external_id"]
        return found

    @property
    def is_over(self) -> bool:
        """Whether nothing would be gained by sending it again."""
        return self.acknowledged or self.refused or self.failed

    @property
    def is_poison(self) -> bool:
        return self.body.get("description") == POISON


class Script:
    """The events of one client, one after the other."""

    def __init__(self, seed: int, client: int) -> None:
        self.chance = random.Random(f"chaos {seed}/{client}")
        self._seed = seed
        self._prefix = f"{seed}-{client}"
        self._count = 0
        self._orders: list[tuple[dict[str, str], str]] = []
        self._awaited: list[tuple[dict[str, str], str]] = []

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
        body = DEEDS[kind].body(self.chance)
        return Event(body | {"customer": self._shared(), "source_id": f"{self._prefix}-{self._count}"}, kind)

    def _event(self, kind: str, customer: dict[str, str], *order_id: str) -> Event:
        self._count += 1
        body: dict[str, Any] = {"id": f"{self._prefix}-{self._count}"}
        body |= getattr(self, f"_{kind}")(customer, *order_id)
        if self.chance.random() < SHARES["poison"]:
            body["description"] = POISON
        if self.chance.random() < 0.5:
            ago = timedelta(seconds=self.chance.randrange(OLDEST_DAYS * 86400))
            body["occurred_at"] = (datetime.now(UTC) - ago).isoformat()
        return Event(body, kind)

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
        number = 0 if hot else self.chance.randrange(SHARED_CUSTOMERS)
        return {"external_id": f"{self._seed}-shared-{number}"}

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
