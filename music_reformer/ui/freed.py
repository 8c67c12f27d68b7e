"""Memory that has been freed, given back to the system.

A composition frees hundreds of megabytes in small pieces, and each visitor is served by a thread of its own. The GNU C
library keeps what a thread has freed for that thread, so a server grows with every composition until it is told not to.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator


def give_back() -> None:
    """Give all that has been freed back to the system, some 25 ms; does nothing where the C library cannot."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


@contextlib.contextmanager
def giving_back() -> Iterator[None]:
    """Give back what the block has freed."""
    try:
        yield
    finally:
        give_back()
