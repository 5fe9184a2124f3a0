"""A touchpoint: one fact about a customer, checked and ready for the log."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from app.domain import kinds
from app.domain.health.facts import Fact, fact_of, order_thread
from app.domain.money import LARGEST_MINOR, in_shop_currency
from app.domain.problems import Fault, Invalid, NotFound

CLOCK_TOLERANCE = timedelta(minutes=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Touchpoint(NamedTuple):
    """What one row of the log says, before its outcome is known.

    Times are aware, in UTC, to the microsecond. `value_minor` is the amount in minor units of the shop's currency, None
    without an amount or without a rate. `fact` is what it means to the score, and `fact.thread` ties it to other facts;
    `thread` is also there when the touchpoint names an order on which its kind has no effect, such as `delivered`.
    `body_sha256` decides whether a retry says the same again. `own` is the component and the weight (thousandths) that
    a kind of the shop's own had on arrival: changing the kind later changes nothing that is stored.
    `origin_customer_id` is the customer it was told of, when a merge leads from there to another one.
    """

    source: str
    id: str
    kind: str
    occurred_at: datetime
    received_at: datetime
    body_sha256: bytes
    fact: Fact
    thread: str | None = None
    channel: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    exchange_rate: Decimal | None = None
    value_minor: int | None = None
    description: str | None = None
    items: list[dict[str, Any]] | None = None
    properties: dict[str, Any] | None = None
    own: tuple[str, int] | None = None
    origin_customer_id: UUID | None = None

    def of(self, origin_customer_id: UUID | None) -> "Touchpoint":
        """The same as told of this customer: should a merge be undone, it goes with them."""
        if origin_customer_id is None:
            return self
        return self._replace(origin_customer_id=origin_customer_id)

    @property
    def without_value(self) -> bool:
        """Whether it carries money that nobody named a rate for: it counts, and its money does not."""
        return self.amount_minor is not None and self.value_minor is None


def touchpoint_not_found() -> NotFound:
    """No such row in this customer's log."""
    return NotFound("touchpoint_not_found", "This customer has no touchpoint with this id.")


def seconds(moment: datetime) -> int:
    """Whole seconds since 1970-01-01T00:00:00Z, rounded down: the time in which the score counts."""
    passed = moment - EPOCH
    return passed.days * 86400 + passed.seconds


def check_time(occurred_at: datetime, now: datetime) -> None:
    """Raises Invalid `in_the_future` or `before_1970`."""
    if occurred_at > now + CLOCK_TOLERANCE:
        fault = Fault("#/occurred_at", "in_the_future", "more than 5 minutes ahead of the server's clock")
        raise Invalid("in_the_future", "occurred_at lies in the future.", errors=[fault])
    if occurred_at < EPOCH:
        fault = Fault("#/occurred_at", "before_1970", "earlier than 1970-01-01T00:00:00Z")
        raise Invalid("before_1970", "occurred_at lies before 1970.", errors=[fault])


def fact_key(source: str, id: str) -> str:  # noqa: A002 - the wire's own name
    """The id of a touchpoint's fact: unique for its customer, the same wherever the log is folded."""
    return f"{source}/{id}"


def _require(kind: kinds.Kind, order_id: str | None, properties: Mapping[str, Any]) -> None:
    for name in kind.needs:
        given = order_id if name == "order_id" else properties.get(name)
        if given is None:
            pointer = "#/order_id" if name == "order_id" else f"#/properties/{name}"
            fault = Fault(pointer, "property_required", f"a {kind.name} needs it")
            raise Invalid("property_required", f"A {kind.name} needs {name}.", errors=[fault])


def _require_money(kind: kinds.Kind, amount_minor: int | None, currency: str | None) -> None:
    if (amount_minor is None) != (currency is None) or (kind.needs_money and amount_minor is None):
        missing = "amount_minor" if amount_minor is None else "currency"
        fault = Fault(f"#/{missing}", "property_required", "an amount and its currency come together")
        raise Invalid("property_required", f"A {kind.name} with money needs {missing}.", errors=[fault])


def _value(amount_minor: int, currency: str, exchange_rate: Decimal | None, shop_currency: str) -> int | None:
    value = in_shop_currency(amount_minor, currency, exchange_rate, shop_currency)
    if value is not None and value > LARGEST_MINOR:
        fault = Fault("#/exchange_rate", "value_too_large", "makes more of the amount than any shop has")
        raise Invalid("value_too_large", "The amount is too large in the shop's currency.", errors=[fault])
    return value


def propose(
    *,
    source: str,
    id: str,  # noqa: A002 - the wire's own name
    kind: str,
    occurred_at: datetime,
    now: datetime,
    body_sha256: bytes,
    shop_currency: str,
    channel: str | None = None,
    amount_minor: int | None = None,
    currency: str | None = None,
    exchange_rate: Decimal | None = None,
    order_id: str | None = None,
    description: str | None = None,
    items: list[dict[str, Any]] | None = None,
    properties: dict[str, Any] | None = None,
    own_kinds: kinds.OwnKinds = kinds.NO_KINDS,
) -> Touchpoint:
    """Check what somebody outside says happened against the rules of its kind.

    Raises Invalid: `unknown_kind`, `reserved_kind`, `in_the_future`, `before_1970`, `property_required`,
    `invalid_property`, `value_too_large`.
    """
    rules = kinds.postable(kind, own_kinds)
    check_time(occurred_at, now)
    given = properties or {}
    if rules.needs:
        _require(rules, order_id, given)
    if rules.needs_money or amount_minor is not None or currency is not None:
        _require_money(rules, amount_minor, currency)
    if rules.check is not None:
        rules.check(given)
    value = None
    if amount_minor is not None and currency is not None:
        value = _value(amount_minor, currency, exchange_rate, shop_currency)
    fact = fact_of(
        kind,
        seconds(occurred_at),
        fact_key(source, id),
        amount=value or 0,
        order_id=order_id,
        properties=given,
        own=rules.own,
    )
    return Touchpoint(
        source=source,
        id=id,
        kind=kind,
        occurred_at=occurred_at,
        received_at=now,
        body_sha256=body_sha256,
        fact=fact,
        thread=fact.thread if order_id is None else fact.thread or order_thread(order_id),
        channel=channel,
        amount_minor=amount_minor,
        currency=currency,
        exchange_rate=exchange_rate,
        value_minor=value,
        description=description,
        items=items,
        properties=properties,
        own=rules.own,
    )
