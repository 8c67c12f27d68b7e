"""Forks worker processes from a small helper process, for a server whose own threads and memory must not be forked.

Importing the MIDI reader takes a quarter of a second; forking a process that has imported it takes milliseconds.
`Forks` starts such a helper, and `serve_forks` is its main loop. The helper has one thread. For each job it receives
two sockets and forks a worker: the worker talks to the server over the first, and the helper reports the worker's exit
status over the second. The helper never reads the untrusted data.

Forked workers share the helper's memory layout. When one crashes, a new helper with another layout takes over, so that
a file made to attack the reader cannot try one address after another. Linux only.
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

CODE = struct.Struct(">i")  # exit status of a worker, as of `os.waitstatus_to_exitcode`
CHUNK = 2**20  # bytes
PATIENCE = 1.0  # seconds for a helper to end by itself
# Signals that end workers that exceed a limit or are no longer waited for, as exit codes. Any other signal is a crash.
EXPECTED = tuple(-getattr(signal, name, 0) for name in ("SIGXCPU", "SIGKILL"))


@dataclass(frozen=True)
class Ended:
    """A worker process that has ended.

    Attributes:
        code: its exit code; if negative, minus the signal that ended it.
        output: the bytes that it wrote.
    """

    code: int
    output: bytes


def can_fork() -> bool:
    """Whether this system supports `serve_forks`."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return False
    with contextlib.suppress(OSError):
        os.close(os.pidfd_open(os.getpid()))
        return True
    return False


class Forks:
    """A helper process, seen from the server; any thread may use it.

    Args:
        command: command line of a program that calls `serve_forks` with its standard input.
        environment: environment variables of the helper.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command, self._environment = list(command), dict(environment)
        self._lock, self._is_closed = threading.Lock(), False
        self._process, self._line = self._started()

    def run(self, data: bytes, *, seconds: float, most: int) -> Ended | None:
        """Run a worker on `data`; returns how it ended, or None if no worker could be forked.

        Args:
            data: the worker's input.
            seconds: limit on wall time, after which the worker is killed.
            most: largest number of bytes of output to read.

        Raises:
            TimeoutError: the worker took longer.
        """
        deadline = time.monotonic() + seconds
        # When the block ends, the sockets close, and the helper kills the worker if it is still running.
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
        """End the helper and its workers."""
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
        """Replace the helper at the other end of `line`, unless that has been done already."""
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
    """Send `data` and return the answer, at most `most` bytes; raises `TimeoutError` at the deadline."""
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
    """Seconds until a deadline. Raises `TimeoutError` if it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@dataclass(frozen=True)
class _Running:
    """A worker: its process id, a descriptor (pidfd) that signals its end, and the socket for its exit status."""

    number: int
    descriptor: int
    state: socket.socket


def serve_forks(line: socket.socket, work: Callable[[socket.socket], int]) -> None:
    """Fork a worker for each pair of sockets received over the line; when the line closes, kill the workers and return.

    Args:
        line: socket whose other end belongs to a `Forks`.
        work: called in the worker with its connection; returns the worker's exit code.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process, too, but the server decides its end
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
                elif process.number in running:  # the server has closed its end: nobody waits for this worker
                    selector.unregister(process.state)
                    signal.pidfd_send_signal(process.descriptor, signal.SIGKILL)


def _fork_next(
    line: socket.socket,
    work: Callable[[socket.socket], int],
    selector: selectors.BaseSelector,
    running: dict[int, _Running],
) -> bool:
    """Fork the next requested worker; returns False if the line has been closed."""
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
    """Run in the worker: call `work` with nothing open but the connection, then exit; never returns."""
    code = 1
    try:
        os.dup2(connection.fileno(), 0)  # in place of the line
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        code = work(socket.socket(fileno=0))
    finally:
        os._exit(code)


def _tell_end(process: _Running, selector: selectors.BaseSelector) -> None:
    """Report a worker's exit status, and forget it."""
    _, status = os.waitpid(process.number, 0)
    with contextlib.suppress(OSError):  # the server may have stopped waiting
        process.state.send(CODE.pack(os.waitstatus_to_exitcode(status)))
    for source in (process.descriptor, process.state):
        with contextlib.suppress(KeyError):
            selector.unregister(source)
    os.close(process.descriptor)
    process.state.close()
