"""Tasks for workers in tests; in a module of their own, because workers import their tasks."""

from __future__ import annotations

import os
import signal
import time
from typing import Any


def by_name(source: str) -> dict[str, Any]:
    """Die, hang or request too much memory, according to the file's name."""
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
