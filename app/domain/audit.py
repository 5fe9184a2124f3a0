"""What the audit log may hold: who did what to whom, before and after, and neither a secret nor a person.

A row outlives an erasure, so nothing that names somebody may get in: customers are targets by their UUID, and a value
that looks like a secret or like a person is hidden, whoever forgot to leave it out.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

HIDDEN: Final = "[hidden]"
MOST_BYTES: Final = 8192
LONGEST_NAME: Final = 200
_DEEPEST: Final = 8

_SECRET_NAME = re.compile(
    r"(^|_)(key|secret|secrets|token|password|passphrase|pepper|sha256|hash|authorization|cookie)(_|$)",
    re.ASCII,
)
_PERSONAL_NAME = re.compile(
    r"^(name|e?_?mail|phone|address|birthday|traits|identifiers|text|note|comment|value)$"
)
# An address is looked for from the beginning of its word: from each letter of it a long word would take its square.
_TELLING = re.compile(
    r"rap_[sp]k_[0-9A-Za-z]{8}|eyJ[\w-]{8,}\.|-----BEGIN|(?<![^\s@])[^\s@]+@[^\s@]+\.[a-z]{2,}|\+[1-9][0-9]{6,14}(?![0-9:])",
    re.IGNORECASE,
)


def is_telling(text: str) -> bool:
    """Whether a text looks as if it held a key, a token, an e-mail address or a phone number."""
    return _TELLING.search(text) is not None


def without_telling(text: str) -> str:
    """A target with what looks telling in it hidden."""
    return _TELLING.sub(HIDDEN, text)


def cleaned(members: Mapping[str, Any] | None) -> str | None:
    """`members` as JSON for the log: what may not be there replaced by HIDDEN, at most MOST_BYTES of it.

    What is too large becomes `{"truncated": true, "members": [...]}` with the names alone.
    """
    if members is None:
        return None
    clean = {str(name): _clean(str(name), value, _DEEPEST) for name, value in members.items()}
    text = json.dumps(clean, ensure_ascii=False, separators=(",", ":"), default=str)
    if len(text.encode()) <= MOST_BYTES:
        return text
    names = [name[:LONGEST_NAME] for name in sorted(clean)[:20]]
    return json.dumps({"truncated": True, "members": names}, ensure_ascii=False)


def _clean(name: str, value: object, depth: int) -> object:
    if value is not None and (_SECRET_NAME.search(name) or _PERSONAL_NAME.search(name)):
        return HIDDEN
    if isinstance(value, str):
        return HIDDEN if is_telling(value) else value
    if isinstance(value, bytes) or (depth == 0 and isinstance(value, Mapping | Sequence | set | frozenset)):
        return HIDDEN
    if isinstance(value, Mapping):
        return {
            HIDDEN if is_telling(str(inner)) else str(inner): _clean(str(inner), each, depth - 1)
            for inner, each in value.items()
        }
    if isinstance(value, Sequence | set | frozenset):
        return [_clean(name, each, depth - 1) for each in value]
    return value
