"""Reading a configuration that somebody wrote: strictly, and with the place of what is wrong."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from app.domain.loyalty.points import whole
from app.domain.problems import refused

Value = TypeVar("Value")
LONGEST_CODE = 64
MOST_ITEMS = 200


class Body:
    """One JSON object under a pointer. Members that nobody asked for are refused by `finish`."""

    def __init__(self, body: object, pointer: str = "#") -> None:
        if not isinstance(body, Mapping):
            raise refused(pointer, "invalid_type", "must be an object")
        self._body: Mapping[str, Any] = body
        self._pointer = pointer
        self._asked: set[str] = set()

    def pointer(self, name: str) -> str:
        """Where a member stands."""
        return f"{self._pointer}/{name}"

    @property
    def members(self) -> frozenset[str]:
        """The names that are there, also of those that are null."""
        return frozenset(self._body)

    def has(self, name: str) -> bool:
        """Whether a member says something."""
        self._asked.add(name)
        return self._body.get(name) is not None

    def read(self, name: str, default: Value, parse: Callable[[Any, str], Value]) -> Value:
        """A member through `parse(value, pointer)`, or the default where it is missing or null."""
        return parse(self._body[name], self.pointer(name)) if self.has(name) else default

    def number(self, name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
        """A whole number."""
        return self.read(name, default, lambda value, at: whole(value, at, least=least, most=most))

    def number_or_none(self, name: str, *, least: int = 1, most: int = 2**53 - 1) -> int | None:
        """A whole number, None where it is missing."""
        return self.number(name, 0, least=least, most=most) if self.has(name) else None

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        return self.read(name, default, _flag)

    def choice(self, name: str, default: Value, allowed: Sequence[Value]) -> Value:
        """One of a few words."""

        def parse(value: object, pointer: str) -> Value:
            for one in allowed:
                if one == value:
                    return one
            raise refused(pointer, "unknown_value", f"must be one of {', '.join(map(str, allowed))}")

        return self.read(name, default, parse)

    def code(self, name: str) -> str:
        """A word that is needed, of 1 to 64 characters."""
        if not self.has(name):
            raise refused(self.pointer(name), "property_required", "is needed")
        return text_of(self._body[name], self.pointer(name))

    def words(self, name: str) -> frozenset[str]:
        """A list of words, empty where it is missing."""
        return self.read(name, frozenset(), _words)

    def instant(self, name: str) -> datetime | None:
        """An aware time in UTC, None where it is missing."""
        return self.read(name, None, instant_of)

    def objects(self, name: str) -> list["Body"]:
        """A list of objects, each with its own pointer."""
        return self.read(name, [], _objects)

    def object(self, name: str) -> "Body":
        """An object, an empty one where it is missing."""
        return Body(self._body[name] if self.has(name) else {}, self.pointer(name))

    def finish(self) -> None:
        """Raises Invalid `unknown_member` for a member that no rule knows."""
        for name in self._body:
            if name not in self._asked:
                raise refused(self.pointer(name), "unknown_member", "is not known")


def text_of(value: object, pointer: str) -> str:
    """A text of 1 to 64 characters. Raises Invalid `invalid_text`."""
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_CODE:
        raise refused(pointer, "invalid_text", f"must be a text of 1 to {LONGEST_CODE} characters")
    return value


def instant_of(value: object, pointer: str) -> datetime:
    """An aware time in UTC, from a datetime or RFC 3339. Raises Invalid `invalid_time`, `naive_time`."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        at = None
    if not isinstance(at, datetime):
        raise refused(pointer, "invalid_time", "must be a time, for example 2026-11-20T10:15:00Z")
    if at.tzinfo is None:
        raise refused(pointer, "naive_time", "needs an offset from UTC")
    return at.astimezone(UTC)


def _flag(value: object, pointer: str) -> bool:
    if not isinstance(value, bool):
        raise refused(pointer, "invalid_type", "must be true or false")
    return value


def _words(value: object, pointer: str) -> frozenset[str]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_ITEMS:
        raise refused(pointer, "invalid_list", f"must be a list of 1 to {MOST_ITEMS} texts")
    return frozenset(text_of(one, f"{pointer}/{number}") for number, one in enumerate(value))


def _objects(value: object, pointer: str) -> list[Body]:
    if not isinstance(value, list | tuple) or len(value) > MOST_ITEMS:
        raise refused(pointer, "invalid_list", f"must be a list of at most {MOST_ITEMS} objects")
    return [Body(one, f"{pointer}/{number}") for number, one in enumerate(value)]
