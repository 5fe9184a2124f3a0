"""mutmut, many times faster: the tests are collected once, and each mutant runs them in a fork of that process.

    python -m tools.mutants run [NAMES]     # every other command is mutmut's own: results, show NAME

mutmut forks for each mutant too, but then starts pytest, collects again and writes a report of what failed, which
takes longer than most tests here. What is mutated, which tests touch which function, time limits and verdicts stay
mutmut's. The tests that touch a function run from the shortest to the longest and end with the first that fails.

`MUTANTS_LONGEST_TEST=5` leaves out the tests that take longer than so many seconds: a survivor may then be one that
only they would kill.
"""

import gc
import os
from collections.abc import Iterable

import pytest
from _pytest.config import _prepareconfig
from mutmut.__main__ import cli
from mutmut.mutation import trampoline
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.utils.file_utils import change_cwd
from mutmut.workers import isolation

KILLED, SURVIVED = 1, 0
LONGEST_TEST = float(os.environ.get("MUTANTS_LONGEST_TEST", "inf"))


class Collected(PytestRunner):
    """Runs mutants against tests that were collected before the fork."""

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[str, pytest.Item] = {}

    def collect(self) -> None:
        """Collect in this process. The session stays open: its forks end with their mutant."""
        chosen = ["--rootdir=.", "-q", "-s", *self._pytest_add_cli_args_test_selection]
        with change_cwd("mutants"):
            config = _prepareconfig(chosen + self._pytest_add_cli_args)
            config._do_configure()  # noqa: SLF001 - pytest.main would also run the tests and close the session
            session = pytest.Session.from_config(config)
            config.hook.pytest_sessionstart(session=session)
            config.hook.pytest_collection(session=session)
        self._items = {item.nodeid: item for item in session.items}

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """KILLED or SURVIVED. Without a mutant it is mutmut's run of the tests as they are."""
        if mutant_name is None:
            return int(super().run_tests(mutant_name=None, tests=tests))
        # Asked at every call of every function, and the environment is slow to answer.
        trampoline.get_mutant_under_test = lambda: mutant_name
        gc.disable()
        took = state().duration_by_test
        chosen = [self._items[test] for test in tests if took[test] <= LONGEST_TEST]
        with change_cwd("mutants"):
            return KILLED if any(map(_fails, chosen, [*chosen[1:], None])) else SURVIVED


def _fails(item: pytest.Item, after: pytest.Item | None) -> bool:
    try:
        item.ihook.pytest_runtest_setup(item=item)
        item.ihook.pytest_runtest_call(item=item)
        item.ihook.pytest_runtest_teardown(item=item, nextitem=after)
    except pytest.skip.Exception:
        return False
    except BaseException:  # noqa: BLE001 - whatever ends a test kills the mutant
        return True
    return False


class Forks(isolation.ForkRunner):
    """mutmut's own runner, which collects when the mutants begin: what tells of coverage must be over by then."""

    def startup(self) -> None:
        """Collect, then freeze what the forks inherit."""
        if isinstance(self.test_runner, Collected):
            self.test_runner.collect()
        super().startup()


if __name__ == "__main__":
    # Few random examples, always the same, and no search for a smaller one: only whether a test fails is asked.
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    isolation.PytestRunner = Collected
    isolation.ForkRunner = Forks
    cli()
