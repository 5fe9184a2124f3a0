"""What one client does with points and with orders that it sends whole: the next step follows from what it was told.

Everything is by chance, on customers that all clients share: so points run low, and holds are refused.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.events import Event
from tests.chaos.programme import REWARD

SHARES = {
    "settle": 0.65,
    "give_back": 0.25,
    "change": 0.6,
    "twice": 0.15,
    "whole": 0.5,
    "reward": 0.25,
    "keyed": 0.3,
    "short": 0.1,
    "debt": 0.2,
}
NEW = {"hold": 60, "order": 27, "adjustment": 13}
HELD_POINTS, LARGE_POINTS = (1, 500), (500, 8_000)
GIVEN_POINTS = 400
# A hold that often runs out before its client comes back for it.
SHORT_TTL_SECONDS = (1, 3)
MOST_VERSIONS = 6
OLDEST_ORDER = timedelta(days=30)


@dataclass(slots=True)
class Basket:
    """An order as its storefront knows it: `lines` and `refunded_minor` are amounts."""

    order_id: str
    customer: dict[str, str]
    placed_at: str
    lines: list[int]
    status: str = "placed"
    version: int = 0
    refunded_minor: int = 0

    def change(self, chance: random.Random) -> None:
        """Its next state. Nothing is taken back that was given back, but by cancelling and paying anew."""
        if self.status in {"placed", "cancelled"}:
            self.status, self.refunded_minor = "paid", 0
        else:
            step = chance.choice(("refund", "refund", "add", "fulfil", "cancel"))
            if step == "refund":
                self.refunded_minor = chance.randint(self.refunded_minor, sum(self.lines))
            elif step == "add":
                self.lines.append(chance.randrange(1, 10_000))
            else:
                self.status = "fulfilled" if step == "fulfil" else "cancelled"
        self.version += 1

    def body(self) -> dict[str, Any]:
        lines = [{"line_id": str(number), "net_minor": net} for number, net in enumerate(self.lines)]
        return {
            "customer": self.customer,
            "status": self.status,
            "version": self.version,
            "placed_at": self.placed_at,
            "currency": "EUR",
            "lines": lines,
            "refunded_minor": self.refunded_minor,
        }


@dataclass(slots=True)
class Till:
    """`shared` names one of the customers that everybody writes for; `prefix` keeps the ids of clients apart.

    `next` gives what to send: one event, or two that are to be sent at once; `heard` takes what came of it.
    """

    chance: random.Random
    prefix: str
    shared: Callable[[], dict[str, str]]
    _count: int = 0
    _held: list[Event] = field(default_factory=list)
    _spent: list[Event] = field(default_factory=list)
    _baskets: list[Basket] = field(default_factory=list)

    def next(self) -> tuple[Event, ...]:
        if self._held and self._happens("settle"):
            return self._settle(self._held.pop(self.chance.randrange(len(self._held))))
        if self._spent and self._happens("give_back"):
            return self._give_back(self.chance.choice(self._spent))
        (kind,) = self.chance.choices(list(NEW), list(NEW.values()))
        if kind == "order":
            return self._order()
        return (self._hold() if kind == "hold" else self._adjust(),)

    def heard(self, event: Event) -> None:
        if not event.acknowledged or not event.told:
            return
        if event.kind == "hold":
            self._held.append(event)
        elif event.kind == "capture":
            self._spent.append(event)

    def _happens(self, what: str) -> bool:
        return self.chance.random() < SHARES[what]

    def _name(self) -> str:
        self._count += 1
        return f"{self.prefix}-t{self._count}"

    def _named(self, kind: str, customer: dict[str, str], **said: Any) -> Event:
        name = self._name()
        key = name if kind != "order" and self._happens("keyed") else None
        return Event(name, {"id": name, "customer": customer, **said}, kind, customer["external_id"], key=key)

    def _hold(self) -> Event:
        if self._happens("reward"):
            return self._named("hold", self.shared(), reward=REWARD)
        points = self.chance.randrange(*(HELD_POINTS if self.chance.random() < 0.5 else LARGE_POINTS))
        short = {"ttl_seconds": self.chance.randint(*SHORT_TTL_SECONDS)} if self._happens("short") else {}
        return self._named("hold", self.shared(), points=points, order_id=f"paid-{self._count}", **short)

    def _adjust(self) -> Event:
        points = self.chance.choice((1, -1)) * self.chance.randint(1, GIVEN_POINTS)
        allow_debt = self._happens("debt")
        return self._named(
            "adjustment", self.shared(), points=points, reason_code="service", allow_debt=allow_debt
        )

    def _settle(self, hold: Event) -> tuple[Event, ...]:
        """Capture or release it; or both at once, or two captures of different points: one of them wins."""
        part = {}
        if not self._happens("whole") and hold.told["reward"] is None:
            part = {"points": self.chance.randint(1, hold.told["points"])}
        capture, release = self._of(hold, "capture", part), self._of(hold, "release", {})
        way = self.chance.random()
        if way < SHARES["twice"]:
            return capture, release
        if part and way < 2 * SHARES["twice"]:
            return capture, self._of(hold, "capture", {})
        return (capture if way < 0.8 else release,)

    def _of(self, hold: Event, kind: str, body: dict[str, Any]) -> Event:
        return Event(self._name(), body, kind, hold.external_id, about=hold.told["hold_id"])

    def _give_back(self, capture: Event) -> tuple[Event, ...]:
        """Some of its points or all that are left; sometimes two at once, of which the second may find nothing."""
        both = self._happens("twice")
        returns = tuple(self._return(capture) for _ in range(1 + both))
        if any("points" not in each.body for each in returns):
            self._spent.remove(capture)
        return returns

    def _return(self, capture: Event) -> Event:
        whole = self._happens("whole")
        part = {} if whole else {"points": self.chance.randint(1, capture.told["points"])}
        name = self._name()
        key = name if self._happens("keyed") else None
        about = capture.told["redemption_id"]
        return Event(name, {"id": name, **part}, "give back", capture.external_id, about=about, key=key)

    def _order(self) -> tuple[Event, ...]:
        """A new one or a change; sometimes the next two states at once: the older one may come too late."""
        if self._baskets and self._happens("change"):
            basket = self.chance.choice(self._baskets)
        else:
            basket = self._basket()
            self._baskets.append(basket)
        states = [self._state(basket)]
        # A cancellation that came too late would be no cancellation: what was given back before it would stay so.
        if self._happens("twice") and basket.status != "cancelled":
            states.append(self._state(basket))
        if basket.version >= MOST_VERSIONS:
            self._baskets.remove(basket)
        return tuple(states)

    def _basket(self) -> Basket:
        ago = timedelta(seconds=self.chance.randrange(int(OLDEST_ORDER.total_seconds())))
        lines = [self.chance.randrange(1, 10_000) for _ in range(self.chance.randint(1, 3))]
        return Basket(f"whole-{self._name()}", self.shared(), (datetime.now(UTC) - ago).isoformat(), lines)

    def _state(self, basket: Basket) -> Event:
        # Some are told of before they are paid.
        if basket.version or self.chance.random() < 0.8:
            basket.change(self.chance)
        else:
            basket.version += 1
        name = f"{basket.order_id}:{basket.version}"
        return Event(name, basket.body(), "order", basket.customer["external_id"], about=basket.order_id)
