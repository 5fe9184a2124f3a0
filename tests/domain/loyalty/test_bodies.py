"""A configuration that somebody wrote is read strictly: each sort of member, its limits, and the place of a fault."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from operator import methodcaller
from typing import Any

import pytest

from app.domain.loyalty.bodies import LONGEST_CODE, MOST_ITEMS, Body, instant_of
from app.domain.problems import Invalid

Reading = Callable[[Body], Any]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

number = methodcaller("number", "x", 7, least=2, most=9)
any_number = methodcaller("number", "x", 7)
perhaps = methodcaller("number_or_none", "x")
perhaps_between = methodcaller("number_or_none", "x", least=2, most=9)
flag = methodcaller("flag", "x", default=True)
choice = methodcaller("choice", "x", "red", ("red", "blue"))
code = methodcaller("code", "x")
words = methodcaller("words", "x")
instant = methodcaller("instant", "x")


def objects(body: Body) -> list[str]:
    return [one.code("y") for one in body.objects("x")]


def an_object(body: Body) -> int:
    return body.object("x").number("y", 3)


def many(count: int) -> list[str]:
    return [str(one) for one in range(count)]


@pytest.mark.parametrize(
    "reading, value, read",
    [
        (number, 2, 2),
        (number, 9, 9),
        (number, None, 7),
        (any_number, 0, 0),
        (any_number, 2**31 - 1, 2**31 - 1),
        (perhaps, 1, 1),
        (perhaps, 2**53 - 1, 2**53 - 1),
        (perhaps, None, None),
        (perhaps_between, 2, 2),
        (perhaps_between, 9, 9),
        (flag, False, False),
        (flag, None, True),
        (choice, "blue", "blue"),
        (choice, None, "red"),
        (code, "x", "x"),
        (code, "x" * LONGEST_CODE, "x" * LONGEST_CODE),
        (words, ["a"], frozenset("a")),
        (words, ("a", "b", "a"), frozenset("ab")),
        (words, many(MOST_ITEMS), frozenset(many(MOST_ITEMS))),
        (words, None, frozenset()),
        (instant, "2026-11-20T12:00:00Z", NOON),
        (instant, NOON, NOON),
        (instant, None, None),
        (objects, [], []),
        (objects, ({"y": "a"}, {"y": "b"}), ["a", "b"]),
        (objects, [{"y": one} for one in many(MOST_ITEMS)], many(MOST_ITEMS)),
        (objects, None, []),
        (an_object, {"y": 4}, 4),
        (an_object, None, 3),
    ],
)
def test_what_is_said_is_read_and_what_is_not_said_has_its_default(
    reading: Reading, value: object, read: object
) -> None:
    said = Body({"x": value})
    assert reading(said) == read
    said.finish()
    if value is None:
        assert reading(Body({})) == read


@pytest.mark.parametrize(
    "reading, value, fault, place",
    [
        (number, 1, "invalid_number", "#/a/x"),
        (number, 10, "invalid_number", "#/a/x"),
        (any_number, -1, "invalid_number", "#/a/x"),
        (any_number, 2**31, "invalid_number", "#/a/x"),
        (perhaps, 0, "invalid_number", "#/a/x"),
        (perhaps, 2**53, "invalid_number", "#/a/x"),
        (perhaps_between, 1, "invalid_number", "#/a/x"),
        (perhaps_between, 10, "invalid_number", "#/a/x"),
        (flag, 1, "invalid_type", "#/a/x"),
        (flag, "true", "invalid_type", "#/a/x"),
        (choice, "green", "unknown_value", "#/a/x"),
        (code, None, "property_required", "#/a/x"),
        (code, "", "invalid_text", "#/a/x"),
        (code, "x" * (LONGEST_CODE + 1), "invalid_text", "#/a/x"),
        (code, 5, "invalid_text", "#/a/x"),
        (words, "ab", "invalid_list", "#/a/x"),
        (words, [], "invalid_list", "#/a/x"),
        (words, many(MOST_ITEMS + 1), "invalid_list", "#/a/x"),
        (words, ["a", ""], "invalid_text", "#/a/x/1"),
        (instant, "tomorrow", "invalid_time", "#/a/x"),
        (instant, 1_763_640_000, "invalid_time", "#/a/x"),
        (instant, "2026-11-20T12:00:00", "naive_time", "#/a/x"),
        (instant, NOON.replace(tzinfo=None), "naive_time", "#/a/x"),
        (objects, {"y": "a"}, "invalid_list", "#/a/x"),
        (objects, 5, "invalid_list", "#/a/x"),
        (objects, [{"y": one} for one in many(MOST_ITEMS + 1)], "invalid_list", "#/a/x"),
        (objects, [{"y": "a"}, "b"], "invalid_type", "#/a/x/1"),
        (objects, [{"y": "a"}, {"y": ""}], "invalid_text", "#/a/x/1/y"),
        (an_object, [], "invalid_type", "#/a/x"),
        (an_object, {"y": -1}, "invalid_number", "#/a/x/y"),
    ],
)
def test_what_is_wrong_is_refused_with_its_code_and_its_place(
    reading: Reading, value: object, fault: str, place: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        reading(Body({"x": value}, "#/a"))
    (told,) = refusal.value.errors
    assert (told.code, told.pointer, bool(told.detail)) == (fault, place, True)


def test_only_an_object_is_a_configuration_and_only_members_that_a_rule_reads_may_be_in_it() -> None:
    for reading, fault, place in (
        (lambda: Body([1]), "invalid_type", "#"),
        (lambda: Body(None, "#/b"), "invalid_type", "#/b"),
        (lambda: Body({"x": 1, "colour": None}).finish(), "unknown_member", "#/x"),
    ):
        with pytest.raises(Invalid) as refusal:
            reading()
        assert [(one.code, one.pointer) for one in refusal.value.errors] == [(fault, place)]
    body = Body({"x": None, "y": 2})
    assert body.members == {"x", "y"}
    assert (body.has("x"), body.has("y"), body.has("z")) == (False, True, False)
    body.finish()


def test_a_time_is_kept_in_utc_whatever_its_offset_and_the_clock_of_the_machine() -> None:
    for said in ("2026-11-20T14:00:00+02:00", NOON.astimezone(timezone(timedelta(hours=-5)))):
        read = instant_of(said, "#/x")
        assert (read, read.tzinfo) == (NOON, UTC)
        # A zone of the machine that happens to be UTC would be equal, but not the same.
        assert read.tzinfo is UTC
