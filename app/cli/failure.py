"""What ends a command early and is no bug."""

PARTIAL = 1
"""Exit code: done, but not all of it (something was rejected, or somebody stopped it)."""

USAGE = 2
"""Exit code: wrong use, or an environment in which the command cannot work."""


class Failure(Exception):
    """One line for whoever typed the command: what is wrong and, where it is known, what to do."""

    def __init__(self, message: str, *, exit_code: int = USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
