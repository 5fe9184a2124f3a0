import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.canonical import body_sha256, canonical_json, is_deeper
from app.domain.problems import Invalid, Malformed

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_canonical_json_says_the_same_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(TEXT, VALUES, max_size=5), st.randoms())
def test_the_order_of_members_does_not_matter(body: dict[str, object], random: "st.random") -> None:  # type: ignore[name-defined]  # hypothesis hides the class
    shuffled = list(body.items())
    random.shuffle(shuffled)
    assert canonical_json(dict(shuffled)) == canonical_json(body)


def test_a_body_is_what_it_says_not_what_it_is_called() -> None:
    first = {"id": "1", "customer": "external_id:1", "kind": "visit"}
    second = {"kind": "visit", "customer": {"external_id": "1"}, "id": "2"}
    names = frozenset(("id", "customer"))
    assert body_sha256(first, names) == body_sha256(second, names)
    assert body_sha256(first | {"channel": None}, names) != body_sha256(first, names)


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "\udfff!", "\udc00\ud800"])
def test_text_that_cannot_be_stored_is_refused_wherever_it_stands(text: str) -> None:
    for value in (text, [text], {"a": [text]}, {text: 1}, {"a": {text: 1}}):
        with pytest.raises(Invalid) as caught:
            canonical_json(value)
        assert caught.value.code == "invalid_text"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), 10**309, -(10**400)])
def test_numbers_beyond_a_double_are_refused_wherever_they_stand(number: float) -> None:
    for value in (number, [number], {"a": {"b": number}}):
        with pytest.raises(Malformed) as caught:
            canonical_json(value)
        assert caught.value.code == "number_out_of_range"


def test_text_that_only_looks_bad_is_kept() -> None:
    for text in ("\\u0000", "1" * 400, "NaN", "\U0001f600", "\ufffd"):
        assert json.loads(canonical_json({text: text})) == {text: text}


def test_depth_counts_objects_and_arrays_alike() -> None:
    assert not is_deeper({"a": 1, "b": "text"}, 1)
    assert not is_deeper({}, 1)
    inners: list[object] = [{}, [], {"c": 1}]
    for inner in inners:
        assert is_deeper({"a": 1, "b": inner}, 1)
        assert not is_deeper({"a": 1, "b": inner}, 2)
    assert not is_deeper([[1, 2], [{"a": None}]], 3)
    assert is_deeper([[1, 2], [{"a": None}]], 2)
    assert not is_deeper("text", 0)


def test_no_depth_is_too_much_to_be_measured() -> None:
    value: object = None
    for _ in range(200_000):
        value = [value]
    assert is_deeper(value, 199_999)
    assert not is_deeper(value, 200_000)
    while isinstance(value, list):  # level by level: the interpreter would free it in one recursion
        value = value[0]
