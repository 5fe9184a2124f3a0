"""The one error tree. A rule raises the kind of problem it found; only the HTTP edge knows status codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One place in the caller's input that is wrong.

    `pointer` is an RFC 6901 JSON pointer into the body (or `#/query/limit`, `#/header/if-match`, `#/path/customer`);
    `code` is a stable snake_case word; `detail` never repeats the offending input.
    """

    pointer: str
    code: str
    detail: str


class Problem(Exception):
    """Something the caller must be told. `code` is a stable snake_case word, `detail` a sentence without their input.

    `members` are extra members of the problem document (RFC 9457 extension members), JSON values only.
    """

    def __init__(self, code: str, detail: str, *, errors: Sequence[Fault] = (), **members: Any) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.members = members


class Malformed(Problem):
    """The bytes are not what they claim to be: broken JSON, broken gzip, a number that no double can hold."""


class Unauthenticated(Problem):
    """No key, or one that does not hold."""


class Forbidden(Problem):
    """A good key that may not do this."""


class NotFound(Problem):
    """What was named does not exist, or not for this caller."""


class Conflict(Problem):
    """The request contradicts what is stored."""


class Gone(Problem):
    """What was named existed and is over for good: an expired link, an erased person."""


class Stale(Problem):
    """The caller decided on an older version of the resource (If-Match)."""


class TooLarge(Problem):
    """More bytes or items than a limit allows; the detail names the limit."""


class Unsupported(Problem):
    """A media type or content encoding that this route does not read."""


class Invalid(Problem):
    """Well-formed, and against a rule."""


class Limited(Problem):
    """Too many requests for this key; `retry_after_seconds` is a member."""


class Unavailable(Problem):
    """The service cannot do this now: database away, queue full, shutting down. `retry_after_seconds` is a member."""


def refused(pointer: str, code: str, rule: str) -> Invalid:
    """What is said of one member of a body that breaks a rule; `rule` goes on after the member's name."""
    return Invalid(code, f"{pointer.removeprefix('#/')}: {rule}.", errors=[Fault(pointer, code, rule)])
