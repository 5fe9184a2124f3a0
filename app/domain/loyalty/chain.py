"""The hash chain of an account: an entry that was changed, left out or slipped in shows."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, NamedTuple
from uuid import UUID

from app.domain.canonical import canonical_json
from app.domain.loyalty.account import CREATING, EFFECT, Account, Entry, Movement, opened

Fault = Literal[
    "gap",
    "broken_chain",
    "wrong_hash",
    "wrong_points",
    "time_went_back",
    "created_from_nothing",
    "overdrawn_lot",
    "wrong_cache",
]


_HASH: Final = Entry._fields.index("hash")
_NULL: Final = "null"


class Finding(NamedTuple):
    """What does not hold, and from which entry on (0: the cached row)."""

    seq: int
    fault: Fault


def _text(at: datetime | None) -> str:
    return f'"{at.isoformat()}"' if at else _NULL


def entry_hash(entry: Entry) -> bytes:
    """SHA-256 of the hash before and of everything an entry says but its natural key, which may be about a person.

    What it says is one array of canonical JSON. By hand: nothing but a tier's code can need escaping.
    """
    (
        seq,
        kind,
        points,
        at,
        effective_at,
        moves,
        previous,
        _,
        _,
        debt_change,
        forgiven,
        qualifying,
        qualified_at,
        activates_at,
        expires_at,
        tier,
    ) = entry
    movements = ",".join([f'[{lot},"{what}",{moved}]' for lot, what, moved in moves])
    effective = effective_at.isoformat()
    qualified = f'"{effective}"' if qualified_at is effective_at else _text(qualified_at)
    said = (
        f'[{seq},"{kind}",{points},"{at.isoformat()}","{effective}",[{movements}],{debt_change},{forgiven},'
        f"{qualifying},{qualified},{_text(activates_at)},{_text(expires_at)},"
        f"{_NULL if tier is None else canonical_json(tier).decode()}]"
    )
    return sha256(previous + said.encode()).digest()


def sealed(entry: Entry) -> Entry:
    """The entry with its hash."""
    return Entry._make((*entry[:_HASH], entry_hash(entry), *entry[_HASH + 1 :]))


def net(movements: Sequence[Movement], debt_change: int) -> int:
    """What the movements and the debt of an entry add up to; its `points`, if it is whole."""
    return sum(EFFECT[movement.what] * movement.points for movement in movements) - debt_change


def verify(account_id: UUID, entries: Sequence[Entry], cached: Account | None = None) -> list[Finding]:
    """What is wrong with the entries of one account, given all of them in order, and with its cached row; [] is good.

    Needs no other table: the sums of an account can be checked from its entries and their movements alone.
    """
    found = list(_chain_findings(account_id, entries))
    remaining: dict[int, int] = {}
    debt = 0
    for entry in entries:
        for lot, what, points in entry.movements:
            remaining[lot] = remaining.get(lot, 0) + EFFECT[what] * points
        debt += entry.debt_change
        if debt < 0 or any(remaining[movement.lot] < 0 for movement in entry.movements):
            found.append(Finding(entry.seq, "overdrawn_lot"))
    if cached is not None and not _agrees(cached, entries, remaining, debt):
        found.append(Finding(0, "wrong_cache"))
    return found


def _chain_findings(account_id: UUID, entries: Iterable[Entry]) -> Iterable[Finding]:
    previous, number, last = opened(account_id).head, 0, None
    for entry in entries:
        number += 1
        if entry.seq != number:
            yield Finding(entry.seq, "gap")
            number = entry.seq
        if entry.previous != previous:
            yield Finding(entry.seq, "broken_chain")
        if entry.hash != entry_hash(entry):
            yield Finding(entry.seq, "wrong_hash")
        if entry.points != net(entry.movements, entry.debt_change):
            yield Finding(entry.seq, "wrong_points")
        if last is not None and entry.at < last:
            yield Finding(entry.seq, "time_went_back")
        if entry.points > 0 and entry.kind not in CREATING:
            yield Finding(entry.seq, "created_from_nothing")
        previous, last = entry.hash, entry.at


def _agrees(cached: Account, entries: Sequence[Entry], remaining: dict[int, int], debt: int) -> bool:
    left = {lot: points for lot, points in remaining.items() if points}
    said = {lot.id: lot.remaining for lot in cached.lots.values() if lot.remaining}
    head = entries[-1].hash if entries else opened(cached.id).head
    return (cached.seq, cached.head, cached.debt, said) == (len(entries), head, debt, left)
