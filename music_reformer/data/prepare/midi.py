"""MIDI files to a token store: in parallel, resumable, the same bytes whatever happened on the way.

The corpus is downloaded if need be (`obtain.py`). Workers turn files into tokens (`encode.py`, or the same on many
machines, `ray_engine.py`); this process keeps each result as it comes (`journal.py`), so a run that was killed goes on
where it was. At the end the pieces are put in the order of their files, duplicates are dropped, and the store is
written (`assemble.py`).
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from music_reformer.config import PrepareConfig
from music_reformer.data.corpora.manifest import read_manifest
from music_reformer.data.corpora.obtain import obtain
from music_reformer.data.corpora.splits import find_files
from music_reformer.data.prepare.assemble import write_store
from music_reformer.data.prepare.encode import Result, encode_files
from music_reformer.data.prepare.journal import Journal
from music_reformer.data.prepare.ray_workers import encode_files_on_ray
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.midi.score import write_atomically
from music_reformer.midi.tokenizer import MusicTokenizer


def prepare(config: PrepareConfig, *, progress: bool = True) -> TokenStore:
    """Prepare a corpus; goes on where an earlier run stopped, and does nothing where it had finished.

    Args:
        config: what to prepare, how, and where to.
        progress: show a bar, and say at the end what there is.

    Raises:
        UserError: the corpus cannot be had, has no MIDI files or none that could be used, or the output holds something
            else.
    """
    output = output_folder(config)
    partial = output / "partial"
    console = Console(quiet=not progress, highlight=False, soft_wrap=True, markup=False)
    settings = _settings(config)
    if (output / "store.json").is_file():
        store = TokenStore.open(output)
        _compare(f"{output} was prepared with", store.info["settings"], settings)
        shutil.rmtree(partial, ignore_errors=True)  # of a run killed just before its own end
        console.print(f"{output} is prepared already; nothing to do")
        return store
    manifest = read_manifest(config.corpus.manifest)
    MusicTokenizer(config.tokenizer)  # settings that cannot be are told before anything is written
    _check_output(output, partial, settings)
    path = obtain(config.corpus, manifest, Path(config.downloads), console)
    config = replace(config, corpus=replace(config.corpus, path=str(path)))
    next(find_files(config.corpus, manifest))  # raises where there is nothing to prepare
    _claim(output, partial, settings)
    journal = Journal(partial)
    try:
        journal.set_files(find_files(config.corpus, manifest))
        _encode_all(config, journal, console)
        with console.status("sorting out duplicates and writing the store"):
            write_store(output, journal, config, manifest, settings)
    finally:
        journal.close()
    shutil.rmtree(partial)
    store = TokenStore.open(output)
    console.print(_summary(store))
    return store


def output_folder(config: PrepareConfig) -> Path:
    """Where the store goes; a corpus that is downloaded has a folder of its own by default. Raises `UserError`."""
    if config.output is not None:
        return Path(config.output)
    if config.corpus.path is not None:
        raise UserError("prepare needs output: add output=..., the folder to write to")
    return Path("datasets") / config.corpus.name


def _settings(config: PrepareConfig) -> dict[str, Any]:
    """What decides the bytes of a store; where the corpus lies, and who does the work, does not."""
    corpus = asdict(config.corpus)
    del corpus["path"], corpus["url"]
    corpus["manifest"] = Path(corpus["manifest"]).name if corpus["manifest"] else None
    duplicates = {"near_duplicates": config.near_duplicates, "similarity": config.near_duplicate_similarity}
    settings = {
        "corpus": corpus,
        "tokenizer": asdict(config.tokenizer),
        "quality": asdict(config.quality),
        "duplicates": duplicates,
    }
    # Through JSON, so that it can be compared with what was written.
    return json.loads(json.dumps(settings))


def _compare(what: str, there: dict[str, dict[str, Any]], asked: dict[str, dict[str, Any]]) -> None:
    """Raise UserError, naming the settings that differ."""
    differing = [
        f"{group}.{key}"
        for group in asked
        for key in asked[group]
        if there.get(group, {}).get(key) != asked[group][key]
    ]
    if differing:
        raise UserError(f"{what} another {', '.join(differing)}; choose another output or remove that folder")


def _check_output(output: Path, partial: Path, settings: dict[str, Any]) -> None:
    """Make sure that the output is ours to write, before anything is downloaded."""
    if output.exists() and not output.is_dir():
        raise UserError(f"output ({output}) is a file; name a folder")
    note = partial / "settings.json"
    if note.is_file():
        _compare(f"{output} holds an unfinished run with", json.loads(note.read_text()), settings)
    elif output.is_dir() and any(path != partial and not path.name.startswith(".") for path in output.iterdir()):
        raise UserError(f"output ({output}) holds files that are not a token store; name a new or empty folder")


def _claim(output: Path, partial: Path, settings: dict[str, Any]) -> None:
    """Make the folder of an unfinished run, unless there is one."""
    try:
        partial.mkdir(parents=True, exist_ok=True)
        if not (partial / "settings.json").is_file():
            write_atomically(partial / "settings.json", json.dumps(settings).encode())
    except OSError as error:
        raise UserError(f"output ({output}) cannot be written ({error.strerror})") from error


def _encode_all(config: PrepareConfig, journal: Journal, console: Console) -> None:
    """Fill the journal with the files that it does not have yet."""
    total, done = journal.count()
    if done == total:
        return
    if done:
        console.print(f"going on: {done:,} of {total:,} files were done before")
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
    """What encodes the files: sources to (source, result)."""
    if config.engine == "ray":
        return lambda sources: encode_files_on_ray(sources, config, workers=config.workers)
    workers = min(config.workers or os.cpu_count() or 1, num_files)
    return lambda sources: encode_files(sources, config, workers=workers)


def _summary(store: TokenStore) -> str:
    info = store.info
    splits = ", ".join(f"{number:,} {split}" for split, number in info["num_pieces"].items())
    text = f"{store.path}: {len(store.pieces):,} pieces ({splits}), {info['num_tokens']:,} tokens"
    if info["num_skipped"]:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in info["skipped"].items())
        text += f"; {info['num_skipped']:,} files left out ({kinds}), see {store.path / 'skipped.jsonl'}"
    return f"{text}; report: {store.path / 'report.html'}"
