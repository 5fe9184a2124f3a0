"""Whatever is sent, a parser reads it or refuses it in its own words, and soon."""

import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import app
from app.api.history import _STEP
from app.api.middleware import _TRACEPARENT
from app.api.paging import BigInt, Cursor
from app.api.references import parse_idempotency_key
from app.cli.delivery import retry_after_seconds
from app.domain import keys
from app.domain.feedback import links
from app.domain.identifiers import parse_body_reference, parse_reference
from app.domain.ids import parse_opaque_id
from app.domain.problems import Problem
from app.settings import _parse_secrets

NOW = datetime.fromisoformat("2026-11-22T12:00:00+00:00")
PARSERS: dict[str, tuple[Callable[[str], object], tuple[type[Exception], ...]]] = {
    "a reference in a path": (parse_reference, (Problem,)),
    "a reference in a body": (parse_body_reference, (Problem,)),
    "an Idempotency-Key": (parse_idempotency_key, (Problem,)),
    "a cursor of ids": (Cursor(UUID).decode, (Problem,)),
    "a cursor of numbers": (Cursor(BigInt).decode, (Problem,)),
    "an opaque id": (lambda text: parse_opaque_id("fb", text), ()),
    "a key": (keys.is_well_formed, ()),
    "a Retry-After": (lambda text: retry_after_seconds(text, NOW), ()),
    "secrets of links": (_parse_secrets, (ValueError,)),
    "a link": (
        lambda text: links.opened(text, purpose="answer", secrets={"k1": b"s" * 32}, now=NOW),
        (Problem,),
    ),
}
TEXTS = st.one_of(
    st.text(max_size=300),
    st.from_regex(r"[a-z_]{1,8}:[^ ]{0,40}"),
    st.from_regex(r'"[ -~]{0,30}"'),
    st.from_regex(r"[A-Za-z0-9_-]{0,90}"),
    st.from_regex(r"fb_[A-Za-z0-9_-]{40,46}"),
    st.from_regex(r"[a-z0-9]{1,4}\.[A-Za-z0-9_-]{51}\.[A-Za-z0-9_-]{22}"),
)


@pytest.mark.parametrize("name", PARSERS)
@given(text=TEXTS)
def test_a_parser_reads_or_refuses_in_its_own_words(name: str, text: str) -> None:
    parse, refusals = PARSERS[name]
    said = ""
    try:
        parse(text)
    except refusals as refused:
        said = str(refused)
    # What is refused is not repeated: it may be a secret, or name a person.
    assert len(text) < 4 or text not in said


# --- regular expressions --------------------------------------------------------------------------------------------

LENGTH = 20_000
SECONDS = 5.0
# Repeated, and closed by what fits nowhere: the classes that nested or neighbouring repeats are made of.
PIECES = (
    "a",
    "1",
    "-",
    "_",
    " ",
    ".",
    ":",
    "\\",
    '"',
    "a-",
    "a.",
    "1.",
    "a,1",
    "n't ",
    "not ",
    "\n",
    "\t ",
    "%s",
    "é",
)


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.startswith("app.fitting") and not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def patterns() -> dict[str, re.Pattern[Any]]:
    """Every pattern that a module of the service holds."""
    return {
        f"{module.__name__}.{name}": value
        for module in modules(app)
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    }


def test_there_are_patterns_to_try() -> None:
    assert {"app.domain.identifiers._VALUE", "app.api.bodies._LARGE_NUMBER"} <= patterns().keys()
    assert _STEP in patterns().values()
    assert _TRACEPARENT in patterns().values()


@pytest.mark.parametrize("name", sorted(patterns()))
def test_no_pattern_takes_long_over_long_text(name: str) -> None:
    pattern = patterns()[name]
    for piece in PIECES:
        text = piece * (LENGTH // len(piece)) + "\x00"
        subject = text.encode() if isinstance(pattern.pattern, bytes) else text
        begun = time.process_time()
        pattern.fullmatch(subject)
        pattern.search(subject)
        assert time.process_time() - begun < SECONDS, repr(piece)
