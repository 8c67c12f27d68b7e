"""Freed memory goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

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
def test_what_a_block_has_freed_goes_back_even_where_it_fails() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
