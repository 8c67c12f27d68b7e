"""Returns memory that is no longer needed to the system (Linux).

A composition frees hundreds of megabytes in small pieces, and each visitor is served by a thread of its own. The GNU C
library keeps what a thread has freed for that thread, so without this a server grows with every composition. A server
that has started also keeps the pages of its libraries that only the start has used: a hundred megabytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Where the description of a mapping begins, and that of a file's private, read-only mapping.
MAPPING = re.compile(r"^(?=[0-9a-f]+-[0-9a-f]+ )", re.MULTILINE)
FILE_MAPPING = re.compile(r"(?P<begin>[0-9a-f]+)-(?P<end>[0-9a-f]+) r-[x-]p [0-9a-f]+ \S+ [1-9]\d* +/")


def give_back() -> None:
    """Return freed memory to the system, in some 25 ms; does nothing if the C library does not support it."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def give_back_libraries() -> None:
    """Return the pages of mapped files that this process has not written to, in some 30 ms.

    They stay in the system's file cache, from which a page that is needed again returns in microseconds.
    """
    if sys.platform == "linux":
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for begin, end in unwritten(Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")):
            advise(begin, end - begin, mmap.MADV_DONTNEED)


def unwritten(smaps: str) -> list[tuple[int, int]]:
    """Address ranges of private, read-only file mappings without written pages.

    Args:
        smaps: content of `/proc/PID/smaps` (proc(5)).
    """
    found = []
    for block in MAPPING.split(smaps)[1:]:
        mapped = FILE_MAPPING.match(block)
        if mapped and re.search(r"^Anonymous: +0 kB$", block, re.MULTILINE):
            found.append((int(mapped["begin"], 16), int(mapped["end"], 16)))
    return found


@contextlib.contextmanager
def giving_back() -> Iterator[None]:
    """Call `give_back` after the block."""
    try:
        yield
    finally:
        give_back()
