"""The account while one call writes it. It never leaves the package: callers give and get frozen accounts."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from app.domain.loyalty.account import (
    EFFECT,
    Account,
    Adjusted,
    Decision,
    Earn,
    Entry,
    Hold,
    Kind,
    Lock,
    Lot,
    Movement,
    Result,
    Spend,
    What,
    spending_order,
)
from app.domain.loyalty.chain import net, sealed

_COUNTER: Final[dict[What, tuple[str, int]]] = {
    "grant": ("granted", 1),
    "draw": ("drawn", 1),
    "restore": ("restored", 1),
    "revoke": ("revoked", 1),
    "expire": ("expired", 1),
    "absorb": ("absorbed", 1),
    "move": ("moved", 1),
    "move_back": ("moved", -1),
}
_EARNED: Final[frozenset[Kind]] = frozenset(("earn", "opening", "adjust"))
_RETURNED: Final[frozenset[Kind]] = frozenset(("restore", "reinstate"))


class Book:
    """A working copy of one account at one time, and the entries written into it.

    A clock that is behind the last entry counts as being there: entries are in order of time.
    """

    def __init__(self, account: Account, now: datetime) -> None:
        self._account = account
        self.at = max(now, account.last_at)
        self.lots = dict(account.lots)
        self.holds = dict(account.holds)
        self.spends = dict(account.spends)
        self.earns = dict(account.earns)
        self.adjustments = dict(account.adjustments)
        self.debt = account.debt
        self.entries: list[Entry] = []
        self._seq = account.seq
        self._head = account.head
        self._lifetime = (account.lifetime_earned, account.lifetime_burned, account.lifetime_expired)

    @property
    def next_seq(self) -> int:
        """The number of the next entry, and the id of the lot it makes."""
        return self._seq + 1

    def write(self, kind: Kind, movements: Iterable[Movement], **said: Any) -> Entry:
        """Append one entry and do to the lots what it says. `said` are further members of `Entry`."""
        moves = tuple(movements)
        entry = sealed(
            Entry(
                seq=self.next_seq,
                kind=kind,
                points=net(moves, said.get("debt_change", 0)),
                at=self.at,
                effective_at=said.pop("effective_at", self.at),
                movements=moves,
                previous=self._head,
                hash=b"",
                **said,
            )
        )
        for movement in entry.movements:
            self._apply(movement)
        self.debt += entry.debt_change
        self._lifetime = _sum(self._lifetime, lifetime(entry))
        self._seq, self._head = entry.seq, entry.hash
        self.entries.append(entry)
        return entry

    def credit(
        self,
        kind: Kind,
        points: int,
        activates_at: datetime,
        expires_at: datetime | None,
        *,
        earn_key: str | None = None,
        **said: Any,
    ) -> Entry:
        """An entry that makes a lot."""
        lot = Lot(self.next_seq, activates_at, expires_at, earn_key)
        self.lots[lot.id] = lot
        grant = Movement(lot.id, "grant", points)
        return self.write(kind, [grant], activates_at=activates_at, expires_at=expires_at, **said)

    def payers(self, at: datetime) -> list[Lot]:
        """Lots with free points that are active, in the order in which they pay."""
        return sorted(
            (lot for lot in self.lots.values() if lot.free > 0 and lot.is_active(at)), key=spending_order
        )

    def lock(self, locks: Iterable[Lock], sign: int) -> None:
        """Lock points of lots for a hold (1), or free them (-1)."""
        for lot, points in locks:
            self.lots[lot] = self.lots[lot]._replace(held=self.lots[lot].held + sign * points)

    def keep(self, thing: Hold | Spend | Earn | Adjusted) -> None:
        """Remember a hold, spend, earn or adjustment as it is now."""
        match thing:
            case Hold():
                self.holds[thing.id] = thing
            case Spend():
                self.spends[thing.id] = thing
            case Earn():
                self.earns[thing.key] = thing
            case Adjusted():
                self.adjustments[thing.id] = thing

    def closed(self, result: Result) -> Decision[Result]:
        """The account as it is now, frozen, with what was written."""
        earned, burned, expired = self._lifetime
        account = Account(
            id=self._account.id,
            seq=self._seq,
            head=self._head,
            last_at=self.at if self.entries else self._account.last_at,
            debt=self.debt,
            lifetime_earned=earned,
            lifetime_burned=burned,
            lifetime_expired=expired,
            lots=self.lots,
            holds=self.holds,
            spends=self.spends,
            earns=self.earns,
            adjustments=self.adjustments,
        )
        return Decision(account, tuple(self.entries), result)

    def _apply(self, movement: Movement) -> None:
        changed = moved(self.lots[movement.lot], movement)
        if movement.points <= 0 or changed.free < 0:
            # The rules above never ask for it. If one did, nothing of the call may stand.
            raise AssertionError(f"Lot {movement.lot} cannot {movement.what} {movement.points}.")
        self.lots[movement.lot] = changed


def moved(lot: Lot, movement: Movement) -> Lot:
    """The lot after one movement."""
    counter, sign = _COUNTER[movement.what]
    if movement.what == "grant" and not lot.granted:
        # What every earn does; `replace` costs as much as the rest of it.
        return Lot(lot.id, lot.activates_at, lot.expires_at, lot.earn_key, movement.points)
    return lot._replace(**{counter: getattr(lot, counter) + sign * movement.points})


def lifetime(entry: Entry) -> tuple[int, int, int]:
    """What an entry adds to the points (earned, burned, expired) of a lifetime."""
    if entry.kind in _EARNED and entry.points > 0:
        return entry.points, 0, 0
    if entry.kind == "spend" or entry.kind in _RETURNED:
        return 0, -entry.points, 0
    return (0, 0, -entry.points) if entry.kind == "expire" else (0, 0, 0)


def apply_entry(account: Account, entry: Entry) -> Account:
    """The account after an entry that was written before: how it is rebuilt."""
    lots = dict(account.lots)
    for movement in entry.movements:
        fresh = Lot(movement.lot, entry.activates_at or entry.at, entry.expires_at)
        lots[movement.lot] = moved(lots.get(movement.lot, fresh), movement)
    earned, burned, expired = lifetime(entry)
    return account._replace(
        seq=entry.seq,
        head=entry.hash,
        last_at=entry.at,
        debt=account.debt + entry.debt_change,
        lifetime_earned=account.lifetime_earned + earned,
        lifetime_burned=account.lifetime_burned + burned,
        lifetime_expired=account.lifetime_expired + expired,
        lots=lots,
    )


def taken_from(lots: Iterable[Lot], points: int) -> list[Lock]:
    """Up to `points` from the free points of `lots`, in their order."""
    parts = []
    for lot in lots:
        part = min(lot.free, points)
        if part > 0:
            parts.append(Lock(lot.id, part))
            points -= part
    return parts


def as_movements(parts: Iterable[Lock], what: What) -> list[Movement]:
    """The same parts as movements of one sort."""
    return [Movement(lot, what, points) for lot, points in parts]


def total(parts: Iterable[Lock] | Iterable[Movement]) -> int:
    """The points of all parts."""
    return sum(part.points for part in parts)


def _sum(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


assert set(_COUNTER) == set(EFFECT)  # noqa: S101 - a new sort of movement must say which counter it moves
