"""What workers do in tests of workers; a module of its own, because a worker imports what it is told to do."""

from __future__ import annotations

import os
import signal
import time
from typing import Any


def by_name(source: str) -> dict[str, Any]:
    """Die, hang or ask for too much memory, as the file's name says."""
    if source == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if source == "hang":
        time.sleep(60)
    if source == "starve":
        bytearray(2**36)
    return {"done": source}


def worker_id(source: str) -> dict[str, Any]:
    """The id of the process."""
    return {"process": os.getpid()}
