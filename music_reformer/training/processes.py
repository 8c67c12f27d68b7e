"""How a process of a distributed run ends."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End this process; one that is in a process group ends without tearing down the interpreter.

    Threads of gloo and of autograd outlive the group, because parameters, device meshes and the trainer still refer to
    it. One that asks for Python's lock while the interpreter is torn down is unwound by force, and the C++ runtime
    answers with `std::terminate`: a run that did all its work then ends with SIGABRT ("terminate called without an
    active exception"), about once in ten times. So everything that Python runs at exit is run here, and the rest left
    to the operating system.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        sys.exit(code)
    atexit._run_exitfuncs()  # Lightning's, too, which destroys the group.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
