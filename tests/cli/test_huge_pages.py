"""Which memory is put together, and that the kernel here does it."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.huge_pages import HUGE, heap

_RELEASE = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
_HAS_COLLAPSE = (
    sys.platform == "linux" and _RELEASE >= (6, 1) and Path("/sys/kernel/mm/transparent_hugepage").exists()
)

MAPS = """\
{0:x}-{1:x} rw-p 00000000 00:00 0
{2:x}-{3:x} rw-p 00000000 00:00 0                          [heap]
{4:x}-{5:x} r-xp 00000000 00:00 0
{4:x}-{5:x} rw-s 00000000 00:01 1042                       /dev/zero (deleted)
{4:x}-{5:x} rw-p 00000000 08:01 7                          /usr/lib/libc.so.6
{4:x}-{5:x} rw-p 00000000 00:00 0                          [stack]
{6:x}-{7:x} rw-p 00000000 00:00 0
"""


def test_only_whole_huge_pages_of_private_memory_are_asked_for() -> None:
    begun, small = 8 * HUGE, 4096
    edges = (
        begun,
        begun + 2 * HUGE,
        20 * HUGE - small,
        22 * HUGE + small,
        30 * HUGE,
        40 * HUGE,
        50 * HUGE + small,
        51 * HUGE + small,
    )
    found = list(heap(MAPS.format(*edges).splitlines()))
    assert found == [8 * HUGE, 9 * HUGE, 20 * HUGE, 21 * HUGE]


_GROWN = """
from app.cli.huge_pages import collapse
kept = [bytes([n % 251]) * 500 for n in range(100_000)]
pages = collapse()
assert all(one == bytes([n % 251]) * 500 for n, one in enumerate(kept))
print(pages)
"""


def test_a_heap_is_put_together_and_says_what_it_said() -> None:
    if not _HAS_COLLAPSE:
        pytest.skip("no MADV_COLLAPSE here")  # it came with Linux 6.1, and needs a kernel with huge pages
    ran = subprocess.run([sys.executable, "-c", _GROWN], capture_output=True, text=True, check=True)
    # 50 MB and more of it lie in one piece.
    assert int(ran.stdout) >= 10
