"""MIDI files to a token store: parallel and resumable, and the same bytes however often it was interrupted.

The corpus is downloaded if necessary (`corpora/obtain.py`). Workers encode files (`encoders.py`, or `on_ray.py` on many
machines). The main process stores each result as it arrives (`journal.py`), so a killed run resumes where it stopped.
At the end, duplicates are dropped and the store is written in the order of the files (`assemble.py`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from music_reformer.config import PrepareConfig
from music_reformer.cores import num_cores
from music_reformer.data.corpora.collection import corpus_files
from music_reformer.data.corpora.corpus_manifest import read_manifest
from music_reformer.data.corpora.obtain import obtain
from music_reformer.data.corpora.splits import PassedOver
from music_reformer.data.prepare.assemble import write_store
from music_reformer.data.prepare.encode import Result
from music_reformer.data.prepare.encoders import encode_files
from music_reformer.data.prepare.journal import ResultJournal
from music_reformer.data.prepare.on_ray import encode_files_on_ray
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.files import naming, write_atomically
from music_reformer.midi.tokenizer import MusicTokenizer


def prepare_midi(config: PrepareConfig, output: Path, *, progress: bool) -> TokenStore:
    """Prepare a corpus of MIDI files. Resumes an unfinished run, and leaves a finished store alone.

    Args:
        config: what to prepare, and how.
        output: folder of the store.
        progress: whether to show a progress bar and a summary.

    Raises:
        UserError: the corpus cannot be obtained, has no usable MIDI files, or the output folder holds something else.
    """
    partial = output / "partial"
    console = Console(quiet=not progress, highlight=False, soft_wrap=True, markup=False)
    settings = _settings(config)
    if (output / "store.json").is_file():
        store = TokenStore.open(output)
        _compare(f"{output} was prepared with", store.info["settings"], settings)
        shutil.rmtree(partial, ignore_errors=True)  # left by a run that was killed just before it ended
        console.print(f"{output} is already prepared; nothing to do")
        return store
    manifest = read_manifest(config.corpus.manifest)
    MusicTokenizer(config.tokenizer)  # raises for impossible settings before anything is written
    _check_output(output, partial, settings)
    path = obtain(config.corpus, manifest, Path(config.downloads), console)
    config = replace(config, corpus=replace(config.corpus, path=str(path)))
    next(corpus_files(config.corpus, manifest))  # raises if there is nothing to prepare
    _claim(output, partial, settings)
    with _naming(output):
        journal = ResultJournal(partial)
        try:
            passed_over = PassedOver()
            journal.set_files(corpus_files(config.corpus, manifest, passed_over))
            if passed_over.num_files:
                console.print(f"{passed_over.num_files:,} files skipped: by their names, they are not music files")
            _encode_all(config, journal, console)
            with console.status("removing duplicates and writing the store"):
                write_store(output, journal, config, manifest, settings)
        finally:
            journal.close()
        shutil.rmtree(partial)
    store = TokenStore.open(output)
    console.print(_summary(store))
    return store


@contextlib.contextmanager
def _naming(output: Path) -> Iterator[None]:
    """Make disk errors name the store, whichever of its files could not be written."""
    try:
        with naming(output):
            yield
    except sqlite3.Error as error:
        raise UserError(
            f"{output} cannot be written ({error}); check whether the disk is full, then run the same command again"
        ) from error


def _settings(config: PrepareConfig) -> dict[str, Any]:
    """The settings that decide the pieces of a store: not the place of the corpus, nor the number of workers."""
    corpus = asdict(config.corpus)
    del corpus["path"], corpus["url"], corpus["mixture"]
    corpus["manifest"] = Path(corpus["manifest"]).name if corpus["manifest"] else None
    duplicates = {"near_duplicates": config.near_duplicates, "similarity": config.near_duplicate_similarity}
    settings = {
        "corpus": corpus,
        "tokenizer": asdict(config.tokenizer),
        "quality": asdict(config.quality),
        "duplicates": duplicates,
    }
    # A round trip through JSON makes it comparable with what was written.
    return json.loads(json.dumps(settings))


def _compare(what: str, there: dict[str, dict[str, Any]], asked: dict[str, dict[str, Any]]) -> None:
    """Raise a `UserError` that names the settings that differ, if any do."""
    differing = [
        f"{group}.{key}"
        for group in asked
        for key in asked[group]
        if there.get(group, {}).get(key) != asked[group][key]
    ]
    if differing:
        raise UserError(f"{what} a different {', '.join(differing)}; choose another output or remove that folder")


def _check_output(output: Path, partial: Path, settings: dict[str, Any]) -> None:
    """Check that the output folder may be written, before anything is downloaded."""
    if output.exists() and not output.is_dir():
        raise UserError(f"output ({output}) is a file; name a folder")
    note = partial / "settings.json"
    if note.is_file():
        _compare(f"{output} holds an unfinished run with", json.loads(note.read_text()), settings)
    elif output.is_dir() and any(path != partial and not path.name.startswith(".") for path in output.iterdir()):
        raise UserError(f"output ({output}) holds files that are not a token store; name a new or empty folder")


def _claim(output: Path, partial: Path, settings: dict[str, Any]) -> None:
    """Create the folder of the unfinished run, unless it exists."""
    try:
        partial.mkdir(parents=True, exist_ok=True)
        if not (partial / "settings.json").is_file():
            write_atomically(partial / "settings.json", json.dumps(settings).encode())
    except OSError as error:
        raise UserError(f"output ({output}) cannot be written ({error.strerror})") from error


def _encode_all(config: PrepareConfig, journal: ResultJournal, console: Console) -> None:
    """Encode the files that the journal does not have yet."""
    total, done = journal.count()
    if done == total:
        return
    if done:
        console.print(f"resuming: {done:,} of {total:,} files are done")
    columns = (
        TextColumn("preparing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    begun = time.monotonic()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total, completed=done, rate="")
        for number, (source, result) in enumerate(_engine(config, total - done)(journal.waiting()), start=1):
            journal.add(source, result)
            bar.update(task, advance=1, rate=f", {number / (time.monotonic() - begun):.0f} a second")
    seconds = time.monotonic() - begun
    console.print(f"{total - done:,} files in {seconds:.1f} seconds, {(total - done) / seconds:.1f} a second")


def _engine(config: PrepareConfig, num_files: int) -> Callable[[Iterator[str]], Iterator[tuple[str, Result]]]:
    """The function that encodes files: sources to (source, result)."""
    if config.engine == "ray":
        return lambda sources: encode_files_on_ray(sources, config, workers=config.workers)
    workers = min(config.workers or num_cores(), num_files)
    return lambda sources: encode_files(sources, config, workers=workers)


def _summary(store: TokenStore) -> str:
    info = store.info
    splits = ", ".join(f"{number:,} {split}" for split, number in info["num_pieces"].items())
    text = f"{store.path}: {len(store.pieces):,} pieces ({splits}), {info['num_tokens']:,} tokens"
    if info["num_skipped"]:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in info["skipped"].items())
        text += f"; {info['num_skipped']:,} files skipped ({kinds}), see {store.path / 'skipped.jsonl'}"
    return f"{text}; report: {store.path / 'report.html'}"
