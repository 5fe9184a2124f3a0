"""What the ledger consists of. Entries, lots and movements are the truth; everything else can be rebuilt from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

Kind = Literal[
    "earn",
    "opening",
    "adjust",
    "spend",
    "restore",
    "reinstate",
    "clawback",
    "expire",
    "absorb",
    "transfer_in",
    "transfer_out",
    "tier_move",
]
What = Literal["grant", "draw", "restore", "revoke", "expire", "absorb", "move", "move_back"]
Clawback = Literal["only_pending", "within_balance", "unlimited"]
HoldState = Literal["open", "captured", "released", "expired", "moved"]

EFFECT: Final[Mapping[What, int]] = {
    "grant": 1,
    "draw": -1,
    "restore": 1,
    "revoke": -1,
    "expire": -1,
    "absorb": -1,
    "move": -1,
    "move_back": 1,
}
"""Whether a movement puts points into a lot or takes them out."""

CREATING: Final[frozenset[Kind]] = frozenset(
    ("earn", "opening", "adjust", "restore", "reinstate", "transfer_in", "transfer_out")
)
"""The only kinds of entry whose points may be positive; a transfer out when it is a debt that leaves."""

BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
NEVER: Final = datetime.max.replace(tzinfo=UTC)
Result = TypeVar("Result")


class Movement(NamedTuple):
    """Points (> 0) into or out of one lot."""

    lot: int
    what: What
    points: int


class Lot(NamedTuple):
    """One credit. Its id is the number of the entry that made it; its points live in [activates_at, expires_at).

    `held` is locked by open holds. The other counters only grow (but for `moved`), and `remaining` follows from them.
    """

    id: int
    activates_at: datetime
    expires_at: datetime | None
    earn_key: str | None = None
    granted: int = 0
    drawn: int = 0
    restored: int = 0
    revoked: int = 0
    expired: int = 0
    absorbed: int = 0
    moved: int = 0
    held: int = 0

    @property
    def remaining(self) -> int:
        """Points still in the lot, held ones included."""
        gone = self.drawn + self.revoked + self.expired + self.absorbed + self.moved
        return self.granted + self.restored - gone

    @property
    def free(self) -> int:
        """Points that no hold has locked."""
        return self.remaining - self.held

    def is_active(self, at: datetime) -> bool:
        """Whether its points can be spent at `at`."""
        return self.activates_at <= at and not self.is_lapsed(at)

    def is_lapsed(self, at: datetime) -> bool:
        """Whether its time has run out, swept or not."""
        return self.expires_at is not None and self.expires_at <= at


def spending_order(lot: Lot) -> tuple[datetime, datetime, int]:
    """Earliest expiry first, never-expiring last; then the older activation, then the older lot."""
    return lot.expires_at or NEVER, lot.activates_at, lot.id


class Entry(NamedTuple):
    """One line of the ledger, never changed. `points` is what it adds to sum(remaining) - debt.

    `at` is when it was written (never before the entry before it), `effective_at` when what it tells of took place.
    `qualifying` counts towards the tier in the window that holds `qualified_at`. `forgiven`: owed by a refund and let
    go. `key` is the natural key, which may hold an id of the shop's: it is not part of the hash.
    """

    seq: int
    kind: Kind
    points: int
    at: datetime
    effective_at: datetime
    movements: tuple[Movement, ...]
    previous: bytes
    hash: bytes
    key: str = ""
    debt_change: int = 0
    forgiven: int = 0
    qualifying: int = 0
    qualified_at: datetime | None = None
    activates_at: datetime | None = None
    expires_at: datetime | None = None
    tier: str | None = None


class Lock(NamedTuple):
    """Points of one lot that a hold keeps."""

    lot: int
    points: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Points put aside for one purchase until `expires_at`. Resolved once; its id is never used again.

    `away`: from when until when, again and again, a merge had it in another account.
    """

    id: str
    points: int
    locks: tuple[Lock, ...]
    opened_at: datetime
    expires_at: datetime
    state: HoldState = "open"
    captured: int = 0
    resolved_at: datetime | None = None
    order_id: str | None = None
    reward: str | None = None
    terms: tuple[object, ...] = ()
    away: tuple[tuple[datetime, datetime], ...] = ()


