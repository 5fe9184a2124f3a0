"""Whole orders: a storefront sends the full state whenever it changes, and what happened is worked out here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from app.domain.loyalty.purchases import Line, Purchase
from app.domain.problems import Conflict

Status = Literal["placed", "paid", "fulfilled", "cancelled", "refunded"]
What = Literal["purchase", "addition", "refund", "cancellation", "repayment"]
Kind = Literal["purchase", "refund", "order_cancelled"]

KIND: Mapping[What, Kind] = {
    "purchase": "purchase",
    "addition": "purchase",
    "refund": "refund",
    "cancellation": "order_cancelled",
    "repayment": "purchase",
}
PAID: frozenset[Status] = frozenset(("paid", "fulfilled"))
ENDED: frozenset[Status] = frozenset(("cancelled", "refunded"))


class OrderLine(NamedTuple):
    """One line as the storefront sends it. Amounts are of the whole line."""

    line_id: str
    net_minor: int
    tax_minor: int = 0
    quantity: int = 1
    returned_quantity: int = 0
    sku: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class OrderState:
    """The full state of an order. `refunded_minor`: refunded in all; returned lines count where they are more."""

    order_id: str
    version: int
    status: Status
    placed_at: datetime
    currency: str
    lines: tuple[OrderLine, ...]
    shipping_minor: int = 0
    points_paid_minor: int = 0
    refunded_minor: int = 0
    exchange_rate: Decimal | None = None
    channel: str | None = None

    @property
    def paid_minor(self) -> int:
        """What the order costs in money."""
        gross = sum(line.net_minor + line.tax_minor for line in self.lines) + self.shipping_minor
        return max(gross - self.points_paid_minor, 0)

    @property
    def given_back_minor(self) -> int:
        """What of it was given back: all of an ended order, else the larger of what is said and what came back."""
        if self.status in ENDED:
            return self.paid_minor
        returned = sum(
            (line.net_minor + line.tax_minor)
            * min(line.returned_quantity, line.quantity)
            // max(line.quantity, 1)
            for line in self.lines
        )
        return min(max(self.refunded_minor, returned), self.paid_minor)


class Chunk(NamedTuple):
    """A part of an order that earned by itself: the first payment of a cycle, or what was added to it later."""

    addition: int | None
    paid_minor: int
    refunded_minor: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What is known of one order: the last state, and what was written of it. Cycle 0: never paid.

    `chunks` are of the present cycle. `adopted` is the touchpoint that an order posted before as a purchase has.
    """

    state: OrderState | None = None
    cycle: int = 0
    is_paid: bool = False
    chunks: tuple[Chunk, ...] = ()
    adopted: str | None = None
    parked: tuple["Parked", ...] = field(default_factory=tuple)

    @property
    def paid_minor(self) -> int:
        """Paid in the present cycle."""
        return sum(chunk.paid_minor for chunk in self.chunks)

    @property
    def refunded_minor(self) -> int:
        """Given back of it."""
        return sum(chunk.refunded_minor for chunk in self.chunks)


class Parked(NamedTuple):
    """A refund that came before its order. `amount_minor` None: all of it; `source` None: that of the order.

    `worth` is the amount in each currency that it is known in; what was parked by an earlier release has none and
    counts as it is.
    """

    id: str
    occurred_at: datetime
    amount_minor: int | None
    source: str | None = None
    worth: tuple[tuple[str, int], ...] = ()

    def in_currency(self, currency: str | None) -> "Parked":
        """The same in the currency of its order (None: that is not known yet); 0 where there is no rate to it."""
        if self.amount_minor is None or currency is None or not self.worth:
            return self
        return self._replace(amount_minor=dict(self.worth).get(currency, 0))


def worth_of(
    amount_minor: int | None, currency: str | None, value_minor: int | None, shop_currency: str
) -> tuple[tuple[str, int], ...]:
    """What an amount is worth: itself, and `value_minor` in the shop's currency where a rate was told."""
    known = {shop_currency: value_minor} | {currency or shop_currency: amount_minor or 0}
    return tuple((code, minor) for code, minor in known.items() if minor is not None)


