"""Orders as they stand, which of them a touchpoint is about, and the natural keys of what they earn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from app.domain.descriptions import order_id_of
from app.domain.loyalty.earning import order_key
from app.domain.loyalty.orders import Effect, Order, Parked
from app.domain.loyalty.purchases import Purchase
from app.domain.touchpoints import Touchpoint

Shares = tuple[tuple[int | None, int], ...]
"""What a refund takes from which part of an order: (addition, minor units)."""


@dataclass(slots=True)
class KnownOrder:
    """An order as it stands, and whether that is written down. `revision` 0: there is no row of it yet.

    `touchpoints` are (source, id) of those that are in it. `answer`: what its last state was answered.
    """

    source: str
    order_id: str
    order: Order = field(default_factory=Order)
    revision: int = 0
    currency: str | None = None
    touchpoints: list[tuple[str, str]] = field(default_factory=list)
    answer: str | None = None
    origin: Any = None
    is_changed: bool = False

    def take(self, order: Order, touchpoint: Touchpoint | None = None) -> None:
        """Remember what became of it, by which touchpoint."""
        self.order, self.is_changed = order, True
        if touchpoint is not None:
            self.touchpoints.append((touchpoint.source, touchpoint.id))


class OrderStep(NamedTuple):
    """What a whole order says of one touchpoint that its state wrote: which part it is, and what it bought.

    `applied`: refunds that waited for the payment, with what they take.
    """

    source: str
    order_id: str
    effect: Effect
    purchase: Purchase | None = None
    applied: tuple[tuple[Parked, Shares], ...] = ()


def purchase_key(source: str, id: str) -> str:  # noqa: A002 - the wire's own name
    """The natural key of a purchase without an order."""
    return f"purchase:{source}/{id}"


def refund_name(source: str, id: str) -> str:  # noqa: A002 - the wire's own name
    """What one refund of an earn is known by."""
    return f"{source}/{id}"


def found_order(orders: Sequence[KnownOrder], source: str) -> KnownOrder | None:
    """Which of the orders with one id is meant: that of the source, else one that is paid, whoever sold it.

    A support desk refunds what the shop has sold.
    """
    own = next((known for known in orders if known.source == source), None)
    if own is not None and own.order.cycle:
        return own
    return next((known for known in orders if known.order.is_paid), own)


def gathered(order: Order, known: KnownOrder, others: Sequence[KnownOrder]) -> Order:
    """The order with the refunds that wait for its id under the names of other sources; they wait there no more."""
    for other in others:
        if other is not known and other.order.parked and not other.order.cycle:
            # Under their own source: two of them may use one id for two refunds.
            theirs = (one._replace(source=one.source or other.source) for one in other.order.parked)
            order = replace(order, parked=(*order.parked, *theirs))
            other.take(replace(other.order, parked=()))
    return order


def keys_named(touchpoint: Touchpoint, orders: Sequence[KnownOrder], step: OrderStep | None) -> Iterator[str]:
    """The natural keys of earns that a touchpoint may make or claw from, given the orders with its order's id."""
    if step is not None:
        yield order_key(step.source, step.order_id, step.effect.cycle, step.effect.addition)
        return
    order_id = order_id_of(touchpoint.thread)
    if touchpoint.kind == "purchase":
        if order_id is None:
            yield purchase_key(touchpoint.source, touchpoint.id)
            return
        known = next((one for one in orders if one.source == touchpoint.source), None)
        yield order_key(touchpoint.source, order_id, 1 if known is None else known.order.cycle + 1)
        return
    found = found_order(orders, touchpoint.source)
    if found is not None:
        for chunk in found.order.chunks:
            yield order_key(found.source, found.order_id, found.order.cycle, chunk.addition)
