"""The hash of an entry is that of its canonical JSON, whoever writes that JSON."""

from datetime import UTC, datetime
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from app.domain.canonical import canonical_json
from app.domain.loyalty.account import Entry, Movement
from app.domain.loyalty.chain import entry_hash

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


@given(entries)
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
