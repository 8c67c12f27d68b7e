"""Worker processes that encode files: a file that crashes, hangs or exhausts one of them costs only itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from multiprocessing.connection import Connection

from pebble import ProcessExpired, ProcessPool

from music_reformer.children import QuietContext, say_ready
from music_reformer.config import PrepareConfig
from music_reformer.data.prepare.encode import Result, encode_file, start_worker
from music_reformer.midi.limited import limit_memory

# Files scheduled ahead of time per worker. Bounded, so that a million files take no more memory than a hundred.
AHEAD = 16
# Address space of a worker. The largest file that is read (a million notes) takes about half of it.
WORKER_MEGABYTES = 4000


class Encoders:
    """Worker processes that encode files; a context manager.

    Args:
        config: corpus, tokenizer and quality settings, and the time limit per file.
        workers: number of processes.
        encode: what a worker does with a source; None: `encode_file`.
    """

    def __init__(self, config: PrepareConfig, *, workers: int, encode: Callable[[str], Result] | None = None) -> None:
        self._workers, self._limit, self._encode = workers, config.seconds_per_file, encode or encode_file
        self._context = QuietContext()
        self._pool = ProcessPool(
            max_workers=workers,
            # A fresh interpreter: forking a process that has threads can deadlock.
            context=self._context,
            initializer=_start,
            initargs=(config, self._context.ready),
        )

    def __enter__(self) -> Encoders:
        return self

    def __exit__(self, *_: object) -> None:
        # Every requested result has been read: work that still runs is not needed.
        self._pool.stop()
        self._context.kill_starting()
        self._pool.join()

    def results(self, sources: Iterable[str]) -> Iterator[tuple[str, Result]]:
        """(source, result) of each file, in the order of the files.

        Yields:
            A result has "reason" and "kind" if the file cannot be used; otherwise "tokens" (bytes of uint16, with BOS
            and EOS) and what `store.Piece`, the report and the search for duplicates need. "again" is set if the reason
            may lie with the machine rather than with the file.
        """
        running: deque[tuple[str, Future[Result]]] = deque()
        for source in sources:
            running.append((source, self._pool.schedule(self._encode, args=(source,), timeout=self._limit)))
            if len(running) >= AHEAD * self._workers:
                yield self._finish(*running.popleft())
        while running:
            yield self._finish(*running.popleft())

    def _finish(self, source: str, future: Future[Result]) -> tuple[str, Result]:
        try:
            return source, future.result()
        except TimeoutError:
            reason = f"took more than {self._limit:g} seconds"
        except MemoryError:
            reason = f"took more than {WORKER_MEGABYTES} MB of memory"
        except ProcessExpired as error:
            reason = f"the process that read it died (exit code {error.exitcode})"
        return source, {"reason": reason, "kind": "too costly", "again": True}


def encode_files(sources: Iterable[str], config: PrepareConfig, *, workers: int) -> Iterator[tuple[str, Result]]:
    """`Encoders.results` of a number of workers, which end with the last result."""
    with Encoders(config, workers=workers) as encoders:
        yield from encoders.results(sources)


def _start(config: PrepareConfig, ready: Connection) -> None:
    """Initialise a worker, and tell the parent that it has started."""
    start_worker(config)
    limit_memory(WORKER_MEGABYTES)
    say_ready(ready)
