"""MIDI files to tokens in worker processes: a file that kills, hangs or starves one costs only itself."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import symusic
from pebble import ProcessExpired, ProcessPool

from music_reformer.config import CorpusConfig, PrepareConfig
from music_reformer.data.prepare.near_duplicates import signature
from music_reformer.data.prepare.quality import fault_of
from music_reformer.data.prepare.statistics import describe
from music_reformer.errors import UserError
from music_reformer.midi.align import aligned
from music_reformer.midi.rhythm_section import with_rhythm_section
from music_reformer.midi.score import (
    NoNotesError,
    clean_score,
    count_bars,
    last_tick,
    note_columns,
    read_score,
    seconds_at,
)
from music_reformer.midi.tokenizer import MusicTokenizer

# Files handed to the workers ahead of time, per worker: memory stays the same for a million files.
AHEAD = 16
# Address space of a worker. The largest file that is read (a million notes) takes about half of it.
WORKER_MEGABYTES = 4000
# Notes nearer than this (in parts of a quarter) are the same for telling duplicates.
DUPLICATE_GRID = 24

Result = dict[str, Any]


class Encoders:
    """Worker processes that encode files; a context manager.

    Args:
        config: corpus, tokenizer and quality settings, and the time a file may take.
        workers: processes.
        encode: what a worker does with a source; None: `encode_file`.
    """

    def __init__(self, config: PrepareConfig, *, workers: int, encode: Callable[[str], Result] | None = None) -> None:
        self._workers, self._limit, self._encode = workers, config.seconds_per_file, encode or encode_file
        self._pool = ProcessPool(
            max_workers=workers,
            # A fresh interpreter: forking a process that has threads can deadlock.
            context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(config,),
        )

    def __enter__(self) -> Encoders:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._pool.close()
        else:
            self._pool.stop()
        self._pool.join()

    def results(self, sources: Iterable[str]) -> Iterator[tuple[str, Result]]:
        """(source, result) of each file, in the order of the files.

        Yields:
            A result has "reason" and "kind" where the file cannot be used, else "tokens" (bytes of uint16, BOS and EOS
            included) and what `store.Piece`, the report and the search for duplicates need. "again" stands beside
            reasons that may be the machine's fault.
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
    """`Encoders.results` of as many workers as are needed."""
    with Encoders(config, workers=workers) as encoders:
        yield from encoders.results(sources)


_worker: tuple[PrepareConfig, MusicTokenizer] | None = None


def _start_worker(config: PrepareConfig) -> None:
    global _worker  # each worker process makes its tokenizer once
    _worker = (config, MusicTokenizer(config.tokenizer))
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows, and macOS refuses
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (WORKER_MEGABYTES * 2**20, resource.RLIM_INFINITY))


def encode_file(source: str) -> Result:
    """The result of one file, in a worker."""
    assert _worker is not None
    config, tokenizer = _worker
    path = Path(config.corpus.path or "") / source
    try:
        score = clean_score(
            read_score(path, name=source),
            metre_aliases=config.corpus.metre_aliases,
            program_by_track=config.corpus.program_by_track,
        )
        fault = fault_of(score, config.quality)
        if fault is not None:
            kind, lacks = fault
            return {"kind": kind, "reason": f"{source} {lacks}"}
        score = arranged(score, source, config.corpus)
        body = tokenizer.encode(score)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        # A score that can be encoded can be described, but what a parser let through nobody knows.
        details = describe(score)
        notes = signature(score) if config.near_duplicates != "off" else None
    except NoNotesError as error:
        return {"kind": "no notes", "reason": str(error)}
    except UserError as error:
        return {"kind": "unreadable", "reason": str(error)}
    except MemoryError:
        raise  # `_finish` tells of it
    except Exception as error:  # whatever a parser throws at a damaged file is that file's matter, and is logged
        return {"kind": "unreadable", "reason": f"{source}: {type(error).__name__}: {error}"}
    if len(body) == 0:
        return {"kind": "no tokens", "reason": f"{source} has no note that has a token"}
    tokens = np.concatenate([[tokenizer.bos_id], body, [tokenizer.eos_id]]).astype(np.uint16)
    return {
        "tokens": tokens.tobytes(),
        "length": len(tokens),
        "sha256": sha256,
        "notes_sha256": notes_digest(score),
        "num_notes": score.note_num(),
        "seconds": round(float(seconds_at(score, last_tick(score))), 3),
        "num_bars": count_bars(score),
        "signature": notes,
        **details,
    }


def arranged(score: symusic.Score, source: str, config: CorpusConfig) -> symusic.Score:
    """On its grid, and with bass and drums, where the corpus asks for it; drawn by the name of the source."""
    if not config.align:
        return score
    random = np.random.default_rng(list(os.fsencode(source)))
    align, accompany = random.random(2)
    if align >= config.align:
        return score
    moved = aligned(score)
    if moved is None or accompany >= config.rhythm_section:
        return moved or score
    return with_rhythm_section(moved, random) or moved


def notes_digest(score: symusic.Score) -> str:
    """The same for the same notes, whatever their tracks, instruments, tempo, ticks per quarter or leading silence."""
    time, duration, pitch = note_columns(score.tracks).values()
    tpq = score.ticks_per_quarter
    # In whole numbers: in floating point a note half-way between two places goes one way or the other.
    place, length = ((2 * DUPLICATE_GRID * x + tpq) // (2 * tpq) for x in (time - time.min(), duration))
    rows = np.stack([place, pitch, length], axis=1)
    return hashlib.sha256(rows[np.lexsort(rows.T[::-1])].tobytes()).hexdigest()
