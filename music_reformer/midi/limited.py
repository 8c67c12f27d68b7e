"""Runs one of our modules on untrusted bytes, in a separate process with limits on time and memory.

The process is not forked, because the server that calls this has threads. The module reads standard input, and writes
to standard output its result (exit code 0) or one sentence (exit code 1).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from music_reformer.errors import UserError

OUT_OF_TIME = getattr(signal, "SIGXCPU", 0)


def run_limited(
    module: str,
    arguments: Sequence[str],
    data: bytes,
    *,
    name: str,
    doing: str,
    seconds: float,
    cpu_seconds: int | None = None,
    megabytes: int,
) -> bytes:
    """What `python -m module arguments` writes when it is given `data`.

    Args:
        name: what messages call the data.
        doing: what is being done with it, such as "read".
        seconds: limit on wall time.
        cpu_seconds: limit on processor time, which is less than wall time on a busy machine; None: `seconds`.
        megabytes: limit on memory.

    Raises:
        UserError: with the sentence of the module, or because it exceeded a limit.
    """
    cpu_seconds = cpu_seconds or max(1, round(seconds))
    command = [sys.executable, "-m", module, str(megabytes), str(cpu_seconds), *arguments]
    # The package as this process found it, installed or in a checkout, wherever both were started. One thread: each
    # thread of a numerical library asks for memory of its own.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=seconds, check=False, env=environment)
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{name} took more than {seconds:g} seconds to be {doing}; it is damaged or too large"
        ) from error
    if done.returncode == 1 and done.stdout:
        raise UserError(done.stdout.decode(errors="replace").strip())
    if done.returncode == -OUT_OF_TIME:
        raise UserError(f"{name} took more than {cpu_seconds} seconds to be {doing}; it is damaged or too large")
    if done.returncode != 0:
        raise UserError(f"{name} could not be {doing} within {megabytes} MB; it is damaged or too large")
    return done.stdout


def serve_limited(work: Callable[..., bytes]) -> int:
    """Run in the child: set the limits, write the result of `work(data, *arguments)`, and return the exit code."""
    megabytes, cpu_seconds, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    limit_memory(int(megabytes))
    _limit("RLIMIT_CPU", int(cpu_seconds), int(cpu_seconds) + 1)
    try:
        result = work(sys.stdin.buffer.read(), *arguments)
    except UserError as error:
        sys.stdout.buffer.write(str(error).encode(errors="replace"))
        return 1
    sys.stdout.buffer.write(result)
    return 0


def limit_memory(megabytes: int) -> None:
    """Limit the memory of this process to so many megabytes, where the system allows it."""
    _limit("RLIMIT_AS", megabytes * 2**20, None)


def _limit(name: str, soft: int, hard: int | None) -> None:
    """Set a limit of this process; `hard` None leaves the hard limit as it is."""
    # Windows has no limits, and macOS refuses to set RLIMIT_AS: there a file is read without a limit.
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        number = getattr(resource, name)
        resource.setrlimit(number, (soft, resource.getrlimit(number)[1] if hard is None else hard))


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, since nobody waits for the result then."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
