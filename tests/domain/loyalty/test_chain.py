"""The hash of an entry is that of its canonical JSON, whoever writes that JSON; and what a broken chain shows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.canonical import canonical_json
from app.domain.loyalty.account import Entry, Movement, opened
from app.domain.loyalty.chain import Fault, Finding, entry_hash, sealed, verify
from tests.domain.loyalty.ledgers import Ledger, day

times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds of a strategy have no zone
numbers = st.integers(-(2**40), 2**40)
movements = st.builds(
    Movement, st.integers(1, 99), st.sampled_from(["grant", "draw", "move_back"]), st.integers(1, 2**31)
)
entries = st.builds(
    Entry,
    seq=st.integers(1, 10**6),
    kind=st.sampled_from(["earn", "tier_move"]),
    points=numbers,
    at=times,
    effective_at=times,
    movements=st.lists(movements, max_size=3).map(tuple),
    previous=st.binary(min_size=32, max_size=32),
    hash=st.just(b""),
    key=st.text(max_size=5),
    debt_change=numbers,
    forgiven=numbers,
    qualifying=numbers,
    qualified_at=st.none() | times,
    activates_at=st.none() | times,
    expires_at=st.none() | times,
    tier=st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
)

LATER = datetime(2026, 5, 1, 9, tzinfo=UTC)
QUALIFIED_LATER = Entry(
    2, "earn", 5, LATER, day(0), (Movement(2, "grant", 5),), b"p" * 32, b"", qualified_at=LATER
)


@given(entries)
@example(QUALIFIED_LATER)
@example(QUALIFIED_LATER._replace(qualified_at=None))
@example(QUALIFIED_LATER._replace(movements=(Movement(2, "grant", 5), Movement(1, "draw", 2))))
def test_the_hash_is_that_of_the_canonical_json(entry: Entry) -> None:
    spoken = [
        entry.at.isoformat(),
        entry.effective_at.isoformat(),
        [list(movement) for movement in entry.movements],
    ]
    later = [at and at.isoformat() for at in (entry.qualified_at, entry.activates_at, entry.expires_at)]
    numbers_ = [entry.debt_change, entry.forgiven, entry.qualifying]
    said = [entry.seq, entry.kind, entry.points, *spoken, *numbers_, *later, entry.tier]
    assert entry_hash(entry) == sha256(entry.previous + canonical_json(said)).digest()


def written() -> Ledger:
    """Two earns and a spend of both: numbers 1, 2 and 3, whose points are 10, 5 and -12."""
    made = Ledger()
    made.earn(10)
    made.at(1).earn(5, "o2")
    made.at(2).spend(12)
    return made


def told_with(number: int, **said: Any) -> list[Entry]:
    """The same entries with one of them saying something else, and every hash written again behind it."""
    head, told = opened(UUID(int=1)).head, []
    for entry in written().entries:
        changed = entry._replace(**said) if entry.seq == number else entry
        told.append(sealed(changed._replace(previous=head)))
        head = told[-1].hash
    return told


def in_place(number: int, **said: Any) -> list[Entry]:
    """The same entries with one of them changed where it stands, and nothing written again."""
    return [entry._replace(**said) if entry.seq == number else entry for entry in written().entries]


SPENT_TWICE = (Movement(1, "draw", 10), Movement(2, "draw", 6))
FROM_NOTHING = (Movement(1, "restore", 1),)


@pytest.mark.parametrize(
    "entries, found",
    [
        (written().entries, []),
        (written().entries[1:], [(2, "gap"), (2, "broken_chain"), (3, "overdrawn_lot")]),
        (
            [*written().entries[:1], *written().entries[2:]],
            [(3, "gap"), (3, "broken_chain"), (3, "overdrawn_lot")],
        ),
        (in_place(2, effective_at=day(0)), [(2, "wrong_hash")]),
        (in_place(2, hash=b"x" * 32), [(2, "wrong_hash"), (3, "broken_chain")]),
        (told_with(2, points=6), [(2, "wrong_points")]),
        (told_with(2, at=day(-1)), [(2, "time_went_back")]),
        (told_with(2, at=day(0)), []),
        (told_with(3, points=-16, movements=SPENT_TWICE), [(3, "overdrawn_lot")]),
        (told_with(2, points=5, movements=(), debt_change=-5), [(2, "overdrawn_lot"), (3, "overdrawn_lot")]),
        (told_with(3, points=1, movements=FROM_NOTHING), [(3, "created_from_nothing")]),
        (told_with(3, points=0, movements=()), []),
    ],
)
def test_a_ledger_that_was_tampered_with_says_where_and_how(
    entries: Sequence[Entry], found: list[tuple[int, Fault]]
) -> None:
    assert verify(UUID(int=1), entries) == [Finding(*one) for one in found]


@pytest.mark.parametrize(
    "said", [{"seq": 4}, {"head": b"x" * 32}, {"debt": 1}, {"lots": {}}, {"lots": written().account.lots}]
)
def test_a_cached_row_that_is_not_the_sum_of_its_entries_is_wrong_from_no_entry_on(
    said: dict[str, Any],
) -> None:
    made = written()
    cached = made.account._replace(**said)
    found = [] if said == {"lots": made.account.lots} else [Finding(0, "wrong_cache")]
    assert verify(made.account.id, made.entries, cached) == found


def test_an_account_without_entries_is_whole_and_a_chain_is_that_of_its_own_account() -> None:
    assert verify(UUID(int=1), [], opened(UUID(int=1))) == []
    assert verify(UUID(int=2), written().entries) == [Finding(1, "broken_chain")]
