"""The shop's purchases as columns of numbers, which is what learning and back-tests work on."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from app.domain.health.orders import order_rows
from app.storage import shop_log, verification
from app.storage.database import Database
from app.storage.verification import FIRST_ID

PAGE: Final = 500
"""Customers in one statement."""

MOST_CUSTOMERS: Final = 200_000
"""Enough for any fit; more would only take memory (48 bytes for each purchase, a few times over)."""


def _column() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class ShopLog:
    """One row for each purchase and each refund, in no order of time; `customers` have any.

    `customer` counts from 0 in the order of their ids. Times are seconds since 1970, money is in minor units of the
    shop's currency; a refund says when its order was and which share (thousandths) of it came back. Plain arrays: they
    go to another process as they are. Of a shop with more than MOST_CUSTOMERS one in `every` was read.
    """

    customers: int = 0
    every: int = 1
    customer: "array[int]" = field(default_factory=_column)
    at: "array[int]" = field(default_factory=_column)
    amount: "array[int]" = field(default_factory=_column)
    is_refund: "array[int]" = field(default_factory=_column)
    ordered_at: "array[int]" = field(default_factory=_column)
    share: "array[int]" = field(default_factory=_column)

    def __len__(self) -> int:
        return len(self.at)

    @property
    def columns(self) -> tuple["array[int]", ...]:
        """The columns in the order in which app.fitting takes them."""
        return self.customer, self.at, self.amount, self.is_refund, self.ordered_at, self.share

    @property
    def notes(self) -> list[str]:
        """What a reader of the results must know of it."""
        return (
            []
            if self.every == 1
            else [f"One customer in {self.every} was looked at: the shop is that large."]
        )


async def read_shop_log(
    database: Database,
    until: datetime,
    watch: Callable[[int], None] = lambda _customers: None,
    *,
    most_customers: int = MOST_CUSTOMERS,
) -> ShopLog:
    """What was bought and sent back up to `until`, as the database stands now; what was voided is left out.

    Of more than `most_customers` an even sample is read, always the same. `watch` is told how many were passed so far.
    """
    log, after, read, page = ShopLog(), FIRST_ID, 0, [FIRST_ID]
    async with verification.snapshot(database) as connection:
        log.every = max(1, -(-await verification.count(connection, "customers") // most_customers))
        while page:
            page = await verification.customers_after(connection, after, PAGE)
            # The end of an id is random: whoever it picks has nothing in common.
            chosen = [one for one in page if one.int % log.every == 0]
            async for facts in shop_log.orders_of(connection, chosen, until):
                for row in order_rows(facts):
                    log.customer.append(log.customers)
                    log.at.append(row.at)
                    log.amount.append(row.amount)
                    log.is_refund.append(row.is_refund)
                    log.ordered_at.append(row.ordered_at)
                    log.share.append(row.share)
                log.customers += 1
            if page:
                after, read = page[-1], read + len(page)
                watch(read)
    return log
