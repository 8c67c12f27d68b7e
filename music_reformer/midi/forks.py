"""Processes that are forked from a small one, for a server whose own threads and memory no fork should copy.

Importing what reads a MIDI file takes a quarter of a second, and forking a process that has imported it takes
milliseconds. `Forks` starts such a process, `serve_forks` is what runs in it: it has one thread, is sent two sockets at
a time, and forks a process that works on the first; over the second it tells how this process ended. It never reads
what they work on.

Forked processes share one layout of memory. When one of them crashes, a process with another layout takes over, so that
a file which is made to attack the reader cannot try one address after another. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CODE = struct.Struct(">i")  # how a process ended, as `os.waitstatus_to_exitcode` tells it
CHUNK = 2**20  # bytes
PATIENCE = 1.0  # seconds for a small process to end
# By what a process ends that exceeds a limit, or is no longer waited for. Any other signal is a crash.
EXPECTED = tuple(-getattr(signal, name, 0) for name in ("SIGXCPU", "SIGKILL"))


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        code: its exit code; negative: the signal that ended it.
        output: what it wrote.
    """

    code: int
    output: bytes


def can_fork() -> bool:
    """Whether this system has what `serve_forks` uses."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return False
    with contextlib.suppress(OSError):
        os.close(os.pidfd_open(os.getpid()))
        return True
    return False


class Forks:
    """The small process, as others see it; any thread may use it.

    Args:
        command: calls `serve_forks` with its standard input.
        environment: variables of the process.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command, self._environment = list(command), dict(environment)
        self._lock, self._is_closed = threading.Lock(), False
        self._process, self._line = self._started()

    def run(self, data: bytes, *, seconds: float, most: int) -> Ended | None:
        """What becomes of a process that is given `data`; None: no process could be forked.

        Args:
            data: what it is to read.
            seconds: for which it is waited for; then it is killed.
            most: bytes of its output that are read.

        Raises:
            TimeoutError: it took longer.
        """
        deadline = time.monotonic() + seconds
        # As the block ends, the sockets close, and the small process kills whoever still works.
        with _pair() as (connection, its_connection), _pair() as (state, its_state):
            with self._lock:
                line = self._line
                with contextlib.suppress(OSError):
                    socket.send_fds(line, [b"\0"], [its_connection.fileno(), its_state.fileno()])
            its_connection.close()
            its_state.close()
            output = _exchanged(connection, data, deadline=deadline, most=most)
            state.settimeout(_left(deadline))
            code = state.recv(CODE.size)
        ended = Ended(CODE.unpack(code)[0], output) if code else None
        if ended is None or (ended.code < 0 and ended.code not in EXPECTED):
            self._replace(line)
        return ended

    def close(self) -> None:
        """End the small process, and all that it has forked."""
        with self._lock:
            self._is_closed = True
            self._end()

    def _end(self) -> None:
        self._line.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:  # it is still starting
            self._process.kill()
            self._process.wait()

    def _replace(self, line: socket.socket) -> None:
        """Have another process take over from the one at the end of `line`, unless that has been done."""
        with self._lock:
            if self._line is line and not self._is_closed:
                self._end()
                self._process, self._line = self._started()

    def _started(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        line, its_line = socket.socketpair()
        with its_line:
            process = subprocess.Popen(
                self._command,
                stdin=its_line.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
            )
        return process, line


@contextlib.contextmanager
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def _exchanged(connection: socket.socket, data: bytes, *, deadline: float, most: int) -> bytes:
    """What comes back when `data` is sent, `most` bytes of it; raises `TimeoutError` at the deadline."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended early
        connection.settimeout(_left(deadline))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
    output = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while len(output) < most:
            connection.settimeout(_left(deadline))
            chunk = connection.recv(min(CHUNK, most - len(output)))
            if not chunk:
                break
            output += chunk
    return bytes(output)


def _left(deadline: float) -> float:
    """Seconds until a deadline. Raises `TimeoutError` if there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@dataclass(frozen=True)
class _Running:
    """A forked process: its number, a descriptor that tells its end, and the socket over which its end is told."""

    number: int
    descriptor: int
    state: socket.socket


def serve_forks(line: socket.socket, work: Callable[[socket.socket], int]) -> None:
    """Fork a process for each pair of sockets that comes over the line, until the line closes; then kill them.

    Args:
        line: the other end is that of a `Forks`.
        work: what a forked process does with its connection; returns its exit code.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the server ends this one
    running: dict[int, _Running] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                process = key.data
                if process is None:
                    if not _fork_next(line, work, selector, running):
                        for each in running.values():
                            signal.pidfd_send_signal(each.descriptor, signal.SIGKILL)
                        return
                elif process.number in running and key.fd == process.descriptor:
                    del running[process.number]
                    _tell_end(process, selector)
                elif process.number in running:  # nobody waits for it any more
                    selector.unregister(process.state)
                    signal.pidfd_send_signal(process.descriptor, signal.SIGKILL)


def _fork_next(
    line: socket.socket,
    work: Callable[[socket.socket], int],
    selector: selectors.BaseSelector,
    running: dict[int, _Running],
) -> bool:
    """Fork the process that is asked for next; returns False where the line has been closed."""
    message, descriptors, _, _ = socket.recv_fds(line, 1, 2)
    if not message:
        return False
    if len(descriptors) != 2:
        for descriptor in descriptors:
            os.close(descriptor)
        return True
    connection, state = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    with connection:
        number = os.fork()
        if not number:
            _work_and_exit(connection, work)
    process = _Running(number, os.pidfd_open(number), state)
    running[number] = process
    for source in (process.descriptor, state):
        selector.register(source, selectors.EVENT_READ, process)
    return True


def _work_and_exit(connection: socket.socket, work: Callable[[socket.socket], int]) -> Any:
    """Work, in the forked process, with nothing open but the connection; never returns."""
    code = 1
    try:
        os.dup2(connection.fileno(), 0)  # in place of the line
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        code = work(socket.socket(fileno=0))
    finally:
        os._exit(code)


def _tell_end(process: _Running, selector: selectors.BaseSelector) -> None:
    """Tell how a process ended, and forget it."""
    _, status = os.waitpid(process.number, 0)
    with contextlib.suppress(OSError):  # nobody listens
        process.state.send(CODE.pack(os.waitstatus_to_exitcode(status)))
    for source in (process.descriptor, process.state):
        with contextlib.suppress(KeyError):
            selector.unregister(source)
    os.close(process.descriptor)
    process.state.close()
