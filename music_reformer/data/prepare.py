"""MIDI files to a token store: in parallel, resumable, the same bytes whatever happened on the way.

Workers turn files into tokens; this process appends each result to `partial/` as it comes, tokens first, then a line of
the journal that says where they are. A run that was killed finds both there, drops what the journal does not cover, and
goes on. At the end the pieces are put in the order of their files, duplicates are dropped, and the store is written.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import symusic
from pebble import ProcessExpired, ProcessPool
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from music_reformer.config import CorpusConfig, PrepareConfig, TokenizerConfig
from music_reformer.data.corpus import CorpusFile, list_files
from music_reformer.data.store import VERSION, Piece, TokenStore
from music_reformer.errors import UserError
from music_reformer.midi.score import bar_starts, clean_score, read_score, seconds_at, write_atomically
from music_reformer.midi.tokenizer import MusicTokenizer

# Files handed to the workers ahead of time, per worker: memory stays the same for a million files.
AHEAD = 16
# Notes nearer than this (in parts of a quarter) are the same for telling duplicates.
DUPLICATE_GRID = 24


def prepare(config: PrepareConfig, *, progress: bool = True) -> TokenStore:
    """Prepare a corpus; goes on where an earlier run stopped, and does nothing where it had finished.

    Raises:
        UserError: no MIDI files, none that could be used, or the output holds something prepared differently.
    """
    files = list_files(config.corpus)
    output = Path(config.output)
    settings = _settings(config)
    if (output / "store.json").is_file():
        store = TokenStore.open(output)
        if store.info["settings"] != settings:
            raise UserError(f"{output} was prepared with other settings; choose another output or remove that folder")
        return store
    partial = output / "partial"
    _claim(output, partial, settings)
    journal = Journal(partial)
    waiting = [file for file in files if file.source not in journal.results]
    workers = config.workers or os.cpu_count() or 1
    with _progress_bar(progress) as bar:
        task = bar.add_task("preparing", total=len(files), completed=len(files) - len(waiting), rate="")
        for source, result in _encode_files(waiting, config, workers):
            journal.add(source, result)
            bar.advance(task)
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:.0f} a second" if speed else "")
    journal.close()
    _write_store(output, files, journal, config, settings)
    shutil.rmtree(partial)
    return TokenStore.open(output)


class Journal:
    """Results so far: a line per file, and the tokens of those that could be read.

    Attributes:
        results: by source. A result has "reason" where the file was skipped, else "begin" and "length" of its tokens
            in `partial/tokens.bin` and what `Piece` needs.
    """

    def __init__(self, partial: Path) -> None:
        self.results: dict[str, dict[str, Any]] = {}
        self.tokens_path = partial / "tokens.bin"
        journal_path = partial / "journal.jsonl"
        covered, end = 0, 0
        if journal_path.exists():
            for line in journal_path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break  # killed while writing it
                result = json.loads(line)
                self.results[result.pop("source")] = result
                covered += len(line)
                end = max(end, 2 * (result.get("begin", 0) + result.get("length", 0)))
        self._lines = open(journal_path, "ab")  # noqa: SIM115 - both stay open for the whole run
        self._tokens = open(self.tokens_path, "ab")  # noqa: SIM115
        self._lines.truncate(covered)
        self._tokens.truncate(end)
        self._end = end // 2

    def add(self, source: str, result: dict[str, Any]) -> None:
        """Keep one result; its tokens are written before the line that tells of them."""
        tokens = result.pop("tokens", None)
        if tokens is not None:
            result["begin"] = self._end
            self._tokens.write(tokens)
            self._tokens.flush()
            self._end += len(tokens) // 2
        self._lines.write(json.dumps({"source": source, **result}, sort_keys=True).encode() + b"\n")
        self._lines.flush()
        self.results[source] = result

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._tokens.close()


def _settings(config: PrepareConfig) -> dict[str, Any]:
    """What decides the bytes of a store; where the corpus lies and how many workers there are does not."""
    corpus = asdict(config.corpus)
    del corpus["path"]
    corpus["manifest"] = Path(corpus["manifest"]).name if corpus["manifest"] else None
    # Through JSON, so that it can be compared with what was written.
    return json.loads(json.dumps({"corpus": corpus, "tokenizer": asdict(config.tokenizer)}))


def _claim(output: Path, partial: Path, settings: dict[str, Any]) -> None:
    if output.exists() and not output.is_dir():
        raise UserError(f"output ({output}) is a file; name a folder")
    try:
        partial.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output ({output}) cannot be written ({error.strerror})") from error
    note = partial / "settings.json"
    if note.exists() and json.loads(note.read_text()) != settings:
        raise UserError(f"{output} holds an unfinished run with other settings; remove it or choose another output")
    write_atomically(note, json.dumps(settings).encode())


def _progress_bar(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        disable=not shown,
    )


def _encode_files(files: list[CorpusFile], config: PrepareConfig, workers: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Results in the order of the files; a worker that dies or hangs costs only its own file."""
    if not files:
        return
    pool = ProcessPool(
        max_workers=min(workers, len(files)),
        # A fresh interpreter: forking a process that has threads can deadlock.
        context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(config.corpus, config.tokenizer),
    )
    with pool:
        running: deque[tuple[str, Future[dict[str, Any]]]] = deque()
        try:
            for file in files:
                future = pool.schedule(_encode_file, args=(file.source,), timeout=config.seconds_per_file)
                running.append((file.source, future))
                if len(running) >= AHEAD * workers:
                    yield _finish(*running.popleft(), config.seconds_per_file)
            while running:
                yield _finish(*running.popleft(), config.seconds_per_file)
        except BaseException:
            pool.stop()
            raise