class Draw(NamedTuple):
    """What one lot paid for a spend, and how much of it a refund has given back, to the lot or in its place."""

    lot: int
    points: int
    restored: int = 0


class Refunded(NamedTuple):
    """What became of one refund of a spend: points = restored + lapsed + reinstated."""

    id: str
    points: int
    restored: int
    lapsed: int
    reinstated: int
    reinstated_until: datetime | None


@dataclass(frozen=True, slots=True)
class Spend:
    """Points spent, by lot. Its id is that of the hold it was captured from."""

    id: str
    points: int
    at: datetime
    draws: tuple[Draw, ...]
    order_id: str | None = None
    reward: str | None = None
    refunds: Mapping[str, Refunded] = field(default_factory=dict)

    @property
    def refundable(self) -> int:
        """Points that no refund has given back."""
        return self.points - sum(draw.restored for draw in self.draws)


class Clawed(NamedTuple):
    """What one refund of an order took: due = taken + forgiven + indebted. `asked` None: all that was left."""

    id: str
    asked: int | None
    amount_minor: int
    due: int
    taken: int
    forgiven: int
    indebted: int


@dataclass(frozen=True, slots=True)
class Earn:
    """What was recorded as earned for one natural key, and what refunds have taken of it.

    clawed + forgiven + indebted = floor(points x refunded_minor / paid_minor), and = points once all is refunded.
    `lapsed`: the forgiven part that had expired unspent; `recoverable`: the part to take when its points come back.
    """

    key: str
    points: int
    paid_minor: int
    occurred_at: datetime
    lots: tuple[int, ...] = ()
    qualifying: int = 0
    refunded_minor: int = 0
    clawed: int = 0
    forgiven: int = 0
    indebted: int = 0
    lapsed: int = 0
    recoverable: int = 0
    disqualified: int = 0
    clawbacks: Mapping[str, Clawed] = field(default_factory=dict)

    @property
    def settled(self) -> int:
        """Points that refunds have claimed so far, however they were paid."""
        return self.clawed + self.forgiven + self.indebted

    @property
    def is_taken_back(self) -> bool:
        """Whether refunds have claimed all of it; of what earned nothing too, once it was taken back."""
        is_whole = self.settled == self.points and self.refunded_minor >= self.paid_minor
        return is_whole and bool(self.clawbacks)


class Adjusted(NamedTuple):
    """An adjustment or an opening balance as booked: `debt` is the part that no points were there for."""

    id: str
    points: int
    debt: int
    entry: int
    terms: tuple[object, ...]


class Account(NamedTuple):
    """What is known of one account under its lock.

    `lots` must hold every lot with points left, and those that the spends and earns at hand name; `holds` every open
    hold; spends, earns and adjustments those that the call names, and earns with something recoverable. Then every
    decision is that of the whole ledger.
    `next_due_at` of `settling` says when the account has clock work.
    """

    id: UUID
    seq: int = 0
    head: bytes = b""
    last_at: datetime = BEGINNING
    debt: int = 0
    lifetime_earned: int = 0
    lifetime_burned: int = 0
    lifetime_expired: int = 0
    lots: Mapping[int, Lot] = MappingProxyType({})
    holds: Mapping[str, Hold] = MappingProxyType({})
    spends: Mapping[str, Spend] = MappingProxyType({})
    earns: Mapping[str, Earn] = MappingProxyType({})
    adjustments: Mapping[str, Adjusted] = MappingProxyType({})


def opened(account_id: UUID) -> Account:
    """An account without entries. Its chain starts from its own id, so that chains cannot be exchanged."""
    return Account(account_id, head=sha256(account_id.bytes).digest())


class Decision(NamedTuple, Generic[Result]):
    """The account after a call, the entries to append, and what the caller is told. No entries: nothing changed."""

    account: Account
    entries: tuple[Entry, ...]
    result: Result
