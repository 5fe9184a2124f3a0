"""A shop's log of purchases and refunds as arrays, and what was known of its customers at a given time."""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from app.domain.health.form import SHIPPED, Form
from app.fitting.numerics import Flags, Floats, Integers
from app.fitting.published import Cells

DAY: Final = 86_400
_WEEK: Final = 7 * DAY
_WHOLE: Final = 1000


class Row(NamedTuple):
    """One fact. `at` is whole seconds since 1970, `amount` minor units of one currency, never negative.

    A refund that names its order says when that was (`ordered_at`) and which share of it, in thousandths, was sent
    back; without both it counts at its own time and in full, as app.domain.health.threads has it.
    """

    customer: str
    at: int
    amount: int
    is_refund: bool = False
    ordered_at: int | None = None
    share: int = _WHOLE


class Outcome(NamedTuple):
    """What customers did in a window; shapes (customers,)."""

    bought: Flags
    purchases: Floats


@dataclass(frozen=True, slots=True)
class Purchases:
    """A log as columns of one length, sorted by customer, then time. Units as in `Row`.

    `customer` are indices below `customers`; `ordered_at` is `at` except for a refund of a known order.
    """

    customer: Integers
    at: Integers
    amount: Integers
    is_refund: Flags
    ordered_at: Integers
    share: Integers
    customers: int

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> "Purchases":
        """From rows in any order; customers are numbered as they are met."""
        numbers: dict[str, int] = {}
        table = [
            (
                numbers.setdefault(row.customer, len(numbers)),
                row.at,
                row.amount,
                row.is_refund,
                row.at if row.ordered_at is None else row.ordered_at,
                row.share,
            )
            for row in rows
        ]
        columns = np.array(table, dtype=np.int64).reshape(len(table), 6).T
        return cls.of_columns(*columns, customers=len(numbers))

    @classmethod
    def of_columns(
        cls,
        customer: Integers,
        at: Integers,
        amount: Integers,
        is_refund: Integers | Flags,
        ordered_at: Integers | None = None,
        share: Integers | None = None,
        *,
        customers: int,
    ) -> "Purchases":
        """From columns in any order of rows; `ordered_at` and `share` only matter for refunds of known orders."""
        refund = np.asarray(is_refund, dtype=np.bool_)
        orders = at if ordered_at is None else np.where(refund, ordered_at, at)
        shares = (
            np.full(len(at), _WHOLE, dtype=np.int64) if share is None else np.where(refund, share, _WHOLE)
        )
        # Every column takes part, so that the same set of rows always gives the same arrays, and the same hash.
        order = np.lexsort((shares, orders, amount, refund, at, customer))
        return cls(
            customer[order], at[order], amount[order], refund[order], orders[order], shares[order], customers
        )

    @classmethod
    def of_arrays(cls, columns: Sequence["array[int]"], customers: int) -> "Purchases":
        """From plain arrays in the order of `Row`'s members, in any order of rows."""
        return cls.of_columns(*(np.array(column, dtype=np.int64) for column in columns), customers=customers)

    def __len__(self) -> int:
        return len(self.at)

    def sha256(self) -> str:
        """The hash of all rows: the same log gives the same, in whatever order its rows came for each customer."""
        digest = hashlib.sha256()
        for column in (self.customer, self.at, self.amount, self.is_refund, self.ordered_at, self.share):
            digest.update(np.ascontiguousarray(column.astype("<i8")).tobytes())
        return digest.hexdigest()

    def where(self, rows: Flags) -> "Purchases":
        """Only some rows; customers keep their numbers."""
        return Purchases(
            self.customer[rows],
            self.at[rows],
            self.amount[rows],
            self.is_refund[rows],
            self.ordered_at[rows],
            self.share[rows],
            self.customers,
        )

    def of_customers(self, chosen: Flags) -> "Purchases":
        """Only the rows of some customers (flags by number), who keep their numbers."""
        return self.where(chosen[self.customer])

    def daily(self) -> "Purchases":
        """One purchase per customer and UTC day, at its midnight and with the day's total; no refunds.

        What the published models see: to them a day is the unit of time.
        """
        bought = self.where(~self.is_refund)
        day = bought.at // DAY
        starts = np.ones(len(day), dtype=np.bool_)
        starts[1:] = (np.diff(day) != 0) | (np.diff(bought.customer) != 0)
        first = np.flatnonzero(starts)
        amount = np.add.reduceat(bought.amount, first) if len(first) else bought.amount
        at = day[first] * DAY
        refund = np.zeros(len(first), dtype=np.bool_)
        whole = np.full(len(first), _WHOLE, dtype=np.int64)
        return Purchases(bought.customer[first], at, amount, refund, at, whole, self.customers)

    def outcome(self, after: int, until: int, customers: Integers) -> Outcome:
        """Purchases of each of `customers` in (after, until]; refunds are none."""
        inside = ~self.is_refund & (self.at > after) & (self.at <= until)
        counts = np.bincount(self.customer[inside], minlength=self.customers)[customers]
        return Outcome(counts > 0, counts.astype(np.float64))

    def as_of(self, now: int, form: Form = SHIPPED) -> "Standing":
        """What is known at `now` of the customers who have bought by then; the state of the score, as floats.

        Sums fade with the half-lives of `form`.
        """
        # A refund whose order is still to come waits for it, and counts then.
        known = self.where((self.at <= now) & (self.ordered_at <= now))
        bought = known.where(~known.is_refund)
        sent_back = known.where(known.is_refund)
        count = np.bincount(bought.customer, minlength=self.customers)
        chosen = np.flatnonzero(count)
        ends = np.cumsum(count)[chosen]

        def sums(rows: Purchases, values: Floats | Integers) -> Floats:
            per_customer = np.bincount(rows.customer, weights=values, minlength=self.customers)
            return per_customer[chosen].astype(np.float64)

        paid = sums(bought, bought.amount * _decay(bought.at, now, form.value))
        taken_back = sums(sent_back, sent_back.amount * _decay(sent_back.ordered_at, now, form.value))
        return Standing(
            now=now,
            customers=chosen,
            n=count[chosen],
            first=bought.at[ends - count[chosen]],
            last=bought.at[ends - 1],
            spend=sums(bought, bought.amount) - sums(sent_back, sent_back.amount),
            n15=sums(bought, _decay(bought.at, now, form.purchases_short)),
            n60=sums(bought, _decay(bought.at, now, form.purchases_middle)),
            n240=sums(bought, _decay(bought.at, now, form.purchases_long)),
            m120=np.maximum(paid - taken_back, 0.0),
            r240=sums(sent_back, sent_back.share / _WHOLE * _decay(sent_back.at, now, form.refunds)),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """Customers at one time; arrays of one length. Times in seconds since 1970, money in minor units.

    `customers` are their numbers in the log; the decayed sums are what app.domain.health.weights.read gives of the
    state's members of the same names (`r240` in orders, not thousandths).
    """

    now: int
    customers: Integers
    n: Integers
    first: Integers
    last: Integers
    spend: Floats
    n15: Floats
    n60: Floats
    n240: Floats
    m120: Floats
    r240: Floats

    def __len__(self) -> int:
        return len(self.customers)

    def where(self, rows: Flags | Integers) -> "Standing":
        """Only some of the customers."""
        return Standing(
            self.now,
            self.customers[rows],
            self.n[rows],
            self.first[rows],
            self.last[rows],
            self.spend[rows],
            self.n15[rows],
            self.n60[rows],
            self.n240[rows],
            self.m120[rows],
            self.r240[rows],
        )

    def histories(self) -> Cells:
        """(x, t_x, T) of each customer in weeks, one row each, in the order of `customers`."""
        return Cells(
            (self.n - 1).astype(np.float64),
            (self.last - self.first) / _WEEK,
            (self.now - self.first) / _WEEK,
            np.ones(len(self)),
        )

    def cells(self, step_days: float = 1.0) -> Cells:
        """(x, t_x, T) with times rounded to multiples of `step_days`, equal ones counted: what the fits read.

        With 7 they are the cells that `GROUP BY x, weekly t_x, weekly T` gives, a few thousand for any shop.
        """
        each, step = self.histories(), step_days / 7
        return Cells.grouped(each.repeats, np.rint(each.last / step) * step, np.rint(each.age / step) * step)


def _decay(at: Integers, now: int, half_life_days: int) -> Floats:
    """2^-((now - at)/half-life), with `at` on the grid of 1/4096 half-life of the stored weights."""
    steps = (at << 12) // (half_life_days * DAY)
    result: Floats = np.exp2(steps / 4096 - now / (half_life_days * DAY))
    return result
