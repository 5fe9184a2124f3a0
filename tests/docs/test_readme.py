"""README.md does what it says: its walk-through is executed, its other commands exist, its links lead somewhere."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli.commands import app
from app.domain import keys

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
START_SECONDS = 60
BASH, CURL = shutil.which("bash"), shutil.which("curl")

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WALK = re.compile(r"<!-- walk-through.*?-->\n(.*?)<!-- end of walk-through -->", re.DOTALL)
# What a newcomer has, beside what the project brings. `docker`: never run here.
PROGRAMS = {
    "cd",
    "createdb",
    "curl",
    "docker",
    "export",
    "pg_basebackup",
    "pg_dump",
    "pg_restore",
    "psql",
    "python",
}
PIPS = {"--no-index", "--require-hashes"}
"""Options that the text names of another command than ours."""
ANYTHING = "..."


@dataclass(frozen=True)
class Step:
    """A command of the walk-through, and the answer that stands below it."""

    command: str
    language: str
    answer: str


# --- the walk-through ----------------------------------------------------------------------------------------------


def steps() -> list[Step]:
    found = WALK.search(README)
    assert found, "README.md has no marked walk-through"
    fences = FENCE.findall(found[1])
    commands, answers = fences[::2], fences[1::2]
    assert [language for language, _ in commands] == ["bash"] * len(answers), "command, answer, command, ..."
    return [Step(command, *answer) for (_, command), answer in zip(commands, answers, strict=True)]


@pytest.fixture
def environment(database_url: str, owner_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the walk-through's reader has exported by then, and a service that answers there."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
    key = keys.new_key(publishable=False)
    settings = {
        "RAPPORT_DATABASE_URL": database_url,
        "RAPPORT_MIGRATION_URL": owner_url,
        "RAPPORT_ADMIN_KEY": key,
        "PYTHONPATH": str(ROOT),
    }
    command = (sys.executable, "-m", "app.cli", "serve", "--port", "0")
    with (tmp_path / "serve.log").open("w") as log:
        process = subprocess.Popen(
            command, env=inherited | settings, cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, text=True
        )
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        printed = process.stdout.readline()
        address = re.fullmatch(r"Rapport: (\S+)/docs\n", printed)
        assert address, f"serve printed {printed!r}; {(tmp_path / 'serve.log').read_text()}"
        # curl's own configuration, and a proxy of the machine, are none of the reader's.
        yield inherited | {
            "RAPPORT_URL": address[1],
            "RAPPORT_KEY": key,
            "CURL_HOME": str(tmp_path),
            "no_proxy": "*",
        }
    finally:
        timer.cancel()
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=30) == 0


@pytest.mark.skipif(  # the README's commands are written in bash and call curl
    BASH is None or CURL is None, reason="needs bash and curl"
)
def test_the_walk_through_answers_as_the_readme_says(environment: dict[str, str], tmp_path: Path) -> None:
    walked = steps()
    assert len(walked) >= 7
    for step in walked:
        done = subprocess.run(
            [str(BASH), "-euo", "pipefail", "-c", step.command],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"{step.command}{done.stderr}"
        given, said = done.stdout.replace("\r\n", "\n"), step.answer
        if step.language == "http":  # curl -i: a status line, headers (not shown), a body
            (given_head, _, given), (said_head, _, said) = given.partition("\n\n"), said.partition("\n\n")
            assert given_head.splitlines()[0] == said_head, step.command
        if step.language == "markdown":
            assert_text(given, said, step.command)
        else:
            assert_shown(json.loads(given), json.loads(said), f"{step.command}in ")


def assert_shown(given: Any, said: Any, where: str) -> None:
    """Everything that the README shows of an answer is there; what it leaves out is not looked at."""
    if isinstance(said, dict):
        assert isinstance(given, dict), where
        for name, value in said.items():
            assert name in given, f"{where}/{name}: there is no such member"
            assert_shown(given[name], value, f"{where}/{name}")
    elif isinstance(said, list):
        assert isinstance(given, list), where
        rest = iter(given)
        for value in said:
            assert any(is_shown(candidate, value) for candidate in rest), f"{where}: {value} of {given}"
    elif isinstance(said, float):
        digits = len(str(said).partition(".")[2])
        assert round(given, digits) == said, where
    elif isinstance(said, str):
        assert_text(given, said, where)
    else:
        assert given == said, where


def is_shown(given: Any, said: Any) -> bool:
    try:
        assert_shown(given, said, "")
    except AssertionError:
        return False
    return True


def assert_text(given: str, said: str, where: str) -> None:
    """`...` stands for whatever differs from run to run, or is left out."""
    pattern = ".*".join(re.escape(part) for part in said.strip().split(ANYTHING))
    assert re.fullmatch(pattern, given.strip(), re.DOTALL), f"{where}: {given!r}"


# --- every other command --------------------------------------------------------------------------------------------


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words of each command in fences of a page (the walk-through's are run), and of those inside the text."""
    text = WALK.sub("", page.read_text())
    for language, block in FENCE.findall(text):
        if language == "bash":
            for line in block.replace("\\\n", " ").splitlines():
                if words := shlex.split(line, comments=True):
                    yield words
    for inline in re.findall(r"(?<!`)`((?:make|rapport|\.venv/bin/rapport) [^`]+)`", FENCE.sub("", text)):
        yield shlex.split(inline)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def check_rapport(words: list[str]) -> None:
    """Each word up to the first option is a command, and each option is one that `--help` shows there."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while rest and hasattr(command, "commands"):
        if rest[0].startswith("-"):
            break
        assert rest[0] in command.commands, f"rapport {' '.join(words)}"
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    for word in rest:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"rapport {' '.join(words)}: {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_documents_exists(page: Path) -> None:
    for words in command_lines(page):
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        program, arguments = Path(words[0]).name, words[1:]
        if program == "make":
            named = [word for word in arguments if not re.match(r"[A-Z_]+=", word)]
            assert set(named) <= targets(), words
        elif program == "rapport":
            check_rapport(arguments)
        else:
            assert program in PROGRAMS, words
        # One inside another: export RAPPORT_ADMIN_KEY=$(.venv/bin/rapport keys new)
        for inner in re.findall(r"\$\(\S*rapport ([^)]*)\)", " ".join(arguments)):
            check_rapport(shlex.split(inner))


def test_every_option_that_the_text_names_belongs_to_a_command() -> None:
    commands: list[Any] = [typer.main.get_command(app)]
    for command in commands:
        commands.extend(getattr(command, "commands", {}).values())
    known = {option for command in commands for parameter in command.params for option in parameter.opts} | {
        "--help"
    }
    for page in PAGES:
        named = set(re.findall(r"`(--[a-z-]+)", FENCE.sub("", page.read_text())))
        assert named <= known | PIPS, f"{page.name}: {named - known - PIPS}"


def test_the_readme_shows_both_commands_that_start_everything() -> None:
    shown = [" ".join(words[:2]) for words in command_lines(ROOT / "README.md")]
    assert {"make run", "make test"} <= set(shown)


# --- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name}: {target}"
