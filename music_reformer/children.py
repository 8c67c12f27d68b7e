"""Worker processes that print no tracebacks on Ctrl-C, or if the work is done before they have started.

Ctrl-C in a terminal reaches every process of a command, and a child that is still importing prints its own traceback.
A child that starts late fails to open the semaphores of its pool if the pool has finished and removed them.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess


class QuietProcess(SpawnProcess):
    """A process that Ctrl-C does not reach, not even while its interpreter starts: its parent stops it."""

    def start(self) -> None:
        """Start it with SIGINT blocked, which it inherits."""
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            super().start()
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class QuietContext(SpawnContext):
    """Makes `QuietProcess`es for a pool, and remembers them.

    Attributes:
        ready: argument for the initializer of the pool, which must end with `say_ready(ready)`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[QuietProcess] = []
        self._received, self.ready = multiprocessing.Pipe(duplex=False)
        self._started: set[int] = set()
        self._lock = threading.Lock()  # the pool starts new workers in a thread of its own

    def Process(self, *args: object, **options: object) -> QuietProcess:  # type: ignore[override]
        """A new process, not started."""
        process = QuietProcess(*args, **options)  # type: ignore[arg-type]
        self._note_started()  # empties the pipe, which would fill up after some thousand workers had died
        self.processes = [other for other in self.processes if other.is_alive()] + [process]
        return process

    def kill_starting(self) -> None:
        """Kill the workers that have not started yet; call it between a pool's `stop` and its `join`.

        The pool removes its semaphores when it stops. A worker whose interpreter is still starting would look for them
        and print a traceback. The others are left to the pool: one that is killed while it sends blocks the pool.
        """
        self._note_started()
        for process in self.processes:
            if process.pid is not None and process.pid not in self._started:
                process.kill()

    def _note_started(self) -> None:
        with self._lock:
            while self._received.poll():
                self._started.add(self._received.recv())


def say_ready(ready: Connection) -> None:
    """Tell the parent that this worker has started."""
    ready.send(multiprocessing.current_process().pid)
