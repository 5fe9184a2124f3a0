"""What may not be in the audit log is not there, whoever forgot to leave it out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import keys
from app.domain.audit import HIDDEN, MOST_BYTES, cleaned, without_telling

KEY = keys.new_key(publishable=False)


@pytest.mark.parametrize(
    "telling",
    [
        {"key": "x"},
        {"api_key": "x"},
        {"sha256": b"x"},
        {"client_secret": "x"},
        {"email": "x"},
        {"name": "Ada"},
        {"note": "called"},
        {"anything": KEY},
        {"anything": f"Bearer {KEY}"},
        {"anything": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"},
        {"anything": "write to ada@example.com"},
        {"anything": "+4915112345678"},
        {"a": [{"b": {"c": "ada@example.com"}}]},
        {"a": {"ada@example.com": 1}},
        {"traits": {"shoe": 38}},
    ],
)
def test_what_tells_a_secret_or_a_person_is_hidden(telling: dict[str, object]) -> None:
    text = cleaned(telling)
    assert text is not None
    assert HIDDEN in text
    for word in (KEY, "ada@example.com", "+49151", "eyJ", "Ada", "38"):
        assert word not in text


def test_a_target_hides_what_tells_a_person() -> None:
    assert without_telling("touchpoint:of-ada@example.com") == f"{HIDDEN}"
    assert without_telling("key:0193a5c2-0000-7000-8000-000000000000").startswith("key:0193")


def test_what_is_neither_stays() -> None:
    told = {
        "scopes": ["admin"],
        "expires_at": "2027-01-01T00:00:00+00:00",
        "rate_per_minute": 600,
        "until": None,
    }
    assert json.loads(cleaned(told) or "") == told
    assert cleaned(None) is None


def test_what_is_too_large_is_told_by_its_names() -> None:
    text = cleaned({"parameters": "x" * MOST_BYTES})
    assert json.loads(text or "") == {"truncated": True, "members": ["parameters"]}


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    )
)
def test_whatever_is_told_is_json_of_bounded_size(told: dict[str, object]) -> None:
    text = cleaned(told)
    assert text is not None
    assert isinstance(json.loads(text), dict)
    assert len(text.encode(errors="replace")) <= MOST_BYTES
