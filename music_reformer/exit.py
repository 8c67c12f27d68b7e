"""Ends a process quickly and safely."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from typing import NoReturn

PATIENCE = 0.5  # seconds to wait for running threads


def leave(code: int) -> NoReturn:
    """End this process; if torch is loaded, without tearing down the interpreter.

    With torch and Numba loaded, the teardown takes a second, or six on a busy machine. Nor is it safe: threads of gloo
    and autograd outlive a process group, because parameters, device meshes and the trainer still refer to it. A thread
    that requests the GIL meanwhile is unwound by force, and the C++ runtime calls `std::terminate`: about one run in
    ten ends with SIGABRT ("terminate called without an active exception") after doing all its work. So this function
    runs Python's exit handlers and leaves the rest to the operating system.
    """
    if "torch" not in sys.modules:
        sys.exit(code)
    _wait_for_threads()
    atexit._run_exitfuncs()  # Lightning's, too, which destroys the group
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.flush()
    os._exit(code)


def _wait_for_threads() -> None:
    """Wait, for a limited time, for the threads that Python would wait for."""
    end = time.monotonic() + PATIENCE
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join(max(end - time.monotonic(), 0.0))
