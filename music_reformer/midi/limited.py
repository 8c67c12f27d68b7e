"""Runs one of our functions on untrusted bytes, in a separate process with limits on time and memory.

The process is not forked from the caller, a server with threads. It is a fresh Python process or, within `forking`, a
fork of a small helper process (`forks.py`). It receives the data, and sends back the function's result (exit code 0) or
the sentence of its `UserError` (exit code 1).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from music_reformer.errors import UserError
from music_reformer.midi.forks import Ended, Forks, can_fork, serve_forks

OUT_OF_TIME = getattr(signal, "SIGXCPU", 0)
HEAD = struct.Struct(">I")  # size of the order (function, limits, arguments) sent before the data to a forked process

_forks: list[Forks] = []  # helper processes of open `forking` blocks; the newest is used


@contextlib.contextmanager
def forking(get_ready: str) -> Iterator[None]:
    """Within the block, fork limited processes from a helper process that has done their imports, if possible.

    Args:
        get_ready: "module:function" to call in the helper process; the calling process does not import it.
    """
    if not can_fork():
        yield
        return
    forks = Forks(_command("--fork", get_ready), _environment())
    _forks.append(forks)
    try:
        yield
    finally:
        _forks.remove(forks)
        forks.close()


def run_limited(
    work: Callable[..., bytes],
    arguments: Sequence[str],
    data: bytes,
    *,
    name: str,
    doing: str,
    seconds: float,
    cpu_seconds: int | None = None,
    megabytes: int,
) -> bytes:
    """Call `work(data, *arguments)` in a process of its own, and return its result.

    Args:
        work: a function at the top level of a module.
        arguments: its arguments after the data.
        data: untrusted bytes.
        name: name of the data in messages.
        doing: participle for messages, such as "read": "... took more than 60 seconds to be read".
        seconds: limit on wall time.
        cpu_seconds: limit on processor time, which is less than wall time on a busy machine; None: `seconds`.
        megabytes: limit on memory.

    Raises:
        UserError: raised by `work`, or the process exceeded a limit.
    """
    cpu_seconds = cpu_seconds or max(1, round(seconds))
    order = [_name(work), str(megabytes), str(cpu_seconds), *arguments]
    try:
        ended = _forked(order, data, seconds=seconds, most=megabytes * 2**20)
        if ended is None:
            ended = _started_anew(order, data, seconds=seconds)
    except TimeoutError as error:
        raise UserError(
            f"{name} took more than {seconds:g} seconds to be {doing}; it is damaged or too large"
        ) from error
    if ended.code == 1 and ended.output:
        raise UserError(ended.output.decode(errors="replace").strip())
    if ended.code == -OUT_OF_TIME:
        raise UserError(f"{name} took more than {cpu_seconds} seconds to be {doing}; it is damaged or too large")
    if ended.code != 0:
        raise UserError(f"{name} could not be {doing} within {megabytes} MB; it is damaged or too large")
    return ended.output


def _forked(order: list[str], data: bytes, *, seconds: float, most: int) -> Ended | None:
    """Run the order in a forked process; returns None if there is no helper process. Raises `TimeoutError`."""
    if not _forks:
        return None
    head = json.dumps(order).encode()
    return _forks[-1].run(HEAD.pack(len(head)) + head + data, seconds=seconds, most=most)


def _started_anew(order: list[str], data: bytes, *, seconds: float) -> Ended:
    """Run the order in a new process. Raises `TimeoutError`."""
    try:
        done = subprocess.run(
            _command(*order), input=data, capture_output=True, timeout=seconds, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    return Ended(done.returncode, done.stdout)


def _command(*arguments: str) -> list[str]:
    """Command line that runs this module in another process."""
    return [sys.executable, "-m", "music_reformer.midi.limited", *arguments]


def _environment() -> dict[str, str]:
    """Environment in which the child finds the same package, installed or in a checkout, from any working directory.

    Numerical libraries get one thread, because each reserves memory of its own.
    """
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def _named(name: str) -> Callable[..., Any]:
    """The function with this `_name`."""
    module, function = name.split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def main(arguments: Sequence[str]) -> int:
    """Run in the child: carry out the order, or with --fork, fork processes that do. Returns the exit code."""
    if arguments[0] != "--fork":
        return serve_limited(_named(arguments[0]), arguments[1:], sys.stdin.buffer.read, sys.stdout.buffer.write)
    _named(arguments[1])()
    gc.collect()
    gc.freeze()  # otherwise the first collection in a forked process would copy the memory that both share
    serve_forks(socket.socket(fileno=0), _answer)
    return 0


def _answer(connection: socket.socket) -> int:
    """Carry out, in a forked process, the order sent over its connection. Returns the exit code."""
    head = connection.recv(HEAD.size, socket.MSG_WAITALL)
    work, *rest = json.loads(connection.recv(HEAD.unpack(head)[0], socket.MSG_WAITALL))
    # The data follows the order; none of it has been read yet.
    return serve_limited(_named(work), rest, lambda: connection.makefile("rb").read(), connection.sendall)


def serve_limited(
    work: Callable[..., bytes],
    arguments: Sequence[str],
    read: Callable[[], bytes],
    write: Callable[[bytes], Any],
) -> int:
    """Run in the child: set the limits, write the result of `work` or its error message, and return the exit code.

    Args:
        work: called with the data and the remaining arguments.
        arguments: megabytes, seconds of processor time, and the arguments of `work`.
        read: returns the data; called after the limits are set.
        write: called with the result.
    """
    megabytes, cpu_seconds, *rest = arguments
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    limit_memory(int(megabytes))
    _limit("RLIMIT_CPU", int(cpu_seconds), int(cpu_seconds) + 1)
    try:
        result = work(read(), *rest)
    except UserError as error:
        write(str(error).encode(errors="replace"))
        return 1
    write(result)
    return 0


def limit_memory(megabytes: int) -> None:
    """Limit the memory of this process, if the system allows it."""
    _limit("RLIMIT_AS", megabytes * 2**20, None)


def _limit(name: str, soft: int, hard: int | None) -> None:
    """Set a limit of this process; `hard` None leaves the hard limit as it is."""
    # Windows has no such limits, and macOS refuses RLIMIT_AS: there, files are read without a limit.
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        number = getattr(resource, name)
        resource.setrlimit(number, (soft, resource.getrlimit(number)[1] if hard is None else hard))


def _end_with(parent: int) -> None:
    """End this process when its parent has ended: then nobody waits for the result."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