def _finish(source: str, future: Future[dict[str, Any]], limit: float) -> tuple[str, dict[str, Any]]:
    try:
        return source, future.result()
    except TimeoutError:
        return source, {"reason": f"took more than {limit:g} seconds"}
    except ProcessExpired as error:
        return source, {"reason": f"the process that read it died (exit code {error.exitcode})"}


_worker: tuple[CorpusConfig, MusicTokenizer] | None = None


def _start_worker(corpus: CorpusConfig, tokenizer: TokenizerConfig) -> None:
    global _worker  # each worker process makes its tokenizer once
    _worker = (corpus, MusicTokenizer(tokenizer))


def _encode_file(source: str) -> dict[str, Any]:
    assert _worker is not None
    corpus, tokenizer = _worker
    path = Path(corpus.path) / source
    try:
        data = path.read_bytes()
        score = clean_score(
            read_score(data, name=source),
            metre_aliases=corpus.metre_aliases,
            program_by_track=corpus.program_by_track,
        )
        body = tokenizer.encode(score)
    except UserError as error:
        return {"reason": str(error)}
    except Exception as error:  # whatever a parser throws at a damaged file is that file's matter, and is logged
        return {"reason": f"{type(error).__name__}: {error}"}
    if len(body) == 0:
        return {"reason": "none of its notes has a token"}
    tokens = np.concatenate([[tokenizer.bos_id], body, [tokenizer.eos_id]]).astype(np.uint16)
    return {
        "tokens": tokens.tobytes(),
        "length": len(tokens),
        "sha256": hashlib.sha256(data).hexdigest(),
        "notes_sha256": _notes_digest(score),
        "num_notes": score.note_num(),
        "seconds": round(float(seconds_at(score, score.end())), 3),
        "num_bars": len(bar_starts(score)) - 1,
    }


def _notes_digest(score: symusic.Score) -> str:
    """The same for the same notes, however they are spread over tracks and at whatever ticks per quarter."""
    grid = DUPLICATE_GRID / score.ticks_per_quarter
    notes = [
        (round(note.time * grid), round(note.duration * grid), note.pitch)
        for track in score.tracks
        for note in track.notes
    ]
    first = min(start for start, _, _ in notes)
    notes = sorted((start - first, duration, pitch) for start, duration, pitch in notes)
    return hashlib.sha256(np.array(notes, dtype=np.int64).tobytes()).hexdigest()


def _write_store(
    output: Path, files: list[CorpusFile], journal: Journal, config: PrepareConfig, settings: dict[str, Any]
) -> None:
    tokenizer = MusicTokenizer(config.tokenizer)
    seen: dict[str, str] = {}
    pieces: list[Piece] = []
    skipped: list[dict[str, str]] = []
    offset = 0
    parts = np.memmap(journal.tokens_path, dtype=np.uint16, mode="r") if journal.tokens_path.stat().st_size else None
    with open(output / "tokens.bin.tmp", "wb") as out:
        for file in files:
            result = journal.results[file.source]
            if "reason" in result:
                skipped.append({"source": file.source, "reason": result["reason"]})
                continue
            original = seen.setdefault(result["notes_sha256"], file.source)
            if original != file.source:
                skipped.append({"source": file.source, "reason": f"the same notes as {original}"})
                continue
            assert parts is not None
            out.write(parts[result["begin"] : result["begin"] + result["length"]].tobytes())
            pieces.append(
                Piece(
                    piece_id=len(pieces),
                    offset=offset,
                    length=result["length"],
                    split=file.split,
                    source=file.source,
                    sha256=result["sha256"],
                    corpus=config.corpus.name,
                    composition=file.composition,
                    num_notes=result["num_notes"],
                    seconds=result["seconds"],
                    num_bars=result["num_bars"],
                )
            )
            offset += result["length"]
    if not pieces:
        reasons = Counter(entry["reason"] for entry in skipped).most_common(1)[0][0]
        raise UserError(f"none of the {len(files)} files in {config.corpus.path} could be used; most often: {reasons}")
    (output / "tokens.bin.tmp").replace(output / "tokens.bin")
    tokenizer.save(output / "tokenizer.json")
    write_atomically(output / "index.jsonl", _lines([asdict(piece) for piece in pieces]))
    write_atomically(output / "skipped.jsonl", _lines(skipped))
    info = {
        "version": VERSION,
        "corpus": config.corpus.name,
        "tokenizer": tokenizer.fingerprint,
        "num_tokens": offset,
        "num_pieces": dict(sorted(Counter(piece.split for piece in pieces).items())),
        "num_skipped": len(skipped),
        "settings": settings,
    }
    write_atomically(output / "store.json", (json.dumps(info, indent=1) + "\n").encode())


def _lines(entries: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(entry) + "\n" for entry in entries).encode()
