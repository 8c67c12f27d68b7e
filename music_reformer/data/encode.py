"""MIDI files to tokens in worker processes: a file that kills, hangs or starves one costs only itself."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import symusic
from pebble import ProcessExpired, ProcessPool

from music_reformer.config import CorpusConfig, PrepareConfig, TokenizerConfig
from music_reformer.data.corpus import CorpusFile
from music_reformer.errors import UserError
from music_reformer.midi.score import clean_score, count_bars, last_tick, read_score, seconds_at
from music_reformer.midi.tokenizer import MusicTokenizer

# Files handed to the workers ahead of time, per worker: memory stays the same for a million files.
AHEAD = 16
# Address space of a worker. The largest file that is read (a million notes) takes about half of it.
WORKER_MEGABYTES = 4000
# Notes nearer than this (in parts of a quarter) are the same for telling duplicates.
DUPLICATE_GRID = 24

Result = dict[str, Any]


def encode_files(
    files: list[CorpusFile], config: PrepareConfig, *, workers: int, encode: Callable[[str], Result] | None = None
) -> Iterator[tuple[str, Result]]:
    """(source, result) of each file, in the order of the files.

    Args:
        files: of the corpus.
        config: corpus and tokenizer settings, and the time a file may take.
        workers: processes.
        encode: what a worker does with a source; None: `encode_file`.

    Yields:
        A result has "reason" where the file cannot be used, else "tokens" (bytes of uint16, BOS and EOS included) and
        what `store.Piece` needs. "again" stands beside reasons that may be the machine's fault.
    """
    if not files:
        return
    limit = config.seconds_per_file
    pool = ProcessPool(
        max_workers=min(workers, len(files)),
        # A fresh interpreter: forking a process that has threads can deadlock.
        context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(config.corpus, config.tokenizer),
    )
    with pool:
        running: deque[tuple[str, Future[Result]]] = deque()
        try:
            for file in files:
                running.append((file.source, pool.schedule(encode or encode_file, args=(file.source,), timeout=limit)))
                if len(running) >= AHEAD * workers:
                    yield _finish(*running.popleft(), limit)
            while running:
                yield _finish(*running.popleft(), limit)
        except BaseException:
            pool.stop()
            raise


def _finish(source: str, future: Future[Result], limit: float) -> tuple[str, Result]:
    try:
        return source, future.result()
    except TimeoutError:
        return source, {"reason": f"took more than {limit:g} seconds", "again": True}
    except MemoryError:
        return source, {"reason": f"took more than {WORKER_MEGABYTES} MB of memory", "again": True}
    except ProcessExpired as error:
        return source, {"reason": f"the process that read it died (exit code {error.exitcode})", "again": True}


_worker: tuple[CorpusConfig, MusicTokenizer] | None = None


def _start_worker(corpus: CorpusConfig, tokenizer: TokenizerConfig) -> None:
    global _worker  # each worker process makes its tokenizer once
    _worker = (corpus, MusicTokenizer(tokenizer))
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows, and macOS refuses
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (WORKER_MEGABYTES * 2**20, resource.RLIM_INFINITY))


def encode_file(source: str) -> Result:
    """The result of one file, in a worker."""
    assert _worker is not None
    corpus, tokenizer = _worker
    path = Path(corpus.path) / source
    try:
        score = clean_score(
            read_score(path, name=source),
            metre_aliases=corpus.metre_aliases,
            program_by_track=corpus.program_by_track,
        )
        body = tokenizer.encode(score)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except UserError as error:
        return {"reason": str(error)}
    except MemoryError:
        raise  # `_finish` tells of it
    except Exception as error:  # whatever a parser throws at a damaged file is that file's matter, and is logged
        return {"reason": f"{type(error).__name__}: {error}"}
    if len(body) == 0:
        return {"reason": "none of its notes has a token"}
    tokens = np.concatenate([[tokenizer.bos_id], body, [tokenizer.eos_id]]).astype(np.uint16)
    return {
        "tokens": tokens.tobytes(),
        "length": len(tokens),
        "sha256": sha256,
        "notes_sha256": notes_digest(score),
        "num_notes": score.note_num(),
        "seconds": round(float(seconds_at(score, last_tick(score))), 3),
        "num_bars": count_bars(score),
    }


def notes_digest(score: symusic.Score) -> str:
    """The same for the same notes, whatever their tracks, instruments, tempo, ticks per quarter or leading silence."""
    columns = [track.notes.numpy() for track in score.tracks]
    time, duration, pitch = (
        np.concatenate([column[name] for column in columns]).astype(np.int64) for name in ("time", "duration", "pitch")
    )
    tpq = score.ticks_per_quarter
    # In whole numbers: in floating point a note half-way between two places goes one way or the other.
    place, length = ((2 * DUPLICATE_GRID * x + tpq) // (2 * tpq) for x in (time - time.min(), duration))
    rows = np.stack([place, pitch, length], axis=1)
    return hashlib.sha256(rows[np.lexsort(rows.T[::-1])].tobytes()).hexdigest()
