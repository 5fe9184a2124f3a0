"""What was bought, in the terms that rules ask about. Amounts are minor units of the purchase's own currency."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from app.domain.loyalty.rules import Includes
from app.domain.money import EXPONENTS


class Line(NamedTuple):
    """One line: amounts are of the whole line, whatever its quantity."""

    net_minor: int
    tax_minor: int = 0
    sku: str | None = None
    category: str | None = None
    quantity: int = 1
    is_gift_card: bool = False


class Purchase(NamedTuple):
    """A purchase. `points_paid_minor` and `gift_card_paid_minor` are the parts that were not paid in cash."""

    key: str
    occurred_at: datetime
    currency: str
    lines: tuple[Line, ...]
    shipping_minor: int = 0
    points_paid_minor: int = 0
    gift_card_paid_minor: int = 0
    exchange_rate: Decimal | None = None
    channel: str | None = None

    @property
    def gross_minor(self) -> int:
        """All that was to be paid, in whatever form."""
        return sum(line.net_minor + line.tax_minor for line in self.lines) + self.shipping_minor

    @property
    def paid_minor(self) -> int:
        """What was paid in money: what refunds are a share of."""
        return max(self.gross_minor - self.points_paid_minor, 0)


def posted(
    *,
    key: str,
    occurred_at: datetime,
    amount_minor: int,
    currency: str,
    items: Sequence[Mapping[str, Any]],
    exchange_rate: Decimal | None = None,
    channel: str | None = None,
) -> Purchase:
    """A purchase touchpoint as a purchase: its amount is what was paid, its items say for what.

    Items that add up to more were discounted alike; what they leave over belongs to no item.
    """
    amounts = [int(item.get("amount_minor") or 0) for item in items]
    listed = sum(amounts)
    if listed > amount_minor:
        amounts = spread(amount_minor, amounts)
    lines = [
        Line(amount, 0, item.get("sku"), item.get("category"), int(item.get("quantity") or 1))
        for amount, item in zip(amounts, items, strict=True)
    ]
    if listed < amount_minor:
        lines.append(Line(amount_minor - listed))
    return Purchase(key, occurred_at, currency, tuple(lines), exchange_rate=exchange_rate, channel=channel)


def spread(total: int, weights: Sequence[int]) -> list[int]:
    """`total` over the weights (not all 0): whole numbers that add up to it exactly, each within 1 of its share."""
    whole = sum(weights)
    ends, running = [0], 0
    for weight in weights:
        running += weight
        ends.append(total * running // whole)
    return [end - start for start, end in pairwise(ends)]


def currency_factor(purchase: Purchase, currency: str) -> Fraction | None:
    """What a minor unit of the purchase is in minor units of the programme's currency; None without a rate to it.

    JPY has no minor unit and KWD has three digits: both ends count by their ISO 4217 exponent.
    """
    if purchase.currency == currency:
        return Fraction(1)
    if purchase.exchange_rate is None:
        return None
    return Fraction(purchase.exchange_rate) * Fraction(10) ** (
        EXPONENTS[currency] - EXPONENTS[purchase.currency]
    )


def cash_share(purchase: Purchase, includes: Includes) -> Fraction:
    """The share of each line that counts as paid, 0 to 1: what points and gift cards paid is spread over all lines."""
    other = 0 if includes.points_paid else purchase.points_paid_minor
    other += 0 if includes.gift_cards else purchase.gift_card_paid_minor
    gross = purchase.gross_minor
    return Fraction(max(gross - other, 0), gross) if gross else Fraction(0)


def line_amount(line: Line, includes: Includes) -> int:
    """What of a line may earn: net, with tax where that is switched on; gift cards earn when they are spent."""
    if line.is_gift_card and not includes.gift_cards:
        return 0
    return line.net_minor + (line.tax_minor if includes.tax else 0)
