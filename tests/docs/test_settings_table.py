"""Tables that repeat the code: settings (README.md), made from their class, and scopes (docs/security.md).

After a change of the settings, `python -m tests.docs.test_settings_table` in the repository's folder writes theirs.
"""

import re
from pathlib import Path

from app.domain.keys import PRESETS
from app.settings import Settings

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- settings: written by python -m tests.docs.test_settings_table -->"
END = "<!-- end of settings -->"
# Variables of the project that are no settings: what clients and compose.yml read.
OTHERS = {"RAPPORT_URL", "RAPPORT_KEY", "RAPPORT_APP_PASSWORD"}


def settings_table() -> str:
    """A Markdown row for each setting, in the order of the class."""
    rows = [
        f"| `RAPPORT_{name.upper()}` | {_default(field.default)} | {field.description}{_bounds(field.metadata)} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | what it is |", "|---|---|---|", *rows])


def _default(value: object) -> str:
    if value in (None, ""):
        return "-"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _bounds(metadata: list[object]) -> str:
    """What pydantic checks, in words: its constraints carry their number under the name of the comparison."""
    words = {"ge": "at least", "gt": "more than", "le": "at most"}
    said = [
        f"{word} {getattr(constraint, name)}"
        for constraint in metadata
        for name, word in words.items()
        if hasattr(constraint, name)
    ]
    return f" ({', '.join(said)})" if said else ""


def test_the_table_in_the_readme_is_that_of_the_settings() -> None:
    found = README.read_text().partition(BEGIN)[2].partition(END)[0]
    assert found.strip() == settings_table(), "python -m tests.docs.test_settings_table writes it anew"


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_documents_name_no_variable_that_does_not_exist() -> None:
    known = {f"RAPPORT_{name.upper()}" for name in Settings.model_fields} | OTHERS
    for page in (README, *README.parent.glob("docs/*.md")):
        assert set(re.findall(r"RAPPORT_[A-Z][A-Z_]*", page.read_text())) <= known, page.name


def test_the_scopes_that_are_documented_are_those_of_the_presets() -> None:
    rows = re.findall(r"^\| (.*) \|$", (README.parent / "docs/security.md").read_text(), re.MULTILINE)
    table = [row.split(" | ") for row in rows]
    _, _, *presets = next(row for row in table if row[0] == "scope")
    said = {row[0].strip("`"): row[2:] for row in table if row[0].strip("`") in PRESETS["admin"]}
    assert set(presets) == set(PRESETS)
    assert len(said) >= 6
    for scope, cells in said.items():
        given = {preset for preset, cell in zip(presets, cells, strict=True) if cell != "-"}
        assert given == {preset for preset, scopes in PRESETS.items() if scope in scopes}, scope


def rewrite() -> None:
    """Put the table of the class between the markers of README.md."""
    before, begin, rest = README.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    if not begin or not after:
        raise ValueError("README.md lacks the markers of the settings table")
    README.write_text(f"{before}{BEGIN}\n{settings_table()}\n{END}{after}")


if __name__ == "__main__":
    rewrite()
