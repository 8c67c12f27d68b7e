"""Runs one of our functions on untrusted bytes, in a separate process with limits on time and memory.

The process is not forked from this one, because the server that calls this has threads. It is started anew, or, within
`forking`, forked from a small process that has been started for that. The function reads what the process is sent;
what goes back is its result (exit code 0) or one sentence (exit code 1).
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
HEAD = struct.Struct(">I")  # size of the order that precedes the data of a forked process

_forks: list[Forks] = []  # of the servers of this process; the newest is used


@contextlib.contextmanager
def forking(get_ready: str) -> Iterator[None]:
    """Within the block, limited processes are forked from one that has imported what they need, where that can be.

    Args:
        get_ready: "module:function" that is called in that process; this one does not import it.
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
    """`work(data, *arguments)`, a function of a module, done in a process of its own.

    Args:
        name: what messages call the data.
        doing: what is being done with it, such as "read".
        seconds: limit on wall time.
        cpu_seconds: limit on processor time, which is less than wall time on a busy machine; None: `seconds`.
        megabytes: limit on memory.

    Raises:
        UserError: with the sentence of the function, or because it exceeded a limit.
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
    """A forked process that has done what is ordered; None where none can be forked. Raises `TimeoutError`."""
    if not _forks:
        return None
    head = json.dumps(order).encode()
    return _forks[-1].run(HEAD.pack(len(head)) + head + data, seconds=seconds, most=most)


def _started_anew(order: list[str], data: bytes, *, seconds: float) -> Ended:
    """A new process that has done what is ordered. Raises `TimeoutError`."""
    try:
        done = subprocess.run(
            _command(*order), input=data, capture_output=True, timeout=seconds, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    return Ended(done.returncode, done.stdout)


def _command(*arguments: str) -> list[str]:
    """What runs this module in another process."""
    return [sys.executable, "-m", "music_reformer.midi.limited", *arguments]


def _environment() -> dict[str, str]:
    """The package as this process found it, installed or in a checkout, wherever both were started. One thread: each
    thread of a numerical library asks for memory of its own.
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
    """The function that `_name` gave a name."""
    module, function = name.split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def main(arguments: Sequence[str]) -> int:
    """Run in the child: do what is ordered, or with --fork, have others do it. Returns the exit code."""
    if arguments[0] != "--fork":
        return serve_limited(_named(arguments[0]), arguments[1:], sys.stdin.buffer.read, sys.stdout.buffer.write)
    _named(arguments[1])()
    gc.collect()
    gc.freeze()  # or the first collection in a forked process would write to memory that both share
    serve_forks(socket.socket(fileno=0), _answer)
    return 0


def _answer(connection: socket.socket) -> int:
    """Do, in a forked process, what is ordered over its connection. Returns the exit code."""
    head = connection.recv(HEAD.size, socket.MSG_WAITALL)
    work, *rest = json.loads(connection.recv(HEAD.unpack(head)[0], socket.MSG_WAITALL))
    # Of the data, which follows, nothing has been read yet.
    return serve_limited(_named(work), rest, lambda: connection.makefile("rb").read(), connection.sendall)


def serve_limited(
    work: Callable[..., bytes],
    arguments: Sequence[str],
    read: Callable[[], bytes],
    write: Callable[[bytes], Any],
) -> int:
    """Run in the child: set the limits, write the result of `work` or its sentence, and return the exit code.

    Args:
        work: is called with the data and the rest of the arguments.
        arguments: megabytes, seconds of a processor, and the rest.
        read: returns the data.
        write: is given the result.
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
