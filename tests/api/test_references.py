import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.references import parse_idempotency_key
from app.domain.problems import Invalid

PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


@given(st.text(PRINTABLE, min_size=1, max_size=255))
def test_a_quoted_key_is_what_stands_between_the_quotes(key: str) -> None:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_idempotency_key(f'"{escaped}"') == key


def test_bare_or_quoted_is_the_same_key() -> None:
    assert parse_idempotency_key("8e03978e-40d5") == parse_idempotency_key('"8e03978e-40d5"')


@given(st.text())
def test_any_header_is_a_key_or_invalid_and_nothing_else(sent: str) -> None:
    try:
        key = parse_idempotency_key(sent)
    except Invalid:
        return
    assert 1 <= len(key) <= 255


@pytest.mark.parametrize("sent", ["", '"', '""', '"a', 'a"', "a b", '"a\\b"', "a" * 256, "\u00e4", "a\n"])
def test_what_is_no_key_is_refused(sent: str) -> None:
    with pytest.raises(Invalid) as raised:
        parse_idempotency_key(sent)
    assert raised.value.code == "invalid_idempotency_key"
