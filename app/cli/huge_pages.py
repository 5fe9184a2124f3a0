"""A heap of huge pages: fewer look-ups of addresses for code that jumps about in its memory, as an interpreter does.

On a virtual machine each look-up that the processor does not remember is two walks of tables, and a process that has
slept remembers none (docs/performance.md). The kernel puts a heap together by itself only where it is told to be eager
for every process (`transparent_hugepage=always`), so this process asks for its own: MADV_COLLAPSE of Linux 6.1 and
later. Elsewhere nothing happens.
"""

import ctypes
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

HUGE: Final = 2 * 1024 * 1024
_COLLAPSE: Final = 25
"""MADV_COLLAPSE, of linux/mman.h; Python's mmap module does not know it."""
_MAPS: Final = Path("/proc/self/maps")
FIRST_SECONDS: Final = 3.0
"""When a process has started and filled its memories."""
PAUSE_SECONDS: Final = 60.0
"""For what came since."""


def heap(maps: Iterable[str]) -> Iterator[int]:
    """The addresses of the huge pages that lie wholly in private memory, of the lines of /proc/self/maps."""
    for line in maps:
        span, mode, _, _, inode, *name = line.split(maxsplit=5)
        if not mode.startswith("rw-p") or inode != "0" or (name and name[0].strip() != "[heap]"):
            continue
        first, end = (int(address, 16) for address in span.split("-"))
        yield from range(-(-first // HUGE) * HUGE, end // HUGE * HUGE, HUGE)


def collapse() -> int:
    """Put the heap of this process together; the number of huge pages that it has then, 0 where that cannot be."""
    if sys.platform != "linux":
        return 0
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    # A page that cannot be had now, or is not wholly there, stays as it is.
    return sum(
        advise(address, HUGE, _COLLAPSE) == 0 for address in heap(_MAPS.read_text("ascii").splitlines())
    )


def keep_collapsing() -> None:
    """Do so in a thread of its own from a moment after the start on; ends where there is nothing to be had."""
    threading.Thread(target=_keep, name="huge-pages", daemon=True).start()


def _keep() -> None:
    time.sleep(FIRST_SECONDS)
    pages = collapse()
    log.info("heap_in_huge_pages", pages=pages)
    while pages:
        time.sleep(PAUSE_SECONDS)
        pages = collapse()
