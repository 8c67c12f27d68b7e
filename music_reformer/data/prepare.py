"""MIDI files to a token store: in parallel, resumable, the same bytes whatever happened on the way.

Workers turn files into tokens (`encode.py`); this process keeps each result as it comes (`journal.py`), so a run that
was killed goes on where it was. At the end the pieces are put in the order of their files, duplicates are dropped, and
the store is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from music_reformer.config import PrepareConfig
from music_reformer.data.corpus import CorpusFile, list_files
from music_reformer.data.encode import encode_files
from music_reformer.data.journal import Journal
from music_reformer.data.store import VERSION, Piece, TokenStore
from music_reformer.errors import UserError
from music_reformer.midi.score import write_atomically
from music_reformer.midi.tokenizer import MusicTokenizer


def prepare(config: PrepareConfig, *, progress: bool = True) -> TokenStore:
    """Prepare a corpus; goes on where an earlier run stopped, and does nothing where it had finished.

    Args:
        config: what to prepare, how, and where to.
        progress: show a bar, and say at the end what there is.

    Raises:
        UserError: no MIDI files, none that could be used, or the output holds something else.
    """
    output = Path(config.output)
    partial = output / "partial"
    console = Console(quiet=not progress, highlight=False, soft_wrap=True)
    settings = _settings(config)
    if (output / "store.json").is_file():
        store = TokenStore.open(output)
        _compare(f"{output} was prepared with", store.info["settings"], settings)
        shutil.rmtree(partial, ignore_errors=True)  # of a run killed just before its own end
        console.print(f"{output} is prepared already; nothing to do")
        return store
    files = list_files(config.corpus)
    MusicTokenizer(config.tokenizer)  # settings that cannot be are told before anything is written
    _claim(output, partial, settings)
    journal = Journal(partial)
    try:
        _encode_all(files, config, journal, console)
        _write_store(output, files, journal, config, settings)
    finally:
        journal.close()
    shutil.rmtree(partial)
    store = TokenStore.open(output)
    console.print(_summary(store))
    return store


def _settings(config: PrepareConfig) -> dict[str, Any]:
    """What decides the bytes of a store; where the corpus lies and how many workers there are does not."""
    corpus = asdict(config.corpus)
    del corpus["path"]
    corpus["manifest"] = Path(corpus["manifest"]).name if corpus["manifest"] else None
    # Through JSON, so that it can be compared with what was written.
    return json.loads(json.dumps({"corpus": corpus, "tokenizer": asdict(config.tokenizer)}))


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


def _claim(output: Path, partial: Path, settings: dict[str, Any]) -> None:
    """Make sure that the output is ours to write."""
    if output.exists() and not output.is_dir():
        raise UserError(f"output ({output}) is a file; name a folder")
    note = partial / "settings.json"
    if note.is_file():
        _compare(f"{output} holds an unfinished run with", json.loads(note.read_text()), settings)
        return
    if output.is_dir() and any(path != partial and not path.name.startswith(".") for path in output.iterdir()):
        raise UserError(f"output ({output}) holds files that are not a token store; name a new or empty folder")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        write_atomically(note, json.dumps(settings).encode())
    except OSError as error:
        raise UserError(f"output ({output}) cannot be written ({error.strerror})") from error


def _encode_all(files: list[CorpusFile], config: PrepareConfig, journal: Journal, console: Console) -> None:
    """Fill the journal with the files that it does not have yet."""
    waiting = [file for file in files if file.source not in journal.results]
    if len(waiting) < len(files):
        console.print(f"going on: {len(files) - len(waiting)} of {len(files)} files were done before")
    columns = (
        TextColumn("preparing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    workers = config.workers or os.cpu_count() or 1
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=len(files), completed=len(files) - len(waiting), rate="")
        for source, result in encode_files(waiting, config, workers=workers):
            journal.add(source, result)
            speed = bar.tasks[0].speed
            bar.update(task, advance=1, rate=f", {speed:.0f} a second" if speed else "")


def _write_store(
    output: Path, files: list[CorpusFile], journal: Journal, config: PrepareConfig, settings: dict[str, Any]
) -> None:
    """Write all files of the store, `store.json` last.

    Raises:
        UserError: there is not one piece; the output is left as it was found.
    """
    used, skipped = _choose(files, journal)
    if not used:
        shutil.rmtree(output / "partial")
        with contextlib.suppress(OSError):  # not empty, so not ours
            output.rmdir()
        reason = Counter(entry["reason"].replace(entry["source"], "it") for entry in skipped).most_common(1)[0][0]
        raise UserError(f"none of the {len(files)} files in {config.corpus.path} could be used; most often: {reason}")
    pieces: list[Piece] = []
    offset = 0
    with open(output / "partial" / "sorted.bin", "wb") as out:
        for file in used:
            result = journal.results[file.source]
            out.write(journal.tokens(file.source).tobytes())
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
    tokenizer = MusicTokenizer(config.tokenizer)
    info = {
        "version": VERSION,
        "corpus": config.corpus.name,
        "tokenizer": tokenizer.fingerprint,
        "num_tokens": offset,
        "num_pieces": dict(sorted(Counter(piece.split for piece in pieces).items())),
        "num_skipped": len(skipped),
        "settings": settings,
    }
    os.replace(output / "partial" / "sorted.bin", output / "tokens.bin")
    tokenizer.save(output / "tokenizer.json")
    write_atomically(output / "index.jsonl", _lines([asdict(piece) for piece in pieces]))
    write_atomically(output / "skipped.jsonl", _lines(skipped))
    write_atomically(output / "store.json", (json.dumps(info, indent=1) + "\n").encode())


def _choose(files: list[CorpusFile], journal: Journal) -> tuple[list[CorpusFile], list[dict[str, str]]]:
    """The files to use, and the others with the reason; of files with the same notes the first is used."""
    used: list[CorpusFile] = []
    skipped: list[dict[str, str]] = []
    first: dict[str, str] = {}
    for file in files:
        result = journal.results[file.source]
        reason = result.get("reason")
        if reason is None:
            original = first.setdefault(result["notes_sha256"], file.source)
            reason = None if original == file.source else f"the same notes as {original}"
        if reason is None:
            used.append(file)
        else:
            skipped.append({"source": file.source, "reason": reason})
    return used, skipped


def _lines(entries: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(entry) + "\n" for entry in entries).encode()


def _summary(store: TokenStore) -> str:
    info = store.info
    splits = ", ".join(f"{number:,} {split}" for split, number in info["num_pieces"].items())
    text = f"{store.path}: {len(store.pieces):,} pieces ({splits}), {info['num_tokens']:,} tokens"
    if info["num_skipped"]:
        text += f"; {info['num_skipped']:,} files left out, see {store.path / 'skipped.jsonl'}"
    return text
