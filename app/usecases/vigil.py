"""Staying awake for an answer that comes at once.

A process that sleeps for the 200 microseconds of a statement pays for it: the machine has to wake it, and by then its
processor has forgotten the code. For one lone caller that costs more than the work (docs/performance.md). So while a
single item is under way the event loop goes on turning, within a bound; under load somebody always has something to do.
"""

import asyncio
import os
import time
from types import TracebackType
from typing import Final

SEVERAL_PROCESSORS: Final = (os.cpu_count() or 1) > 1
"""On the only one, whoever stays awake takes it from the database."""


class Vigil:
    """`with vigil:` keeps the loop turning until the block ends, for at most `seconds`; 0: not at all."""

    __slots__ = ("_seconds", "_turning", "_until")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds if SEVERAL_PROCESSORS else 0.0
        self._until = 0.0
        self._turning = False

    def __enter__(self) -> None:
        """Begin; needs a running loop."""
        if not self._seconds:
            return
        self._until = time.perf_counter() + self._seconds
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it sleep again."""
        self._until = 0.0

    def _turn(self) -> None:
        # A loop that has something to call only looks whether anything came, and does not wait for it.
        if time.perf_counter() < self._until:
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._turning = False
