import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.customers import (
    DEEPEST_TRAITS,
    MOST_TRAITS_BYTES,
    Profile,
    changed,
    merge_patch,
    stage,
)
from app.domain.problems import Invalid

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@pytest.mark.parametrize(
    "purchases, band, expected",
    [
        (0, "unknown", "prospect"),
        (0, "lost", "prospect"),
        (1, "healthy", "first_purchase"),
        (2, "cooling", "repeat"),
        (1, "lost", "lapsed"),
        (9, "lost", "lapsed"),
    ],
)
def test_the_stage_follows_from_purchases_and_band(purchases: int, band: str, expected: str) -> None:
    assert stage(purchases, band) == expected


# RFC 7396, appendix A, those whose patch is an object.
@pytest.mark.parametrize(
    "target, patch, expected",
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7396_hold(target: Any, patch: dict[str, Any], expected: Any) -> None:
    assert merge_patch(target, patch) == expected


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_said_twice_is_said_once(target: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@given(OBJECTS)
def test_an_empty_patch_changes_nothing(target: dict[str, Any]) -> None:
    assert merge_patch(target, {}) == target


def test_absent_members_stay_and_null_removes() -> None:
    before = Profile(name="Ada", owner="support", tags=("vip",), traits={"size": 42, "colour": "red"})
    after = changed(before, {"name": "Ada L.", "owner": None, "traits": {"colour": None}})
    assert after == Profile(name="Ada L.", owner=None, tags=("vip",), traits={"size": 42})


def test_null_empties_tags_and_traits() -> None:
    assert changed(Profile(tags=("a",), traits={"b": 1}), {"tags": None, "traits": None}) == Profile(
        traits={}
    )


def test_tags_are_kept_once_in_the_order_given() -> None:
    assert changed(Profile(), {"tags": ["b", "a", "b"]}).tags == ("b", "a")


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "europe/berlin", ""])
def test_a_timezone_that_iana_does_not_know_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as raised:
        changed(Profile(), {"timezone": name})
    assert raised.value.code == "unknown_timezone"


def test_a_timezone_is_an_iana_name() -> None:
    assert changed(Profile(), {"timezone": "Europe/Berlin"}).timezone == "Europe/Berlin"


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_traits_may_be_as_deep_as_the_limit_and_no_deeper() -> None:
    assert changed(Profile(), {"traits": nested(DEEPEST_TRAITS)}).traits == nested(DEEPEST_TRAITS)
    for depth in (DEEPEST_TRAITS + 1, 100_000):
        with pytest.raises(Invalid) as raised:
            changed(Profile(), {"traits": nested(depth)})
        assert raised.value.code == "traits_too_deep"


def test_traits_are_measured_after_merging() -> None:
    half = {"a": "x" * (MOST_TRAITS_BYTES // 2)}
    before = changed(Profile(), {"traits": half})
    with pytest.raises(Invalid) as raised:
        changed(before, {"traits": {"b": half["a"]}})
    assert raised.value.code == "traits_too_large"
    assert len(json.dumps(changed(before, {"traits": {"a": "y"}}).traits)) < 100
