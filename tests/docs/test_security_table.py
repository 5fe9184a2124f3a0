"""The tests that docs/security.md names are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs/security.md"


def named() -> list[tuple[str, str]]:
    """File and test of every reference; `::test` goes on with the file before it."""
    found, file = [], ""
    for path, test in re.findall(r"`([a-z_/]*(?:\.py)?)::(test_\w+)`", PAGE.read_text()):
        file = path or file
        found.append((file, test))
    return found


def test_every_test_that_the_table_names_exists() -> None:
    references = named()
    assert len(references) > 50
    for file, test in references:
        assert re.search(rf"def {test}\(", (TESTS / file).read_text()), (file, test)


def test_every_row_of_the_table_names_a_test() -> None:
    rows = re.findall(r"^\| (?:API\d+|\d+\.\d+\.\d+).*$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) > 40
    assert [row for row in rows if "::test_" not in row] == []
