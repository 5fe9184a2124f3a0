"""A CSV file of purchases as touchpoints: the same ids whatever the order of its rows, however often it is read.

Nothing here depends on where a row stands. Rows that are alike in all that is sent are told apart by counting them:
the first such row, the second, ... A file that has grown at its end, or was sorted otherwise, gives the old ids again.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from app.cli.csv_file import CsvFile, Unusable, cell
from app.domain import money

TRUE_WORDS = frozenset({"1", "1.0", "true", "t", "yes", "y", "x"})
FALSE_WORDS = frozenset({"", "0", "0.0", "false", "f", "no", "n"})
SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column says what. `order` names a purchase's own order, `refund_order` the order a refund takes back."""

    customer: str
    time: str
    amount: str
    order: str | None = None
    refund: str | None = None
    refund_order: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One row, read. `occurred_at` is in UTC; `rounded` says that the file had more digits than the currency."""

    customer: str
    kind: str
    occurred_at: datetime
    amount_minor: int
    currency: str
    order_id: str | None
    rounded: bool = False


def minor_units(text: str, currency: str) -> tuple[int, bool]:
    """`text` ("-27.5") as minor units (-2750), half even, and whether digits were lost. Raises Unusable."""
    step = Decimal(1).scaleb(-money.EXPONENTS[currency])
    try:
        amount = Decimal(text.strip())
        # quantize() is exact or rounds once; it refuses infinities and more digits than any money has.
        whole = amount.quantize(step, ROUND_HALF_EVEN)
    except InvalidOperation:
        raise Unusable("bad_amount", "the amount is not a decimal number like 12.34") from None
    if not whole.is_finite():
        raise Unusable("bad_amount", "the amount is not a decimal number like 12.34")
    return int(whole.scaleb(money.EXPONENTS[currency])), whole != amount


def moment(text: str, zone: tzinfo) -> datetime:
    """An ISO 8601 date (then midnight) or time as UTC; without an offset it is local to `zone`. Raises Unusable."""
    try:
        parsed = datetime.fromisoformat(text.strip())
        aware = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=zone)
        return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unusable(
            "bad_time", "the time is not ISO 8601, like 2026-11-20 or 2026-11-20T10:15:00Z"
        ) from None


def is_true(text: str) -> bool:
    """A flag as spreadsheets and databases write it. Raises Unusable for a word that could mean either."""
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise Unusable(
        "bad_refund_flag", "the refund flag is neither yes (1, true, yes, x) nor no (0, false, no, empty)"
    )


class PurchaseFile:
    """The file, its header checked against the columns that were named. Raises Failure where it cannot be read."""

    def __init__(self, path: Path, columns: Columns, currency: str, zone: tzinfo) -> None:
        self._currency = currency
        self._zone = zone
        self._file = CsvFile(path)
        self._customer, self._time, self._amount, self._order, self._refund, self._refund_order = (
            self._file.index(name)
            for name in (
                columns.customer,
                columns.time,
                columns.amount,
                columns.order,
                columns.refund,
                columns.refund_order,
            )
        )

    def rows(self) -> Iterator[Fact | Unusable]:
        """Each row of the file in its order, read or unusable; blank lines are none."""
        for _, row in self._file.rows():
            try:
                yield self._fact(row)
            except Unusable as unusable:
                yield unusable

    def _fact(self, row: Sequence[str]) -> Fact:
        self._file.check_width(row)
        customer = cell(row, self._customer)
        if not customer:
            raise Unusable("no_customer", "the row names no customer")
        amount, rounded = minor_units(cell(row, self._amount), self._currency)
        refund = amount < 0 or is_true(cell(row, self._refund))
        return Fact(
            customer=customer,
            kind="refund" if refund else "purchase",
            occurred_at=moment(cell(row, self._time), self._zone),
            amount_minor=abs(amount),
            currency=self._currency,
            # A cancellation's own number is no order: it would wait for its purchase for ever.
            order_id=cell(row, self._refund_order if refund else self._order) or None,
            rounded=rounded,
        )


def likeness(fact: Fact) -> bytes:
    """16 bytes that two rows share exactly when the same would be sent for them."""
    return _digest(*_identity(fact))


def touchpoint(fact: Fact, nth: int, identifier_type: str) -> dict[str, Any]:
    """The body to send for the `nth` (from 1) row that is like this one.

    The id covers all that is sent but the identifier's type: the same customer may be known by another one next time.
    """
    body: dict[str, Any] = {
        "id": f"replay-{_digest(*_identity(fact), nth).hex()}",
        "customer": {identifier_type: fact.customer},
        "kind": fact.kind,
        "occurred_at": _utc(fact.occurred_at),
        "amount_minor": fact.amount_minor,
        "currency": fact.currency,
    }
    if fact.order_id is not None:
        body["order_id"] = fact.order_id
    return body


def _identity(fact: Fact) -> tuple[str | int | None, ...]:
    return (
        fact.customer,
        _utc(fact.occurred_at),
        fact.kind,
        fact.amount_minor,
        fact.currency,
        fact.order_id,
    )


def _utc(occurred_at: datetime) -> str:
    return occurred_at.isoformat().replace("+00:00", "Z")


def _digest(*parts: str | int | None) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()[:16]


class Repeats:
    """Counts rows that are alike, without remembering those that are not.

    A first reading sets a bit for each row and a second bit where the first was set already; a second reading counts
    only rows whose second bit is set. So memory is 32 MB and the repeats (with 10 million rows and those one in
    fifteen that share a bit by chance), not the whole file.
    """

    def __init__(self, bits: int = 27) -> None:
        self._shift = 64 - bits
        self._seen = bytearray(1 << (bits - 3))
        self._again = bytearray(1 << (bits - 3))
        self._counts: Counter[bytes] = Counter()

    def note(self, likeness: bytes) -> None:
        """First reading."""
        byte, bit = self._place(likeness)
        if self._seen[byte] & bit:
            self._again[byte] |= bit
        self._seen[byte] |= bit

    def nth(self, likeness: bytes) -> int:
        """Second reading, each row once: the how-manieth of its like this is."""
        byte, bit = self._place(likeness)
        if not self._again[byte] & bit:
            return 1
        self._counts[likeness] += 1
        return self._counts[likeness]

    def _place(self, likeness: bytes) -> tuple[int, int]:
        number = int.from_bytes(likeness[:8]) >> self._shift
        return number >> 3, 1 << (number & 7)


@dataclass(slots=True)
class Survey:
    """What a first reading finds: the figures to compare with what the service stored."""

    rows: int = 0
    purchases: int = 0
    refunds: int = 0
    purchases_minor: int = 0
    refunds_minor: int = 0
    rounded: int = 0
    without_customer: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    # (row, code, detail) of the first unusable rows; the header is row 1, as in a spreadsheet.
    samples: list[tuple[int, str, str]] = field(default_factory=list)
    customers: set[str] = field(default_factory=set)
    repeats: Repeats = field(default_factory=Repeats)

    @property
    def usable(self) -> int:
        """Rows that become touchpoints."""
        return self.purchases + self.refunds

    def _count(self, fact: Fact) -> None:
        self.customers.add(fact.customer)
        self.rounded += fact.rounded
        self.repeats.note(likeness(fact))
        if fact.kind == "refund":
            self.refunds += 1
            self.refunds_minor += fact.amount_minor
        else:
            self.purchases += 1
            self.purchases_minor += fact.amount_minor

    def add(self, row: Fact | Unusable) -> None:
        """Count one row."""
        self.rows += 1
        if isinstance(row, Fact):
            self._count(row)
        elif row.code == "no_customer":
            self.without_customer += 1
        else:
            self.unusable[row.code] += 1
            if len(self.samples) < SAMPLES:
                self.samples.append((self.rows + 1, row.code, row.detail))


def survey(file: PurchaseFile) -> Survey:
    """Read the whole file once. Raises Failure, before anything was sent, where it cannot be read to its end."""
    found = Survey()
    for row in file.rows():
        found.add(row)
    return found


def touchpoints(
    facts: Iterator[Fact] | Sequence[Fact], repeats: Repeats, identifier_type: str
) -> Iterator[dict[str, Any]]:
    """The bodies to send for all facts of a file, in the order given; the set of them is the same in any order."""
    for fact in facts:
        yield touchpoint(fact, repeats.nth(likeness(fact)), identifier_type)
