import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from app.domain.identifiers import identifier
from app.domain.tombstones import UNGUARDED, Guard

EMAIL = identifier("email", "Ada@Example.com", "#")
NEW, OLD = b"n" * 32, b"o" * 32


def test_a_tombstone_is_a_keyed_hash_of_what_the_identifier_is_compared_by() -> None:
    expected = hmac.digest(NEW, b"rapport tombstone\0email\0ada@example.com", hashlib.sha256)
    assert Guard({"k2": NEW}).tombstone(EMAIL) == expected
    assert Guard({"k2": NEW}).tombstone(identifier("email", "ada@example.com", "#")) == expected


def test_the_first_key_writes_and_all_are_read() -> None:
    both = Guard({"k2": NEW, "k1": OLD})
    assert both.tombstones(EMAIL) == [both.tombstone(EMAIL), Guard({"k1": OLD}).tombstone(EMAIL)]


def test_without_a_key_nothing_is_hashed() -> None:
    assert (UNGUARDED.tombstone(EMAIL), UNGUARDED.tombstones(EMAIL)) == (None, [])


names = st.from_regex("[a-z][a-z0-9_]{0,31}", fullmatch=True)
values = st.text(
    st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="/?#"), min_size=1, max_size=20
)


@given(names, values, names, values)
def test_two_identifiers_have_two_tombstones(kind: str, value: str, other: str, another: str) -> None:
    known = {"email", "phone"}
    if known & {kind, other}:
        return
    guard = Guard({"k": NEW})
    first, second = identifier(kind, value, "#"), identifier(other, another, "#")
    assert (guard.tombstone(first) == guard.tombstone(second)) == ((kind, value) == (other, another))
