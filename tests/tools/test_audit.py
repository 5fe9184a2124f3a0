import json
from pathlib import Path
from typing import Any

import pytest

from tools.audit import CLEAN, UNKNOWN, VULNERABLE, verdict

FINE: dict[str, Any] = {"name": "fine", "version": "1", "vulns": []}
FLAWED: dict[str, Any] = {
    "name": "flawed",
    "version": "2",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"], "aliases": [], "description": ""}],
}
SKIPPED: dict[str, Any] = {"name": "skipped", "skip_reason": "Dependency not found"}


def said(*dependencies: dict[str, Any]) -> tuple[int, str]:
    code, lines = verdict(json.dumps({"dependencies": dependencies, "fixes": []}))
    return code, "\n".join(lines)


def test_all_audited_and_nothing_known_is_clean() -> None:
    assert said(FINE) == (CLEAN, "1 packages audited, no known vulnerability.")


def test_a_known_flaw_is_named_with_the_release_that_mends_it() -> None:
    assert said(FINE, FLAWED) == (VULNERABLE, "flawed 2: PYSEC-1, fixed in 3")


def test_what_was_not_audited_is_never_called_clean() -> None:
    code, text = said(FINE, SKIPPED)
    assert code == UNKNOWN
    assert "1 of 2 packages were NOT audited (skipped)" in text


def test_a_flaw_weighs_more_than_what_is_not_known() -> None:
    assert said(FLAWED, SKIPPED)[0] == VULNERABLE


@pytest.mark.parametrize("document", ["", "ConnectionError: no route", "[]", "{}", '{"dependencies": []}'])
def test_no_answer_is_no_audit(document: str) -> None:
    code, lines = verdict(document)
    assert code == UNKNOWN
    assert "audited" in lines[0]


def test_what_ci_runs_needs_no_advisory_service() -> None:
    """`make check` must come out alike where nobody can be asked."""
    recipes = (Path(__file__).parents[2] / "Makefile").read_text()
    check = recipes.partition("\ncheck:")[2].partition("\n.PHONY")[0]
    assert "test" in check
    assert "audit" not in check
    assert "sbom" not in check
