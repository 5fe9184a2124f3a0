"""No text makes one of our regular expressions try for long."""

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator

import pytest

import app

LENGTH = 10_000
# A text of this length takes a fraction of a millisecond; steps in the square of it took 0.25 s.
SECONDS = 0.12
# Searched for nowhere: it is asked for whole texts alone.
WHOLE = {"app.api.sign_in._TOKEN"}
RUNS = (
    "a",
    "A",
    "1",
    "0",
    " ",
    "-",
    "_",
    ".",
    "@",
    "/",
    "\\",
    '"',
    "'",
    "+",
    "é",
    "a ",
    "a.",
    "a@",
    "1.",
    "-a",
    "aA1",
)
# What it begins with, so that an expression gets to its repetitions.
BEGINNINGS = (
    "",
    "a",
    "1",
    '"',
    "/",
    "https://",
    "00-",
    "rap_sk_",
    "-----BEGIN",
    "eyJ",
    "W/",
    "a:",
    "+1",
    "@",
)


def patterns() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes]]]:
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if module.name.startswith(("app.fitting", "app.cli")):
            continue  # nobody sends them anything
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, re.Pattern):
                yield f"{module.name}.{name}", value


FOUND = dict(patterns())


def test_the_patterns_are_found() -> None:
    assert len(FOUND) > 20


@pytest.mark.parametrize("name", FOUND)
def test_a_long_text_is_read_in_no_time(name: str) -> None:
    pattern = FOUND[name]
    for run in RUNS:
        for beginning in BEGINNINGS:
            # The end is one that hardly any of them takes, so that all else was in vain.
            text = beginning + run * (LENGTH // len(run)) + "!\n"
            told = text.encode() if isinstance(pattern.pattern, bytes) else text
            began = time.process_time()
            if name not in WHOLE:
                pattern.search(told)  # type: ignore[arg-type]  # bytes for patterns of bytes
            pattern.fullmatch(told)  # type: ignore[arg-type]  # the same
            took = time.process_time() - began
            assert took < SECONDS, (beginning, run, took)
