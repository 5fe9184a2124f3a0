"""The command line. commands.py and key_, learning_ and loyalty_commands.py are its shape and import little, so that
`--help` answers at once; what a command does, and the libraries it needs for that, are in a module of its own, imported
when it runs.
"""

import sys

from app.cli import key_commands, learning_commands, loyalty_commands  # noqa: F401 - they hang their commands on the app
from app.cli.commands import app
from app.cli.failure import Failure


def main() -> None:
    """The console script `rapport`."""
    try:
        app(prog_name="rapport")
    except Failure as failure:
        sys.stderr.write(f"rapport: {failure}\n")
        sys.exit(failure.exit_code)
