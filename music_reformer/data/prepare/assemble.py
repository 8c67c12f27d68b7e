"""The last step of a preparation: which pieces are used, and the files of the store, always the same bytes.

It goes over the results in the order of their files, as often as it must, and keeps no more of them in memory than a
few bytes each.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from music_reformer.config import PrepareConfig
from music_reformer.data.corpora.manifest import Manifest
from music_reformer.data.corpora.splits import SPLITS
from music_reformer.data.piece_index import Piece
from music_reformer.data.prepare import near_duplicates
from music_reformer.data.prepare.journal import Journal, Outcome
from music_reformer.data.prepare.report import report_page
from music_reformer.data.prepare.summary import Summary
from music_reformer.data.store import VERSION
from music_reformer.errors import UserError
from music_reformer.midi.score import write_atomically
from music_reformer.midi.tokenizer import MusicTokenizer

# Files of the store, in the order in which they get their names: `store.json` says that all are there.
FILES = ("tokens.bin", "index.jsonl", "skipped.jsonl", "near_duplicates.jsonl", "report.html", "tokenizer.json")


def write_store(
    output: Path, journal: Journal, config: PrepareConfig, manifest: Manifest, settings: dict[str, Any]
) -> None:
    """Write all files of the store, `store.json` last.

    Raises:
        UserError: there is not one piece; the output is left as it was found.
    """
    partial = output / "partial"
    groups = _find_groups(journal, config, partial)
    summary = _write_pieces(journal, groups, config, partial)
    if not summary.num_pieces:
        _leave_nothing(output)
        raise UserError(
            f"none of the {summary.num_skipped} files in {config.corpus.path} could be used; most often: "
            f"{summary.commonest_reason}"
        )
    tokenizer = MusicTokenizer(config.tokenizer)
    tokenizer.save(partial / "new-tokenizer.json")
    page = report_page(summary, groups.entries, manifest, config)
    (partial / "new-report.html").write_text(page, encoding="utf-8")
    info = {
        "version": VERSION,
        "corpus": config.corpus.name,
        "tokenizer": tokenizer.fingerprint,
        "num_tokens": summary.num_tokens,
        "num_pieces": dict(sorted(summary.pieces.items())),
        "num_skipped": summary.num_skipped,
        "skipped": dict(sorted(summary.skipped.items())),
        "settings": settings,
    }
    for name in FILES:
        os.replace(partial / f"new-{name}", output / name)
    write_atomically(output / "store.json", (json.dumps(info, indent=1) + "\n").encode())


def _write_pieces(journal: Journal, groups: _Groups, config: PrepareConfig, partial: Path) -> Summary:
    """Write the files that have a line or tokens for each piece or file, under other names."""
    summary = Summary()
    with contextlib.ExitStack() as files:
        tokens, index, skipped, pairs = (files.enter_context(open(partial / f"new-{name}", "wb")) for name in FILES[:4])
        for entry in groups.entries:
            _write_line(pairs, entry)
        for place, outcome in _numbered(journal):
            reason = _reason(outcome, place, groups)
            if reason is None:
                _write_line(index, asdict(_piece(outcome, summary, config)))
                tokens.write(journal.tokens(outcome).tobytes())
                summary.add(outcome)
            else:
                kind, sentence = reason
                _write_line(skipped, {"source": outcome.file.source, "kind": kind, "reason": sentence})
                summary.skip(kind, sentence.replace(outcome.file.source, "it"))
    return summary


@dataclass(frozen=True)
class _Groups:
    """Near-duplicates.

    Attributes:
        keepers: for each original piece that is dropped, the source and split of the one that is kept instead.
        entries: a group each, for people.
    """

    keepers: dict[int, tuple[str, str]]
    entries: list[dict[str, Any]]


def _numbered(journal: Journal) -> Iterator[tuple[int, Outcome]]:
    """Every outcome, with its number among the originals (those that may become pieces)."""
    number = -1
    for outcome in journal.outcomes():
        number += outcome.original == outcome.file.source
        yield number, outcome


def _find_groups(journal: Journal, config: PrepareConfig, partial: Path) -> _Groups:
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
    for places in by_first.values():
        # What is tested on stays, whatever is trained on.
        best = max(splits[place] for place in places)
        keeper = next(place for place in places if splits[place] == best)
        dropped = [place for place in places if splits[place] != best] if config.near_duplicates == "drop" else []
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
    journal: Journal, config: PrepareConfig, partial: Path
) -> tuple[NDArray[np.int32], NDArray[np.uint32], bytearray]:
    """For each original the first of its group, its signature and its split (a place in `SPLITS`)."""
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


def _reason(outcome: Outcome, place: int, groups: _Groups) -> tuple[str, str] | None:
    """(kind, sentence) of why a file is not used; None where it is."""
    if outcome.reason is not None:
        return outcome.kind, outcome.reason
    if outcome.original != outcome.file.source:
        return "duplicate", f"the same notes as {outcome.original}"
    if place in groups.keepers:
        source, split = groups.keepers[place]
        return "near-duplicate", f"nearly the same notes as {source}, which is in the {split} split"
    return None


def _piece(outcome: Outcome, summary: Summary, config: PrepareConfig) -> Piece:
    details = outcome.details
    return Piece(
        piece_id=summary.num_pieces,
        offset=summary.num_tokens,
        length=outcome.length,
        split=outcome.file.split,
        source=outcome.file.source,
        sha256=details["sha256"],
        corpus=config.corpus.name,
        composition=outcome.file.composition,
        num_notes=details["num_notes"],
        seconds=details["seconds"],
        num_bars=details["num_bars"],
    )


def _leave_nothing(output: Path) -> None:
    shutil.rmtree(output / "partial")
    with contextlib.suppress(OSError):  # not empty, so not ours
        output.rmdir()


def _write_line(file: IO[bytes], entry: dict[str, Any]) -> None:
    file.write(json.dumps(entry).encode() + b"\n")
