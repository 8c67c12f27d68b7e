"""How our processes end."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from typing import NoReturn

PATIENCE = 0.5  # seconds for threads that are still at work


def leave(code: int) -> NoReturn:
    """End this process; one that has loaded torch ends without tearing down the interpreter.

    With torch and Numba loaded, the teardown takes a second, and six on a busy machine. It is not safe either: threads
    of gloo and of autograd outlive a process group, as parameters, device meshes and the trainer still refer to it. One
    that asks for Python's lock meanwhile is unwound by force, and the C++ runtime answers with `std::terminate`: a
    run that did all its work then ends with SIGABRT ("terminate called without an active exception"), about once in ten
    times. So everything that Python runs at exit is run here, and the rest left to the operating system.
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
    """Wait for the threads that Python would wait for, but not for ever."""
    end = time.monotonic() + PATIENCE
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join(max(end - time.monotonic(), 0.0))
