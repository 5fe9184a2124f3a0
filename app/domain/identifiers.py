"""How a caller names a customer: identifiers, and references made of them."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple
from uuid import UUID

from app.domain.problems import Conflict, Fault, Invalid

LONGEST_VALUE = 200
MOST_IDENTIFIERS = 20
"""In one reference. Enough for every system a shop runs, and a bound on what one call can make us look up."""

EXTERNAL_ID = "external_id"
EMAIL = "email"
PHONE = "phone"
_WELL_KNOWN = frozenset({EXTERNAL_ID, EMAIL, PHONE})

_TYPE = re.compile(r"[a-z][a-z0-9_]{0,31}")
# What a path segment can carry (no / ? #), what PostgreSQL can store (no NUL), what UTF-8 can say (no surrogates).
_VALUE = re.compile(r"[^/?#\u0000-\u001f\ud800-\udfff]{1,200}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UUID_LENGTH = 36

_REFERENCE_FORMS = "A customer is named by its UUID or as type:value, for example external_id:42."


class Identifier(NamedTuple):
    """A name that another system has for a customer. `value` is as sent; two are the same when type and `key` are."""

    type: str
    value: str
    key: str


@dataclass(frozen=True, slots=True)
class IdentifierRules:
    """What keeps one name from standing for many people: how many names a customer may go by, and which are nobody's.

    `blocked` are values as they are compared, of any type; a `*` stands for anything.
    """

    most: int = 100
    blocked: tuple[str, ...] = ()

    def check_not_blocked(self, identifiers: Iterable[Identifier]) -> None:
        """Raises Invalid `blocked_identifier` for a value that says nothing about who somebody is."""
        for each in identifiers:
            key = email_key(each.value)
            if any(fnmatchcase(key, pattern) for pattern in self.blocked):
                raise blocked_identifier()

    def check_room(self, held: int) -> None:
        """Raises Conflict `too_many_identifiers` when a customer would go by so many."""
        if held > self.most:
            raise too_many_identifiers(self.most)


UNRULED: Final = IdentifierRules()
"""For one who has no settings: nothing is blocked, and the usual number of names."""


def blocked_identifier() -> Invalid:
    """A placeholder, or an address that many share. The value is not repeated."""
    return Invalid(
        "blocked_identifier", "An identifier has a value that names nobody, such as unknown; leave it out."
    )


def too_many_identifiers(most: int) -> Conflict:
    """Whoever goes by so many names is no person, but a name that many persons share."""
    return Conflict("too_many_identifiers", f"A customer goes by {most} identifiers at most.", most=most)


class Reference(NamedTuple):
    """Who is meant: a customer by our own id, or whoever holds any of the identifiers.

    Both together mean this very customer, who goes by these identifiers too.
    """

    customer_id: UUID | None
    identifiers: tuple[Identifier, ...]


def is_value(text: str) -> bool:
    """Whether `text` can be an identifier's value or the id of a touchpoint or an order."""
    return _VALUE.fullmatch(text) is not None


def email_key(value: str) -> str:
    """What e-mail addresses are compared by: NFKC, case folded, and NFKC again because folding can undo it."""
    if value.isascii():
        return value.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())


def identifier(kind: str, value: object, pointer: str) -> Identifier:
    """The identifier of type `kind`. `pointer` says where in the request the value stands.

    Raises Invalid `invalid_identifier` or `invalid_phone`.
    """
    if kind not in _WELL_KNOWN and _TYPE.fullmatch(kind) is None:
        raise _invalid(
            "invalid_identifier",
            "An identifier's type is a-z, 0-9 and _, begins with a letter, at most 32.",
            pointer,
        )
    if not isinstance(value, str) or _VALUE.fullmatch(value) is None:
        raise _invalid(
            "invalid_identifier",
            "An identifier's value is a text of 1 to 200 characters without / ? # and control characters.",
            pointer,
        )
    if kind == EMAIL:
        key = email_key(value)
        # One character can become eighteen under NFKC, and an index entry has an end.
        if len(key) > LONGEST_VALUE:
            raise _invalid("invalid_identifier", "The e-mail address is too long once normalised.", pointer)
        return Identifier(kind, value, key)
    if kind == PHONE and _E164.fullmatch(value) is None:
        raise _invalid(
            "invalid_phone", "A phone number is E.164: + and 7 to 15 digits, like +4915112345678.", pointer
        )
    return Identifier(kind, value, value)


def parse_reference(text: str, pointer: str = "#/path/customer") -> Reference:
    """The reference in `text`: 8-4-4-4-12 hex is always a UUID, all else is `type:value`, split at the first colon.

    Raises Invalid `invalid_reference`, `invalid_identifier` or `invalid_phone`.
    """
    if len(text) == _UUID_LENGTH and _UUID.fullmatch(text) is not None:
        return Reference(UUID(text), ())
    kind, colon, value = text.partition(":")
    if not colon:
        raise _invalid("invalid_reference", _REFERENCE_FORMS, pointer)
    return Reference(None, (identifier(kind, value, pointer),))


def parse_body_reference(value: str | Mapping[str, str], pointer: str = "#/customer") -> Reference:
    """The reference in a body: a text as in a path, or an object of identifiers, type -> value.

    Raises Invalid as `parse_reference` does; faults of an object point at the member.
    """
    if isinstance(value, str):
        return parse_reference(value, pointer)
    if not value:
        raise _invalid("invalid_reference", "At least one identifier is needed.", pointer)
    if len(value) > MOST_IDENTIFIERS:
        raise _invalid(
            "invalid_reference", f"At most {MOST_IDENTIFIERS} identifiers name a customer.", pointer
        )
    return Reference(None, tuple([_member(kind, text, pointer) for kind, text in value.items()]))


def _member(kind: str, value: object, pointer: str) -> Identifier:
    try:
        return identifier(kind, value, pointer)
    except Invalid as problem:
        # Only now, when it is needed: the pointer of a malformed type would repeat the caller's input.
        if _TYPE.fullmatch(kind) is None:
            raise
        raise _invalid(problem.code, problem.detail, f"{pointer}/{kind}") from None


def _invalid(code: str, detail: str, pointer: str) -> Invalid:
    return Invalid(code, detail, errors=[Fault(pointer, code, detail)])
