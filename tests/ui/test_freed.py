"""Freed memory goes back to the system, and so do pages of libraries that are not used any more."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from music_reformer.ui.freed import unwritten

# Many small pieces, and one after them that stays: the C library keeps what is freed before it.
PROGRAM = """
import ctypes, re
from music_reformer.ui.freed import giving_back

def megabytes():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1000

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before = megabytes()
try:
    with giving_back():
        pieces = [libc.malloc(100_000) for _ in range(2000)]
        for piece in pieces:
            ctypes.memset(piece, 1, 100_000)
        kept = pieces.pop()
        for piece in pieces:
            libc.free(piece)
        assert megabytes() > before + 150
        raise KeyError
except KeyError:
    assert megabytes() < before + 50, (before, megabytes())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs the GNU C library"
)
def test_memory_is_released_even_if_the_block_fails() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


LIBRARIES = """
import re, symusic, numpy as np
from music_reformer.ui.freed import give_back_libraries

def megabytes_of_files():
    return int(re.search(r"RssFile:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1000

before = np.linalg.inv(np.eye(50) + 1)
used = megabytes_of_files()
give_back_libraries()
assert megabytes_of_files() < used / 2, (used, megabytes_of_files())
assert (np.linalg.inv(np.eye(50) + 1) == before).all()
symusic.Score(24).dumps_midi()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_pages_of_libraries_go_back_and_return_when_they_are_used() -> None:
    done = subprocess.run([sys.executable, "-c", LIBRARIES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_only_unwritten_file_mappings_are_given_back() -> None:
    """Code and constants, but neither what was relocated (read-only, and written to) nor memory without a file."""

    def mapping(begin: str, rights: str, file: str, written: int) -> str:
        inode = "0" if not file.startswith("/") else "1234"
        head = f"{begin}000-{begin}fff {rights} 00000000 08:01 {inode}    {file}\n"
        return f"{head}Size:   4 kB\nAnonymous:    {written} kB\nVmFlags: rd ex mr mw me\n"

    smaps = "".join(
        [
            mapping("aaa1", "r-xp", "/usr/lib/a library.so", 0),
            mapping("aaa2", "r--p", "/usr/lib/a library.so", 0),
            mapping("aaa3", "r--p", "/usr/lib/a library.so", 4),
            mapping("aaa4", "rw-p", "/usr/lib/a library.so", 0),
            mapping("aaa5", "r--s", "/usr/lib/shared", 0),
            mapping("aaa6", "r-xp", "", 0),
            mapping("aaa7", "r-xp", "[vdso]", 0),
        ]
    )
    assert unwritten(smaps) == [(0xAAA1000, 0xAAA1FFF), (0xAAA2000, 0xAAA2FFF)]
