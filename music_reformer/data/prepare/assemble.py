"""The last step of a preparation: chooses the pieces and writes the files of the store, always the same bytes.

It iterates over the results in the order of the files, several times, and keeps only a few bytes of each in memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from music_reformer.config import SPLITS, PrepareConfig
from music_reformer.data.corpora.collection import member_of
from music_reformer.data.corpora.corpus_manifest import CorpusManifest
from music_reformer.data.prepare import near_duplicates
from music_reformer.data.prepare.corpus_report import report_page
from music_reformer.data.prepare.counts import CorpusCounts
from music_reformer.data.prepare.journal import FileOutcome, ResultJournal
from music_reformer.data.store import VERSION, Piece
from music_reformer.errors import UserError
from music_reformer.files import write_atomically
from music_reformer.midi.tokenizer import MusicTokenizer

# Files of the store, in the order in which they are renamed. `store.json` follows: its presence means a finished store.
FILES = ("tokens.bin", "index.jsonl", "skipped.jsonl", "near_duplicates.jsonl", "report.html", "tokenizer.json")


def write_store(
    output: Path, journal: ResultJournal, config: PrepareConfig, manifest: CorpusManifest, settings: dict[str, Any]
) -> None:
    """Write all files of the store, `store.json` last.

    Raises:
        UserError: no file could be used; the output folder is left as it was.
    """
    partial = output / "partial"
    groups = _find_groups(journal, config, partial)
    counts = _write_pieces(journal, groups, config, partial)
    if not counts.num_pieces:
        _leave_nothing(output)
        raise UserError(
            f"none of the {counts.num_skipped} files in {config.corpus.path} could be used; most frequent reason: "
            f"{counts.most_frequent_reason}"
        )
    tokenizer = MusicTokenizer(config.tokenizer)
    tokenizer.save(partial / "new-tokenizer.json")
    page = report_page(counts, groups.entries, manifest, config)
    write_atomically(partial / "new-report.html", page.encode())
    info = {
        "version": VERSION,
        "corpus": config.corpus.name,
        "tokenizer": tokenizer.fingerprint,
        "num_tokens": counts.num_tokens,
        "num_pieces": dict(sorted(counts.pieces.items())),
        "num_skipped": counts.num_skipped,
        "skipped": dict(sorted(counts.skipped.items())),
        "corpora": {name: dict(sorted(found.items())) for name, found in counts.corpora.items()},
        "mixture": asdict(config.corpus.mixture),
        "settings": settings,
    }
    for name in FILES:
        os.replace(partial / f"new-{name}", output / name)
    write_atomically(output / "store.json", (json.dumps(info, indent=1) + "\n").encode())


def _write_pieces(journal: ResultJournal, groups: _Groups, config: PrepareConfig, partial: Path) -> CorpusCounts:
    """Write, under temporary names, the files that have an entry per piece or file."""
    counts = CorpusCounts()
    with contextlib.ExitStack() as files:
        tokens, index, skipped, pairs = (files.enter_context(open(partial / f"new-{name}", "wb")) for name in FILES[:4])
        for entry in groups.entries:
            _write_line(pairs, entry)
        for place, outcome in _numbered(journal):
            reason = _reason(outcome, place, groups)
            corpus, _ = member_of(config.corpus, outcome.file.source)
            if reason is None:
                _write_line(index, asdict(_piece(outcome, counts, corpus)))
                tokens.write(journal.tokens(outcome).tobytes())
                counts.add(outcome, corpus=corpus)
            else:
                kind, sentence = reason
                _write_line(skipped, {"source": outcome.file.source, "kind": kind, "reason": sentence})
                counts.skip(kind, _of_any_file(sentence, outcome.file.source), corpus=corpus)
    return counts


@dataclass(frozen=True)
class _Groups:
    """Groups of near-duplicates.

    Attributes:
        keepers: for each piece that is dropped, the source and split of the piece that is kept instead.
        entries: lines of `near_duplicates.jsonl`, one per group.
    """

    keepers: dict[int, tuple[str, str]]
    entries: list[dict[str, Any]]


def _numbered(journal: ResultJournal) -> Iterator[tuple[int, FileOutcome]]:
    """Each outcome with its number among the originals (files that are no exact duplicates)."""
    number = -1
    for outcome in journal.outcomes():
        number += outcome.original == outcome.file.source
        yield number, outcome


def _find_groups(journal: ResultJournal, config: PrepareConfig, partial: Path) -> _Groups:
    """Groups of near-duplicates among the originals."""
    if config.near_duplicates == "off":
        return _Groups({}, [])
    first, signatures, splits = _group(journal, config, partial)
    grouped = np.bincount(first, minlength=len(first))[first] > 1
    sources: dict[int, str] = {}
    by_first: dict[int, list[int]] = {}
    for place, outcome in _numbered(journal):
        if outcome.original == outcome.file.source and grouped[place]:
            sources[place] = outcome.file.source
            by_first.setdefault(int(first[place]), []).append(place)
    keepers, entries = {}, []
    names = [config.corpus.name, *config.corpus.members]
    for places in by_first.values():
        # Pieces of the test and validation splits are kept before those of the training split; then those of the first
        # corpus.
        best = max(splits[place] for place in places)
        corpora = {place: names.index(member_of(config.corpus, sources[place])[0]) for place in places}
        keeper = min((place for place in places if splits[place] == best), key=lambda place: (corpora[place], place))
        dropped = [place for place in places if (splits[place], corpora[place]) != (best, corpora[keeper])]
        if config.near_duplicates == "drop":
            keepers.update(dict.fromkeys(dropped, (sources[keeper], SPLITS[best])))
        entries.append(
            {
                "pieces": [
                    {
                        "source": sources[place],
                        "split": SPLITS[splits[place]],
                        "similarity": round(near_duplicates.estimate(signatures[keeper], signatures[place]), 3),
                        "used": place not in keepers,
                    }
                    for place in places
                ]
            }
        )
    return _Groups(keepers, entries)


def _group(
    journal: ResultJournal, config: PrepareConfig, partial: Path
) -> tuple[NDArray[np.int32], NDArray[np.uint32], bytearray]:
    """For each original: the first piece of its group, its signature, and the index of its split in `SPLITS`."""
    present, splits = bytearray(), bytearray()
    path = partial / "signatures.bin"
    with open(path, "wb") as file:
        for outcome in journal.outcomes():
            if outcome.original == outcome.file.source:
                file.write(outcome.signature or bytes(4 * near_duplicates.NUM_HASHES))
                present.append(outcome.signature is not None)
                splits.append(SPLITS.index(outcome.file.split))
    if not present:
        return np.zeros(0, np.int32), np.zeros((0, near_duplicates.NUM_HASHES), np.uint32), splits
    signatures = np.memmap(path, np.uint32, mode="r", shape=(len(present), near_duplicates.NUM_HASHES))
    flags = np.frombuffer(bytes(present), dtype=np.bool_)
    return near_duplicates.group(signatures, flags, config.near_duplicate_similarity), signatures, splits


def _of_any_file(sentence: str, source: str) -> str:
    """A sentence about a file without its name, so that the report can count it together with those about others."""
    return re.sub(rf"(?<![^\s'\"(]){re.escape(source)}(?![^\s'\"),:;])", "it", sentence)


def _reason(outcome: FileOutcome, place: int, groups: _Groups) -> tuple[str, str] | None:
    """Why a file is not used, as (kind, sentence); None if it is used."""
    if outcome.reason is not None:
        return outcome.kind, outcome.reason
    if outcome.original != outcome.file.source:
        return "duplicate", f"the same notes as {outcome.original}"
    if place in groups.keepers:
        source, split = groups.keepers[place]
        return "near-duplicate", f"nearly the same notes as {source}, which is in the {split} split"
    return None


def _piece(outcome: FileOutcome, counts: CorpusCounts, corpus: str) -> Piece:
    details = outcome.details
    return Piece(
        piece_id=counts.num_pieces,
        offset=counts.num_tokens,
        length=outcome.length,
        split=outcome.file.split,
        source=outcome.file.source,
        sha256=details["sha256"],
        corpus=corpus,
        composition=outcome.file.composition,
        num_notes=details["num_notes"],
        seconds=details["seconds"],
        num_bars=details["num_bars"],
    )


def _leave_nothing(output: Path) -> None:
    shutil.rmtree(output / "partial")
    with contextlib.suppress(OSError):  # not empty: it holds files that are not ours
        output.rmdir()


def _write_line(file: IO[bytes], entry: dict[str, Any]) -> None:
    file.write(json.dumps(entry).encode() + b"\n")