class Effect(NamedTuple):
    """One touchpoint to write. `addition` names the part that earns or is refunded; None is the first of the cycle."""

    id: str
    what: What
    amount_minor: int
    cycle: int
    addition: int | None = None

    @property
    def kind(self) -> Kind:
        """The kind of the touchpoint."""
        return KIND[self.what]


class Changed(NamedTuple):
    """The order after a state, and what happened. `ignored` says why nothing did.

    `applied`: refunds that had waited for the payment, with what they take from which part.
    """

    order: Order
    effects: tuple[Effect, ...]
    ignored: Literal["stale_version"] | None = None
    applied: tuple[tuple["Parked", tuple[tuple[int | None, int], ...]], ...] = ()


def changed(order: Order, state: OrderState) -> Changed:
    """The order after its storefront sent `state`, with what happened since the state before.

    The same state again has no effects; an older version is ignored as stale. Raises Conflict `id_reused` when a
    version comes again with another content.
    """
    before = order.state
    if before is not None and state.version <= before.version:
        if state.version == before.version and state != before:
            raise Conflict(
                "id_reused", "This version of the order said something else.", version=state.version
            )
        return Changed(order, (), None if state == before else "stale_version")
    order = replace(order, state=state)
    effects: list[Effect] = []
    applied: tuple[tuple[Parked, tuple[tuple[int | None, int], ...]], ...] = ()
    if not order.is_paid:
        order = _pay(order, state, effects)
        if order.is_paid and order.parked:
            # Before what the state says was given back: it speaks of the same money.
            order, applied = unparked(order, state.currency)
    elif state.status in PAID and state.paid_minor > order.paid_minor:
        order = _add(order, state, effects)
    if order.is_paid:
        order = _give_back(order, state, effects)
    return Changed(order, tuple(effects), None, applied)


def adopted(order: Order, touchpoint_id: str, amount_minor: int) -> Order:
    """The order after a purchase of it was posted as a touchpoint: paid, so a later state writes no second one."""
    if order.is_paid:
        return order
    chunks = (Chunk(None, amount_minor),)
    return Order(order.state, order.cycle + 1, True, chunks, touchpoint_id, order.parked)  # noqa: FBT003 - a field


def refund_arrived(order: Order, refund: Parked) -> tuple[Order, tuple[tuple[int | None, int], ...]]:
    """The order after a posted refund: which parts it claws back from, with amounts; parked while nothing was paid.

    What exceeds the payment is left out. `unparked` gives the parked ones once the order is paid.
    """
    if order.chunks and not order.is_paid:
        # It is over: nothing is left of it, and nothing waits for a payment that would be another purchase.
        return order, ()
    if not order.is_paid:
        known = any((one.source, one.id) == (refund.source, refund.id) for one in order.parked)
        return (order if known else replace(order, parked=(*order.parked, refund))), ()
    wanted = order.paid_minor if refund.amount_minor is None else order.refunded_minor + refund.amount_minor
    return _shared(order, wanted)


def unparked(
    order: Order, currency: str | None
) -> tuple[Order, tuple[tuple[Parked, tuple[tuple[int | None, int], ...]], ...]]:
    """The order, paid in `currency`, with its parked refunds applied, in order of time, and what each claws back."""
    waiting = sorted(order.parked, key=lambda refund: (refund.occurred_at, refund.id))
    order = replace(order, parked=())
    applied = []
    for refund in waiting:
        order, shares = refund_arrived(order, refund.in_currency(currency))
        applied.append((refund, shares))
    return order, tuple(applied)


