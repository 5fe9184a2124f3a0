"""When two bodies say the same: the SHA-256 of their canonical JSON."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from app.domain.problems import Invalid, Malformed

_encode = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode

# A JSON number without exponent leaves the range of a double at 309 digits.
_LONG_NUMBER = re.compile(r"\d{309}")

_CONTAINERS: Final = (dict, list)


def canonical_json(value: Any) -> bytes:
    """`value` as JSON in UTF-8 with sorted members and no spaces: equal values give equal bytes.

    What no store or client could hold is found on the way, so this is also where it is refused: Invalid `invalid_text`
    (NUL, lone surrogates; keys included), Malformed `number_out_of_range` (NaN, Infinity, beyond a double).
    """
    try:
        text = _encode(value)
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise Invalid("invalid_text", "Text may not hold lone surrogates.") from error
    except (ValueError, RecursionError) as error:
        raise Malformed("number_out_of_range", "A number is not finite or too large for a double.") from error
    if "\\u0000" in text and _holds_nul(value):
        raise Invalid("invalid_text", "Text may not hold NUL.")
    if len(text) > 309 and _LONG_NUMBER.search(text) and _holds_long_number(value):  # noqa: PLR2004 - as in the pattern
        raise Malformed("number_out_of_range", "A number is not finite or too large for a double.")
    return encoded


def body_sha256(body: Mapping[str, Any], without: frozenset[str]) -> tuple[bytes, int]:
    """(digest, bytes of canonical JSON) of the members of a body that say something, without those that name it."""
    canonical = canonical_json({name: value for name, value in body.items() if name not in without})
    return hashlib.sha256(canonical).digest(), len(canonical)


def is_deeper(value: Any, limit: int) -> bool:
    """Whether the objects and arrays of a JSON value nest more than `limit` deep; `{"a": []}` is 2 deep.

    Walks level by level, because it must survive any depth; a flat object costs one look at each member.
    """
    level = [value] if isinstance(value, _CONTAINERS) else []
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, _CONTAINERS)
        ]
        if not level:
            return False
    return bool(level)


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _holds_nul(member) for key, member in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))


def _holds_long_number(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) >= 1 << 1024
    if isinstance(value, dict):
        return any(map(_holds_long_number, value.values()))
    return isinstance(value, list) and any(map(_holds_long_number, value))