def added_of(before: OrderState | None, state: OrderState, amount_minor: int, key: str) -> Purchase:
    """What was added to an order since its state before, for the rules: the lines that grew, by as much.

    Of an order that was posted as a purchase the lines are not known: then it is the amount alone.
    """
    whole = purchase_of(state, key)
    if before is None:
        return whole._replace(lines=(Line(amount_minor),), shipping_minor=0, points_paid_minor=0)
    known = {line.line_id: line for line in before.lines}
    lines = []
    for line in state.lines:
        was = known.get(line.line_id)
        net = line.net_minor - (was.net_minor if was else 0)
        tax = line.tax_minor - (was.tax_minor if was else 0)
        if net > 0 or tax > 0:
            lines.append(Line(max(net, 0), max(tax, 0), line.sku, line.category, line.quantity))
    return whole._replace(
        lines=tuple(lines),
        shipping_minor=max(state.shipping_minor - before.shipping_minor, 0),
        points_paid_minor=max(state.points_paid_minor - before.points_paid_minor, 0),
    )


def purchase_of(state: OrderState, key: str) -> Purchase:
    """What the order buys, for the rules."""
    return Purchase(
        key=key,
        occurred_at=state.placed_at,
        currency=state.currency,
        lines=tuple(
            Line(line.net_minor, line.tax_minor, line.sku, line.category, line.quantity)
            for line in state.lines
        ),
        shipping_minor=state.shipping_minor,
        points_paid_minor=state.points_paid_minor,
        exchange_rate=state.exchange_rate,
        channel=state.channel,
    )


def effect_id(state: OrderState, what: str) -> str:
    """The id of a touchpoint that a state has written."""
    return f"order:{state.order_id}:{state.version}:{what}"


def _pay(order: Order, state: OrderState, effects: list[Effect]) -> Order:
    # An order that comes fully ended and was never seen paid, never was: nothing to undo.
    if state.status not in PAID:
        return order
    cycle = order.cycle + 1
    what: What = "purchase" if cycle == 1 else "repayment"
    effects.append(Effect(effect_id(state, what), what, state.paid_minor, cycle))
    return replace(order, cycle=cycle, is_paid=True, chunks=(Chunk(None, state.paid_minor),))


def _add(order: Order, state: OrderState, effects: list[Effect]) -> Order:
    more = state.paid_minor - order.paid_minor
    effects.append(Effect(effect_id(state, "addition"), "addition", more, order.cycle, state.version))
    return replace(order, chunks=(*order.chunks, Chunk(state.version, more)))


def _give_back(order: Order, state: OrderState, effects: list[Effect]) -> Order:
    # A line that was taken off a paid order was given back too.
    removed = max(order.paid_minor - state.paid_minor, 0)
    wanted = order.paid_minor if state.status in ENDED else removed + state.given_back_minor
    ends = state.status in ENDED
    before = order.refunded_minor
    order, shares = _shared(order, wanted)
    what: What = "cancellation" if state.status == "cancelled" else "refund"
    first = effect_id(state, what)
    for number, (addition, amount) in enumerate(shares):
        name = first if number == 0 else f"{first}:{addition or 0}"
        effects.append(Effect(name, what, amount, order.cycle, addition))
    if ends and not shares and before == 0:
        # An order that cost nothing is cancelled all the same: what it earned goes.
        effects.append(Effect(first, what, 0, order.cycle))
    return replace(order, is_paid=False) if ends else order


def _shared(order: Order, wanted: int) -> tuple[Order, tuple[tuple[int | None, int], ...]]:
    """Spread what is given back in all over the parts of the order, those added last first."""
    left = min(wanted, order.paid_minor) - order.refunded_minor
    chunks, shares = [], []
    for chunk in reversed(order.chunks):
        part = max(min(left, chunk.paid_minor - chunk.refunded_minor), 0)
        if part:
            shares.append((chunk.addition, part))
        left -= part
        chunks.append(chunk._replace(refunded_minor=chunk.refunded_minor + part))
    return replace(order, chunks=tuple(reversed(chunks))), tuple(shares)
